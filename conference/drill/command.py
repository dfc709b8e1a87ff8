"""What `conclave drill` runs: the drill, its verdicts, and its reports."""

import asyncio
import json as json_
import platform
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from conference.drill.evidence import Evidence
from conference.drill.promises import judge, round_trip_s
from conference.drill.run import DrillConfig, hold
from conference.drill.schedule import MIN_PARTICIPANTS
from conference.drill.screen import Screen
from conference.errors import ConferenceError
from conference.proof.processes import RunError
from conference.proof.verdict import Verdict, show_verdicts

MIN_SECONDS = 10.0


async def drill(config: DrillConfig, *, json: Path | None = None) -> int:
    """Hold a drill. The exit code: 0 if every promise held, 1 if not, 2 if it could not be held."""
    screen = Screen()
    folder = Path(tempfile.mkdtemp(prefix="conclave-drill-"))
    try:
        _check(config, [path for path in (json,) if path is not None])
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
    return 0 if all(verdict.held for verdict in verdicts) else 1


def _check(config: DrillConfig, written: list[Path]) -> None:
    """Better said now than at the end. Raises RunError."""
    if config.participants < MIN_PARTICIPANTS:
        raise RunError(f"A drill has {MIN_PARTICIPANTS} participants or more.")
    if 60 * config.minutes < MIN_SECONDS:
        raise RunError(f"A drill takes {MIN_SECONDS:.0f} seconds or more.")
    if config.server is not None and config.sabotage == "ghost-member":
        raise RunError("Only a server of the drill's own can be made to lie; leave out --server.")
    for path in written:
        try:
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
