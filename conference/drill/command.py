"""What `conclave drill` runs: the drill, its verdicts, and its reports."""

import asyncio
import json as json_
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from conference.drill.evidence import Evidence
from conference.drill.growth import grow
from conference.drill.growth import judge as judge_growth
from conference.drill.growth_report import growth_report
from conference.drill.promises import judge, round_trip_s
from conference.drill.report import report
from conference.drill.run import DrillConfig, hold
from conference.drill.schedule import MIN_PARTICIPANTS
from conference.drill.screen import Screen
from conference.errors import ConferenceError
from conference.proof.processes import RunError
from conference.proof.verdict import Verdict, exit_code, show_verdicts

MIN_SECONDS = 10.0
MIN_CHURN = 6
INTERRUPTED = 130  # as a shell has it of what Ctrl-C ended
REKEYS_NOT = "no-rekey-on-leave"


async def drill(config: DrillConfig, *, json: Path | None = None, html: Path | None = None) -> int:
    """Hold a drill. The exit code: 0 if every promise held, 1 if one did not, 2 if there was no drill, 3 if
    this machine was too late with its work to tell, 130 if it was interrupted."""
    screen = Screen()
    folder = Path(tempfile.mkdtemp(prefix="conclave-drill-"))
    try:
        _check(config)
        _check_files(json, html)
        with screen:
            evidence = await hold(config, folder, screen)
    except (RunError, ConferenceError) as error:
        screen.console.print(f"The drill could not be held: {error}", style="bold red")
        return 2
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    evidence.config = shown(config)
    verdicts = judge(evidence)
    show_verdicts(screen.console, verdicts)
    if json is not None:
        await asyncio.to_thread(json.write_text, as_json(evidence, verdicts))
    if html is not None:
        await asyncio.to_thread(html.write_text, report(evidence, verdicts), "utf-8")
        screen.console.print(f"The report: {html}")
    if evidence.was_interrupted:
        screen.console.print("It was interrupted: what had not happened until then counts as not kept.")
        return INTERRUPTED
    return exit_code(verdicts)


async def drill_mls(
    suite: int, sizes: Sequence[int], seed: int, *, sabotage: str | None, json: Path | None, html: Path | None
) -> int:
    """The same without media. The exit code as of `drill`."""
    screen = Screen()
    try:
        if sabotage not in (None, REKEYS_NOT):
            raise RunError(f"Without media there is one promise to break: {REKEYS_NOT}.")
        _check_files(json, html)
    except RunError as error:
        screen.console.print(f"The drill could not be held: {error}", style="bold red")
        return 2
    screen.step("Groups of MLS: members join, are removed, renew their keys; a state is stolen")
    growth = grow(suite, sizes, seed, rekeys=sabotage is None, told=screen.say)
    verdicts = judge_growth(growth)
    show_verdicts(screen.console, verdicts)
    if json is not None:
        found = {"conclave_drill_mls": 1, "verdicts": [asdict(each) for each in verdicts], **asdict(growth)}
        await asyncio.to_thread(json.write_text, json_.dumps(found, indent=1))
    if html is not None:
        command = " ".join(["conclave", *sys.argv[1:]])
        await asyncio.to_thread(html.write_text, growth_report(growth, verdicts, command), "utf-8")
        screen.console.print(f"The report: {html}")
    return exit_code(verdicts)


def _check(config: DrillConfig) -> None:
    """Better said now than at the end. Raises RunError."""
    if config.participants < MIN_PARTICIPANTS:
        raise RunError(f"A drill has {MIN_PARTICIPANTS} participants or more.")
    if config.churn < MIN_CHURN:
        raise RunError(f"A drill has {MIN_CHURN} changes or more: what does not happen proves nothing.")
    if 60 * config.minutes < MIN_SECONDS:
        raise RunError(f"A drill takes {MIN_SECONDS:.0f} seconds or more.")
    if not 0 <= config.loss < 1 or (config.server is not None and config.loss):
        raise RunError("Of media, 0 to 99 per cent can be lost, and only before a server of the drill's own.")
    if config.server is not None and config.sabotage == "ghost-member":
        raise RunError("Only a server of the drill's own can be made to lie; leave out --server.")


def _check_files(*written: Path | None) -> None:
    for path in written:
        try:
            if path is not None:
                path.touch()
        except OSError as error:
            raise RunError(f"{path} cannot be written: {error.strerror}.") from error


def shown(config: DrillConfig) -> dict[str, Any]:
    """What a report says of how the drill was held."""
    fields = {name: value for name, value in asdict(config).items() if name != "token"}
    return fields | {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "command": " ".join(["conclave", *sys.argv[1:]]),
    }


def as_json(evidence: Evidence, verdicts: list[Verdict]) -> str:
    """Everything, for programs."""
    found = asdict(evidence)
    for stay in found["stays"].values():
        stay["streams"] = list(stay["streams"].values())
    found["lateness"] = {slot: round(late_s, 4) for slot, late_s in evidence.lateness.slots.items()}
    for epoch in found["epochs"].values():
        epoch["codes"] = sorted(epoch["codes"])
    return json_.dumps(
        {
            "conclave_drill": 1,
            "held": all(verdict.held for verdict in verdicts),
            "verdicts": [asdict(verdict) for verdict in verdicts],
            "round_trip_s": round_trip_s(evidence),
            **found,
        },
        indent=1,
    )
