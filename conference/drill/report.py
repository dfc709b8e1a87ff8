"""The report of a drill: one HTML file that needs nothing else, for people who were not there."""

import time
from collections.abc import Iterable, Sequence
from html import escape

from conference.drill import plots
from conference.drill.evidence import Change, Evidence
from conference.drill.promises import begin_of, first_pictures_s, ms, round_trip_s, switch_s
from conference.drill.schedule import Kind
from conference.proof.verdict import Verdict

SUITE_NAMES = {
    83: "MLS_256_XWING_AES256GCM_SHA512_Ed25519 (hybrid post-quantum)",
    1: "MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519",
}

STYLE = """
:root { color-scheme: light; }
body { font: 14px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; color: #1d2733; background: #fff;
  max-width: 1100px; margin: 32px auto 64px; padding: 0 20px; }
h1 { font-size: 26px; margin: 0 0 2px; } h2 { font-size: 18px; margin: 40px 0 6px;
  border-bottom: 1px solid #e3e8ed; padding-bottom: 4px; }
p { max-width: 82ch; margin: 6px 0 12px; } .dim { color: #66737f; }
.banner { padding: 12px 16px; border-radius: 6px; margin: 18px 0; font-size: 16px; font-weight: 600; }
.held { background: #e4f3ea; color: #14633c; } .broken { background: #fbe7e6; color: #9c221c; }
table { border-collapse: collapse; width: 100%; font-size: 12.5px; margin: 8px 0; }
th { text-align: left; font-weight: 600; color: #66737f; border-bottom: 1px solid #c9d1d8; padding: 4px 8px; }
td { border-bottom: 1px solid #eef1f4; padding: 4px 8px; vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td:nth-child(2) { white-space: nowrap; } th.n { white-space: normal; vertical-align: bottom; }
table.told td { white-space: normal; } td.mark { font-size: 15px; width: 20px; }
.ok { color: #1f8a55; } .no { color: #c8322b; }
svg { display: block; max-width: 100%; height: auto; font-family: inherit; margin: 6px 0; }
.row { display: grid; grid-template-columns: repeat(3, 1fr); gap: 8px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 18px; margin: 10px 0; }
dt { color: #66737f; } dd { margin: 0; } code { font-size: 12.5px; }
@media print { body { margin: 0; max-width: none; } h2, svg, tr { break-inside: avoid; } }
"""


def report(evidence: Evidence, verdicts: Sequence[Verdict]) -> str:
    """The whole page."""
    sections = [
        _head(evidence, verdicts),
        _promises(verdicts),
        _timeline(evidence),
        _exposure(evidence),
        _readable(evidence),
        _distributions(evidence),
        _freezes(evidence),
        _growth(evidence),
        _changes(evidence),
        _stays(evidence),
        _method(evidence),
    ]
    return page("Conclave: rotation drill", sections)


