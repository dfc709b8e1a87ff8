"""One page with all the screenshots that the tests made, whole in itself: out/screenshots/index.html."""

import base64
import html
import re
from itertools import groupby
from pathlib import Path

_LOOK = re.compile(r"(?P<view>.+?)-(?P<look>(?:desktop|phone)-(?:light|dark))")
_STYLE = """
body { margin: 2rem; font: 16px/1.4 system-ui, sans-serif; background: #f4f3ef; color: #19201e }
section { display: flex; flex-wrap: wrap; gap: 1rem; align-items: start; margin-bottom: 2.5rem }
h2 { flex-basis: 100%; margin: 0 }
figure { margin: 0 }
img { display: block; height: 26rem; border: 1px solid #d9d7cf; border-radius: 6px }
figcaption { color: #57605d; font-size: 0.85rem }
"""


def write(folder: Path) -> Path:
    """Make the page of what lies in the folder; its address."""
    pictures = sorted(map(_named, folder.glob("*.png")))
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>Conclave: every view</title>",
        f"<style>{_STYLE}</style><h1>Every view, {len(pictures)} pictures</h1>",
    ]
    for view, looks in groupby(pictures, key=lambda picture: picture[0]):
        parts.append(f"<section><h2>{html.escape(view)}</h2>")
        parts += [_figure(look, path) for _, look, path in looks]
        parts.append("</section>")
    page = folder / "index.html"
    page.write_text("\n".join(parts), "utf-8")
    return page


def _named(path: Path) -> tuple[str, str, Path]:
    found = _LOOK.fullmatch(path.stem)
    return (found["view"], found["look"], path) if found else (path.stem, "", path)


def _figure(look: str, path: Path) -> str:
    picture = base64.b64encode(path.read_bytes()).decode()
    caption = html.escape(look.replace("-", ", ") or "from a real meeting")
    alternative = html.escape(path.stem)
    return (
        f"<figure><img alt='{alternative}' src='data:image/png;base64,{picture}'>"
        f"<figcaption>{caption}</figcaption></figure>"
    )
