"""Who imports whom (docs/design.md): the servers hold no keys because they cannot even derive them."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# A package, and what of ours it may import. `conference.sfu` stands for itself, not for `conference`.
MAY_IMPORT = {
    "mls": {"mls"},
    "sframe": {"sframe"},
    "signaling": {"signaling"},
    "conference.sfu": {"conference.sfu"},
    "conference": {"conference", "conference.sfu", "mls", "sframe", "signaling"},
}
# These run in the server's process.
SERVER_MODULES = [
    f"conference/{name}.py"
    for name in (
        "built_page",
        "host",
        "host_config",
        "host_settings",
        "settings",
        "certificate",
        "pinning",
        "home",
        "cli",
    )
]
ONLY_COMPOSER = "conference/host.py"
READERS_OF_TAPS = ("conference/demo/", "conference/drill/", "conference/proof/")
# Sans-I/O, and of use at both ends of a path.
SHARED = "conference.sfu.arrivals"


def package_of(module: str) -> str | None:
    return next(
        (name for name in ("conference.sfu", *MAY_IMPORT) if module == name or module.startswith(name + ".")),
        None,
    )


def imports(path: Path, *, top_level_only: bool = False) -> set[str]:
    """The modules that a file imports; inside functions too, unless only importing it is asked about."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else ast.walk(tree)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def modules(package: str) -> list[Path]:
    paths = sorted((ROOT / package.replace(".", "/")).rglob("*.py"))
    return [
        path
        for path in paths
        if package_of(".".join(path.relative_to(ROOT).with_suffix("").parts)) == package
    ]


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_flow_one_way(package: str) -> None:
    assert modules(package), "the package has modules"
    for path in modules(package):
        ours = {package_of(name) for name in imports(path)} - {None}
        assert ours <= MAY_IMPORT[package], f"{path} imports {ours - MAY_IMPORT[package]}"


@pytest.mark.parametrize("core", ["mls", "sframe"])
def test_cores_use_the_standard_library_and_cryptography_only(core: str) -> None:
    for path in modules(core):
        roots = {name.split(".")[0] for name in imports(path)}
        foreign = roots & {
            "asyncio",
            "socket",
            "time",
            "threading",
            "aiortc",
            "av",
            "numpy",
            "websockets",
            "starlette",
        }
        assert not foreign, f"{path} imports {foreign}"


@pytest.mark.parametrize("module", SERVER_MODULES)
def test_server_modules_import_no_keys(module: str) -> None:
    ours = {package_of(name) for name in imports(ROOT / module, top_level_only=module == "conference/cli.py")}
    assert not ours & {"mls", "sframe"}


def test_only_host_puts_signaling_and_sfu_together() -> None:
    for path in modules("conference"):
        ours = {package_of(name) for name in imports(path) if not name.startswith(SHARED)}
        relative = str(path.relative_to(ROOT))
        if "conference.sfu" in ours and not relative.startswith(READERS_OF_TAPS):
            assert relative == ONLY_COMPOSER


def test_importing_the_sfu_runs_nothing_else_of_conference() -> None:
    assert not (ROOT / "conference/__init__.py").read_text().strip()
