# The two commands: `make demo` and `make test`. Each brings all it needs into .venv, at the versions that
# requirements.lock pins by hash.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
NODE := .venv/.node
TS_MLS := tests/interop/node_modules/.package-lock.json
WEB := web/node_modules/.package-lock.json
PAGE := conference/page/index.html
export PATH := $(CURDIR)/$(BIN):$(PATH)
PAGE_SOURCES := $(shell find web/src web/index.html web/*.ts web/*.mjs web/package-lock.json)

.PHONY: demo page wheel chromium firefox test test-all check host bench lock clean

demo: $(READY)  ## hold a meeting of four processes and say whether every promise held
	$(BIN)/conclave demo

host: $(READY) page  ## serve meetings here
	$(BIN)/conclave host

page: $(PAGE)  ## build the browser's participant

wheel: $(READY) page  ## build dist/*.whl with the page in it, so that its users need no Node
	@test -e $(PAGE) || { echo "there is no page to put into a wheel: it needs Node and npm"; exit 1; }
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .

test: check $(TS_MLS) page chromium  ## what CI runs
	$(BIN)/pytest -m "not long"

test-all: check $(TS_MLS) page chromium firefox  ## the long tests too
	$(BIN)/pytest

bench: $(READY) $(TS_MLS)  ## how fast mls and sframe are, beside other libraries; takes some ten minutes
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "rfc9420>=1.3" || echo "rfc9420 could not be brought"
	$(BIN)/python -m bench.mls
	$(BIN)/python -m bench.sframe

check: $(READY)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Conclave needs Python 3.11 or newer; set PYTHON=python3.x")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(READY)

# Node.js, for the page and for peers to test against: the machine's, if it is new enough; else one that pip brings.
$(NODE): $(READY) web/requirements.lock
	@if node -e 'const [major, minor] = process.versions.node.split("."); process.exit(major > 20 || major == 20 && minor >= 19 ? 0 : 1)' 2>/dev/null && npm --version >/dev/null 2>&1; \
	then touch $@; \
	elif $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r web/requirements.lock; \
	then touch $@; \
	else echo "Node.js 20.19 or newer could not be brought; the page and tests that need it are left out"; fi

# npm packages at the versions that lock files pin by hash. $(1): the folder; $(2): what goes without them.
define npm_ci
	@if [ -e $(NODE) ] && npm ci --prefix $(1) --ignore-scripts --prefer-offline --fetch-retries=0 \
	  --fetch-timeout=20000 --no-audit --no-fund --silent; then touch $@; \
	else echo "npm could not bring the packages of $(1); $(2)"; fi
endef

# Another implementation of MLS to test against.
$(TS_MLS): tests/interop/package-lock.json $(NODE)
	$(call npm_ci,tests/interop,tests against ts-mls are skipped)

$(WEB): web/package-lock.json $(NODE)
	$(call npm_ci,web,browsers are told to use a terminal)

$(PAGE): $(WEB) $(PAGE_SOURCES)
	@if [ -e $(WEB) ]; then npm run --prefix web --silent build -- --logLevel warn; fi

# For the tests in real browsers, which are skipped without them, and for what they picture. Brought where that is this
# user's to do.
APT_GET := apt-get -o Acquire::Retries=0 -o Acquire::http::Timeout=20
chromium: PACKAGES := chromium fonts-noto-color-emoji
firefox: PACKAGES := firefox-esr
chromium firefox:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! dpkg --status $(PACKAGES) >/dev/null 2>&1; then \
	  ($(APT_GET) update && $(APT_GET) install --yes --no-install-recommends $(PACKAGES)) >/dev/null 2>&1 || \
	  echo "$(PACKAGES): could not be brought by apt-get; tests that need them are skipped"; fi

lock:  ## pin the newest versions that pyproject.toml allows; needs uv
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
	  --extra dev --python-version 3.11 pyproject.toml -o requirements.lock

clean:
	rm -rf .venv build dist out conference/page web/out .mypy_cache .pytest_cache .ruff_cache .hypothesis
