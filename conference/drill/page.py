"""What both reports of a drill are made of: one HTML file that needs nothing else."""

import time
from collections.abc import Iterable, Sequence
from html import escape

from conference.proof.verdict import BROKEN, HELD, OPEN, Verdict, exit_code, in_a_sentence

SUITE_NAMES = {
    83: "MLS_256_XWING_AES256GCM_SHA512_Ed25519 (hybrid post-quantum)",
    1: "MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519",
}

CLASSES = {HELD: "held", BROKEN: "broken", OPEN: "open"}
MARKS = {HELD: "✔", BROKEN: "✘", OPEN: "?"}

STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --dim: #5c6975; --paper: #fff; --rule: #e3e8ed;
  --held: #14633c; --on-held: #e4f3ea; --open: #754c00; --on-open: #fdf1d8;
  --broken: #9c221c; --on-broken: #fbe7e6; }
body { font: 14px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; color: var(--ink);
  background: var(--paper); max-width: 1100px; margin: 32px auto 64px; padding: 0 20px; }
h1 { font-size: 26px; margin: 0 0 2px; } h2 { font-size: 18px; margin: 40px 0 6px;
  border-bottom: 1px solid var(--rule); padding-bottom: 4px; }
p { max-width: 82ch; margin: 6px 0 12px; } .dim { color: var(--dim); }
.banner { padding: 12px 16px; border-radius: 6px; margin: 18px 0; font-size: 16px; font-weight: 600; }
.held { background: var(--on-held); color: var(--held); }
.open { background: var(--on-open); color: var(--open); }
.broken { background: var(--on-broken); color: var(--broken); }
table { border-collapse: collapse; width: 100%; font-size: 12.5px; margin: 8px 0; }
th { text-align: left; font-weight: 600; color: var(--dim); border-bottom: 1px solid var(--rule);
  padding: 4px 8px; vertical-align: bottom; }
td { border-bottom: 1px solid var(--rule); padding: 4px 8px; vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
td.n, td:nth-child(2) { white-space: nowrap; }
table.told td { white-space: normal; }
td.mark { font-size: 15px; width: 20px; font-weight: 700; background: none; }
.wide { overflow-x: auto; }
svg { display: block; height: auto; font-family: inherit; margin: 6px 0; }
.wide > svg { max-width: none; } .row svg { max-width: 100%; }
.row { display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); gap: 8px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 18px; margin: 10px 0; }
dt { color: var(--dim); } dd { margin: 0; overflow-wrap: anywhere; } code { font-size: 12.5px; }
@media (max-width: 640px) {
  dl { display: block; } dt { margin-top: 8px; }
  table.told tr { display: grid; grid-template-columns: 28px 1fr; border-bottom: 1px solid var(--rule); }
  table.told td { border: none; } table.told td:last-child { grid-column: 2; padding-top: 0; }
}
@media screen and (prefers-color-scheme: dark) {
  :root { --ink: #e3e8ed; --dim: #9aa7b3; --paper: #151b21; --rule: #313b45;
    --held: #a5e3c0; --on-held: #16382a; --open: #f5d48b; --on-open: #40310d;
    --broken: #ffb9b3; --on-broken: #4a1b19; }
  svg { background: #fff; border-radius: 6px; }
}
@media print {
  body { margin: 0; padding: 0; max-width: none; font-size: 12px; } h2 { break-after: avoid; }
  svg, tr, dl { break-inside: avoid; }
  .wide { overflow: visible; } .wide > svg { max-width: 100%; }
  table { font-size: 9px; } td, th { padding: 3px; }
  .row { grid-template-columns: repeat(3, 1fr); }
}
"""


def page(title: str, sections: Iterable[str]) -> str:
    """An HTML page of these sections."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body><main>\n'
        + "\n".join(sections)
        + "\n</main></body></html>\n"
    )


def head(title: str, began_at: float, facts: Iterable[tuple[str, str]], verdicts: Sequence[Verdict]) -> str:
    """Title, verdict in a sentence, and how it was held."""
    banner = " ".join([in_a_sentence(verdicts), *_not_held(verdicts)])
    told = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(began_at))
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    return (
        f'<h1>{escape(title)}</h1><div class="dim">{told}</div>'
        f'<div class="banner {CLASSES[exit_code(verdicts)]}">{escape(banner)}</div><dl>{listed}</dl>'
    )


def _not_held(verdicts: Sequence[Verdict]) -> list[str]:
    broken = "; ".join(verdict.promise for verdict in verdicts if verdict.is_broken)
    still_open = "; ".join(verdict.promise for verdict in verdicts if verdict.is_open)
    return [
        *([f"Broken: {broken}."] if broken else []),
        *([f"Not to be judged: {still_open}."] if still_open else []),
    ]


def wide(drawn: str, label: str) -> str:
    """What is too wide for a narrow screen, and is scrolled there, also by the keyboard."""
    return f'<div class="wide" role="region" tabindex="0" aria-label="{escape(label)}">{drawn}</div>'


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], numbers: frozenset[int], label: str) -> str:
    """Cells are text; those of the columns in `numbers` stand to the right."""

    def cells(element: str, row: Sequence[str]) -> str:
        return "".join(
            f"<{element}{' class=n' if index in numbers else ''}>{escape(cell)}</{element}>"
            for index, cell in enumerate(row)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    head = f"<thead><tr>{cells('th', columns)}</tr></thead>"
    return wide(f"<table>{head}<tbody>{body}</tbody></table>", label)


def promises(verdicts: Sequence[Verdict]) -> str:
    """The verdicts, as a table."""
    rows = "".join(
        f'<tr><td class="mark {CLASSES[code]}">{MARKS[code]}</td>'
        f"<td><b>{escape(verdict.promise)}</b></td><td>{escape(verdict.figure)}</td></tr>"
        for verdict, code in ((verdict, exit_code([verdict])) for verdict in verdicts)
    )
    return f'<table class="told">{rows}</table>'
