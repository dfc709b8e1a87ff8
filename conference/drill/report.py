"""The report of a drill: one HTML file that needs nothing else, for people who were not there."""

from collections.abc import Sequence
from html import escape

from conference.drill import plots
from conference.drill.evidence import Change, Evidence
from conference.drill.page import SUITE_NAMES, head, page, promises, table, wide
from conference.drill.promises import (
    begin_of,
    first_pictures_s,
    late_s,
    late_share,
    ms,
    round_trip_s,
    switch_s,
)
from conference.drill.schedule import Kind
from conference.proof.verdict import Verdict

WORDS = (
    ("epoch", "a time during which the members of the group, and the keys, are the same. They are numbered."),
    ("commit", "a signed message of a member that ends an epoch: somebody is added or removed, or keys are "
     "renewed. Whoever processes it has the keys of the next epoch; whoever it removes cannot."),
    ("Welcome", "what somebody who joins is sent, to come into the group at the epoch that a commit began."),
    ("to seal, to open", "to encrypt one frame of picture or sound, and to decrypt it, if it is whole."),
    ("switch", "from then on a sender seals under the next epoch's keys."),
    ("stay", "one participant from coming to going. Who comes back has another one, with a number: Eva 2."),
    ("round trip", "from one participant to the server and on to another: what a message takes."),
)  # fmt: skip


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
        ("it was late with its work", _lateness(evidence)),
        ("again by", str(config.get("command"))),
    ]  # fmt: skip
    if evidence.was_interrupted:
        facts.append(("interrupted", "by Ctrl-C: what had not happened until then counts as not kept"))
    if config.get("sabotage"):
        facts.append(("sabotage", f"{config['sabotage']}: this drill was meant to fail"))
    return head("Rotation drill", evidence.began_at, facts, verdicts)


def _lateness(evidence: Evidence) -> str:
    share = late_share(evidence)
    longest = max((end - begin for begin, end in evidence.stalls), default=0.0)
    return f"{100 * share:.0f} % of the time; over 50 ms: {len(evidence.stalls)} times, {ms(longest)} at most"


def _promises(verdicts: Sequence[Verdict]) -> str:
    return (
        "<h2>What was promised</h2><p>Where something must not succeed, the same attempt was also made where "
        "it must, and a promise counts as kept only if that one did. A question mark: a bound of time was "
        "passed, but by no more than this machine was late meanwhile with what it had to do, so that nothing "
        "is said about the promise.</p>" + promises(verdicts) + _words()
    )


def _words() -> str:
    words = "".join(f"<dt>{escape(word)}</dt><dd>{escape(told)}</dd>" for word, told in WORDS)
    return f"<h2>Words</h2><dl>{words}</dl>"


def _timeline(evidence: Evidence) -> str:
    return (
        "<h2>Epochs</h2><p>A lane for each seat, a bar for each stay in it. A bar's colour and number are "
        "the epoch whose keys that participant sealed its frames with at the time; where colours change in "
        "one column, everybody switched together.</p>"
        + wide(plots.legend() + plots.timeline(evidence), "epochs over time")
    )


def _exposure(evidence: Evidence) -> str:
    return (
        "<h2>Exposure windows</h2><p>For each who went: the time until the first member had processed the "
        "commit (pale), and until the last sender sealed under the new keys (dark). The red dot is the last "
        "frame that the keys of who went could still open, by the time at which it was sealed. Crashes count "
        "from the end of the server's grace or their return, for until then nobody knows of them. "
        "On the right: what it opened of all that was sealed by senders who had processed the removal.</p>"
        + wide(plots.exposure(evidence), "exposure windows")
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
        kept = "".join(f", with media keys of epoch {each}, not yet erased" for each in theft.kept)
        text += (
            f"<p><b>A stolen state.</b> {theft.at - evidence.began_at:.0f} s into the drill all that "
            f"{escape(theft.stay)} held was copied, in epoch {theft.epoch}{kept}. The thief knows the link "
            f"and ran every later commit through the copy; it followed {theft.log.opened} of "
            f"{theft.log.tried}. The victim's own next commit, by which its keys are new: {healed}.</p>"
        )
    return text + wide(plots.readable(evidence), "who could read which epoch")


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
        "seconds stands at the upper edge.</p>" + wide(plots.freezes(evidence), "freezes")
    )


def _growth(evidence: Evidence) -> str:
    return (
        "<h2>Cost by size</h2><p>In this drill; <code>conclave drill --mls-only</code> goes up to 1000 "
        f'members.</p><div class="row">{"".join(plots.growth(evidence))}</div>'
    )


def _changes(evidence: Evidence) -> str:
    columns = (
        "s", "what", "epoch", "members", "commit", "processed", "switched", "last opened", "opened after",
        "first picture", "commit bytes", "Welcome bytes", "late",
    )  # fmt: skip
    rows = [_change_row(change, evidence) for change in evidence.changes]
    return (
        "<h2>Every change</h2><p>Times are from the event, for crashes from the end of the grace or the "
        "return: to the first member's processing of the commit, to the last member's, to the last sender's "
        "switch, to the last frame that who went could open, to the joiner's first picture of the first and "
        "of the last of those who were there and stayed. Late: for how long, until the last switch, this "
        "machine did not come to what it had to do.</p>"
        + table(columns, rows, frozenset({0, *range(2, len(columns))}), "every change")
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
        "–" if change.last_switch_at is None else ms(late_s(evidence, begin, change.last_switch_at)),
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
        + table(columns, rows, frozenset({1, 2, 3, 4, 5, 7}), "every stay")
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