def page(title: str, sections: Iterable[str]) -> str:
    """An HTML page of these sections."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>\n'
        + "\n".join(sections)
        + "\n</body></html>\n"
    )


def head(title: str, began_at: float, facts: Iterable[tuple[str, str]], verdicts: Sequence[Verdict]) -> str:
    """Title, verdict in a sentence, and how it was held."""
    broken = [verdict for verdict in verdicts if not verdict.held]
    banner = f"All {len(verdicts)} promises held."
    if broken:
        banner = f"{len(broken)} of {len(verdicts)} promises did not hold: " + "; ".join(
            verdict.promise for verdict in broken
        )
    told = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(began_at))
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    return (
        f'<h1>{escape(title)}</h1><div class="dim">{told}</div>'
        f'<div class="banner {"broken" if broken else "held"}">{escape(banner)}</div><dl>{listed}</dl>'
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], numbers: frozenset[int]) -> str:
    """Cells are text; those of the columns in `numbers` stand to the right."""

    def cells(element: str, row: Sequence[str]) -> str:
        return "".join(
            f"<{element}{' class=n' if index in numbers else ''}>{escape(cell)}</{element}>"
            for index, cell in enumerate(row)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table><thead><tr>{cells('th', columns)}</tr></thead><tbody>{body}</tbody></table>"


def promises(verdicts: Sequence[Verdict]) -> str:
    """The verdicts, as a table."""
    rows = "".join(
        f'<tr><td class="mark {"ok" if verdict.held else "no"}">{"✔" if verdict.held else "✘"}</td>'
        f"<td><b>{escape(verdict.promise)}</b></td><td>{escape(verdict.figure)}</td></tr>"
        for verdict in verdicts
    )
    return f'<table class="told">{rows}</table>'


def _head(evidence: Evidence, verdicts: Sequence[Verdict]) -> str:
    config = evidence.config
    loss = config.get("loss") or 0.0
    facts = [
        ("meeting", f"{config.get('participants')} seats, {len(evidence.stays)} stays, "
         f"{len(evidence.changes)} changes, {len(evidence.epochs)} epochs, "
         f"{evidence.ended_at - evidence.began_at:.0f} s"),
        ("cipher suite", SUITE_NAMES.get(config.get("suite", 0), str(config.get("suite")))),
        ("server", config.get("server") or "one of the drill's own, on the same machine"),
        ("datagrams lost on purpose", f"{100 * loss:g} % in each direction" if loss else "none"),
        ("the adversaries were given", evidence.adversary_view),
        ("signaling, there and back", f"{ms(round_trip_s(evidence))} (nine in ten are faster)"),
        ("machine", f"{config.get('machine')}, Python {config.get('python')}; all in one process"),
        ("again by", str(config.get("command"))),
    ]  # fmt: skip
    if config.get("sabotage"):
        facts.append(("sabotage", f"{config['sabotage']}: this drill was meant to fail"))
    return head("Rotation drill", evidence.began_at, facts, verdicts)


def _promises(verdicts: Sequence[Verdict]) -> str:
    return (
        "<h2>What was promised</h2><p>Where something must not succeed, the same attempt was also made where "
        "it must, and a promise counts as kept only if that one did.</p>" + promises(verdicts)
    )


def _timeline(evidence: Evidence) -> str:
    return (
        "<h2>Epochs</h2><p>A lane for each seat, a bar for each stay in it. A bar's colour and number are "
        "the epoch whose keys that participant sealed its frames with at the time; where colours change in "
        "one column, everybody switched together.</p>" + plots.legend() + plots.timeline(evidence)
    )


def _exposure(evidence: Evidence) -> str:
    return (
        "<h2>Exposure windows</h2><p>For each who went: the time until the first member had processed the "
        "commit (pale), and until the last sender sealed under the new keys (dark). The red dot is the last "
        "frame that the keys of who went could still open, by the time at which it was sealed. Crashes count "
        "from the end of the server's grace or their return, for until then nobody knows of them. "
        "On the right: what it opened of all that was sealed by senders who had processed the removal.</p>"
        + plots.exposure(evidence)
    )


def _readable(evidence: Evidence) -> str:
    text = (
        "<h2>Who could read which epoch</h2><p>Every key that a stay ever had, tried on frames of every "
        "epoch. Green: a member, and all opened. Pale green: a member, nothing was sent. Grey: no member, "
        "and nothing opened. Red would be anything else; in the thief's row it is what the stolen "
        "state read.</p>"
    )
    theft = evidence.theft
    if theft is not None:
        healed = f"epoch {theft.healed_epoch}" if theft.healed_epoch is not None else "never"
        text += (
            f"<p><b>A stolen state.</b> {theft.at - evidence.began_at:.0f} s into the drill all that "
            f"{escape(theft.stay)} had saved was copied, in epoch {theft.epoch}. The thief knows the link "
            f"and ran every later commit through the copy; it followed {theft.log.opened} of "
            f"{theft.log.tried}. The victim's own next commit, by which its keys are new: {healed}.</p>"
        )
    return text + plots.readable(evidence)


def _distributions(evidence: Evidence) -> str:
    return (
        "<h2>How long things took</h2><p>The share of cases (from 0 to 1) that took at most so long. All "
        "participants share one process here, so what each computes is waited for by all.</p>"
        f'<div class="row">{"".join(plots.distributions(evidence))}</div>'
    )


def _freezes(evidence: Evidence) -> str:
    return (
        "<h2>Pictures that stood still</h2><p>Each dot is a running picture that did not go on for over "
        "300 ms, counted on opened frames, less what this process stood still or the server waited for a "
        "processor (grey bands). Violet: keys were changing. Dots are amber if the keys may be why, red if "
        "for over 500 ms; grey if no keys changed, or if the server says that it held that stream back "
        "because the path to its watcher did not take it. The red line is 500 ms; what took over three "
        "seconds stands at the upper edge.</p>" + plots.freezes(evidence)
    )


def _growth(evidence: Evidence) -> str:
    return (
        "<h2>Cost by size</h2><p>In this drill; <code>conclave drill --mls-only</code> goes up to 1000 "
        f'members.</p><div class="row">{"".join(plots.growth(evidence))}</div>'
    )


def _changes(evidence: Evidence) -> str:
    columns = (
        "s", "what", "epoch", "members", "commit", "processed", "switched", "last opened", "opened after",
        "first picture", "commit bytes", "Welcome bytes",
    )  # fmt: skip
    rows = [_change_row(change, evidence) for change in evidence.changes]
    return (
        "<h2>Every change</h2><p>Times are from the event, for crashes from the end of the grace or the "
        "return: to the first member's processing of the commit, to the last member's, to the last sender's "
        "switch, to the last frame that who went could open, to the joiner's first picture of the first and "
        "of the last of those who were there and stayed.</p>"
        + table(columns, rows, frozenset({0, *range(2, len(columns))}))
    )


def _change_row(change: Change, evidence: Evidence) -> list[str]:
    begin = begin_of(change)

    def since(at: float | None) -> str:
        return "–" if at is None else ms(at - begin)

    epoch = evidence.epochs.get(change.epoch) if change.epoch is not None else None
    firsts = sorted(at for at in first_pictures_s(change, evidence).values() if at is not None)
    found = change.exposure
    switched = switch_s(change)
    return [
        f"{change.at - evidence.began_at:.1f}",
        f"{change.stay} {plots.MARKS[change.kind][1]}",
        "never" if change.epoch is None else str(change.epoch),
        str(change.members or "–"),
        since(change.commit_at),
        since(change.last_processed_at),
        "–" if switched is None else ms(switched),
        "–" if found is None or found.last_opened_at is None else ms(max(0.0, found.last_opened_at - begin)),
        "–" if found is None else f"{found.after.opened}/{found.after.tried}",
        f"{ms(firsts[0])} … {ms(firsts[-1])}" if firsts else "–",
        str(epoch.commit_bytes) if epoch else "–",
        str(epoch.welcome_bytes) if epoch and change.kind.comes else "–",
    ]


def _stays(evidence: Evidence) -> str:
    columns = (
        "who", "from", "to", "sent", "opened", "sounds missing", "did not open", "packets after the cut",
        "end",
    )  # fmt: skip
    rows = []
    for name, stay in evidence.stays.items():
        opened = sum(stream.opened for stream in stay.streams.values())
        missing = sum(stream.missing for stream in stay.streams.values() if stream.kid_context == 0)
        refused = ", ".join(f"{count} {reason}" for reason, count in stay.refused.items()) or "none"
        rows.append(
            [
                name + (" (encodes, decodes)" if stay.encodes else ""),
                f"{(stay.entered_at or stay.asked_at) - evidence.began_at:.1f} s",
                f"{(stay.ended_at or evidence.ended_at) - evidence.began_at:.1f} s",
                str(stay.sealed),
                str(opened),
                str(missing),
                refused,
                "–" if stay.packets_after_cut is None else str(stay.packets_after_cut),
                stay.end_reason,
            ]
        )
    warned = "".join(
        f"<li>{escape(name)}: {escape(text)}</li>"
        for name, stay in evidence.stays.items()
        for text in stay.warnings
    )
    failed = "".join(f"<li>{escape(text)}</li>" for text in evidence.failures)
    return (
        "<h2>Every stay</h2><p>Frames, of picture and sound together. Sounds that are missing were lost on "
        "their way or not sent in time by a machine with too much to do; frames that did not open are "
        "those that came and for which there was no key, or another reason that stands there.</p>"
        + table(columns, rows, frozenset({1, 2, 3, 4, 5, 7}))
        + (f"<p>What participants were warned of:</p><ul>{warned}</ul>" if warned else "")
        + (f"<p>What went wrong with the drill itself:</p><ul>{failed}</ul>" if failed else "")
    )


def _method(evidence: Evidence) -> str:
    kinds = {kind: sum(change.kind is kind for change in evidence.changes) for kind in Kind}
    counted = ", ".join(f"{count} × {kind}" for kind, count in kinds.items() if count)
    return (
        "<h2>How this was measured, and what it does not show</h2>"
        f"<p>{escape(counted)}. All participants are real ones (WebSocket, ICE, DTLS, SRTP, MLS, SFrame) "
        "that run in one process and share one clock; two encode and decode, the others send what was "
        "encoded before and count what they open. Nothing in them was changed, except that nobody "
        "forgets a key.</p>"
        f"<p>The adversaries were given {escape(evidence.adversary_view)}. Each tried every secret that it "
        "ever had on a frame, whatever the frame says of itself: on all frames within ten seconds of its "
        "event, and on one in ten of the others. They listen; none of them forges, replays or withholds. "
        "The thief does not use the stolen signature key to come in as its victim, which members would see "
        "as the victim's return.</p>"
        "<p>On one machine, round trips are short and computing is waited for in turn: on a real network the "
        "first grow and the second shrinks. Times in which the process stood still are told apart and "
        "subtracted from freezes. Sizes, timing and who is connected stay visible to the server.</p>"
    )
