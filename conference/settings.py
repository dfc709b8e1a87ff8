"""Settings of a command: from one table come its flags, environment, TOML file and help.

A setting called `media-port` is `--media-port N` on the command line, `CONCLAVE_MEDIA_PORT` in the
environment and `media_port` in the file that `--config` or `CONCLAVE_CONFIG` names. The command line goes
before the environment, the environment before the file, the file before the default.
"""

import argparse
import difflib
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Values = dict[str, Any]


class SettingError(Exception):
    """A setting is not what it can be; says which, where it stands, and what it can be."""


@dataclass(frozen=True)
class Setting:
    """One row of the table."""

    name: str
    help: str
    read: Callable[[str], Any] = str
    """Makes the value of a text; raises ValueError with a sentence."""
    default: Any = None
    metavar: str = "TEXT"
    is_list: bool = False
    """May be given more than once; in the environment with commas, in the file as a list."""
    is_switch: bool = False
    """On or off: a flag without value, 1 or 0 in the environment, true or false in the file."""
    is_secret: bool = False
    """Not on the command line, which other users of the machine can read."""
    choices: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return self.name.replace("-", "_")

    @property
    def variable(self) -> str:
        return f"CONCLAVE_{self.key.upper()}"

    def value_of(self, text: str, where: str) -> Any:
        """The value of one text. Raises SettingError."""
        try:
            if self.is_switch:
                return _switch(text)
            value = self.read(text)
        except ValueError as error:
            raise SettingError(f"{where}: {error}") from None
        if self.choices and value not in self.choices:
            raise SettingError(f"{where}: expected one of {', '.join(self.choices)}, not {text!r}")
        return value

    def from_environment(self, text: str) -> Any:
        if not self.is_list:
            return self.value_of(text, self.variable)
        return tuple(self.value_of(part.strip(), self.variable) for part in text.split(",") if part.strip())

    def from_file(self, value: object, where: str) -> Any:
        """The value of what a TOML file says."""
        where = f"{where}: {self.key}"
        if self.is_list:
            if not isinstance(value, list):
                raise SettingError(f"{where}: expected a list")
            return tuple(self._scalar(each, where) for each in value)
        return self._scalar(value, where)

    def _scalar(self, value: object, where: str) -> Any:
        if isinstance(value, bool) != self.is_switch or not isinstance(value, str | int | float):
            expected = "true or false" if self.is_switch else "a text or a number"
            raise SettingError(f"{where}: expected {expected}")
        return self.value_of(str(int(value)) if self.is_switch else str(value), where)

    def add_flag(self, parser: argparse._ArgumentGroup) -> None:
        """Its flag, or for a secret its line in the help."""
        if self.is_secret:
            return
        told = f"{self.help} [{self.variable}]"
        if self.is_switch:
            parser.add_argument(f"--{self.name}", action="store_true", default=None, help=told)
            return
        parser.add_argument(
            f"--{self.name}",
            action="append" if self.is_list else "store",
            metavar=None if self.choices else self.metavar,
            choices=self.choices or None,
            type=str if self.choices else self._argument,
            help=told,
        )

    def _argument(self, text: str) -> Any:
        try:
            return self.read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None


@dataclass(frozen=True)
class Group:
    """Settings that belong together, under a heading of the help."""

    title: str
    settings: tuple[Setting, ...]


class Table:
    """All settings of a command."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self.groups = tuple(groups)
        self.settings = {each.key: each for group in groups for each in group.settings}

    def add_flags(self, parser: argparse.ArgumentParser) -> None:
        """A flag for each, and for the file; what is not given stays None."""
        parser.add_argument(
            "--config",
            type=Path,
            metavar="FILE",
            help="a TOML file with any of the settings below [CONCLAVE_CONFIG]",
        )
        for group in self.groups:
            section = parser.add_argument_group(group.title)
            for setting in group.settings:
                setting.add_flag(section)

    @property
    def epilog(self) -> str:
        """How the three ways are called, and the settings that have no flag."""
        secrets = "\n".join(
            f"  {each.variable:<26} {each.help}" for each in self.settings.values() if each.is_secret
        )
        return (
            "Every setting can be given in three ways: --media-port 5004 here, CONCLAVE_MEDIA_PORT=5004 in\n"
            "the environment, media_port = 5004 in the file of --config. The first of these that says\n"
            "anything counts. What can be given more than once is separated by commas in the environment\n"
            "and is a list in the file; what takes no value is 1 or 0, or true or false.\n\n"
            "Secrets have no flag, because others on this machine can read those:\n" + secrets
        )

    def values(self, options: argparse.Namespace, environment: Mapping[str, str]) -> Values:
        """All values. Raises SettingError."""
        path = options.config or _path(environment.get("CONCLAVE_CONFIG"))
        file = self.from_file(path) if path is not None else {}
        return {
            key: self._value(setting, getattr(options, key, None), environment, file)
            for key, setting in self.settings.items()
        }

    def _value(self, setting: Setting, given: Any, environment: Mapping[str, str], file: Values) -> Any:
        if given is not None:
            return tuple(given) if setting.is_list else given
        if setting.variable in environment:
            return setting.from_environment(environment[setting.variable])
        return file.get(setting.key, setting.default)

    def from_file(self, path: Path) -> Values:
        """What a TOML file sets. Raises SettingError."""
        try:
            with path.open("rb") as opened:
                document = tomllib.load(opened)
        except OSError as error:
            raise SettingError(f"{path} cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingError(f"{path} is not a TOML file: {error}") from error
        values: Values = {}
        for key, value in document.items():
            setting = self.settings.get(key)
            if setting is None:
                near = difflib.get_close_matches(key, self.settings, 1)
                hint = f"; perhaps {near[0]!r} is meant" if near else ""
                raise SettingError(f"{path}: there is no setting called {key!r}{hint}")
            values[key] = setting.from_file(value, str(path))
        return values


# --- what values can be ---------------------------------------------------------------------------


def port(text: str) -> int:
    """A port; 0 is any."""
    if not (text.isdecimal() and text.isascii() and int(text) < 65536):
        raise ValueError(f"a port is a number from 0 to 65535, not {text!r}")
    return int(text)


def count(text: str) -> int:
    """A number from 1 on."""
    if not (text.isdecimal() and text.isascii() and 0 < int(text) < 10**9):
        raise ValueError(f"expected a number from 1 on, not {text!r}")
    return int(text)


def duration(text: str) -> float:
    """Seconds, or with a letter minutes, hours, days: 90, 90s, 15m, 12h, 1d."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    unit = units.get(text[-1:])
    digits = text[:-1] if unit else text
    if not (digits.isdecimal() and digits.isascii() and 0 < int(digits) < 10**9):
        raise ValueError(f"expected a duration such as 90s, 15m, 12h or 1d, not {text!r}")
    return float(int(digits) * (unit or 1))


def endpoint(text: str) -> tuple[str, int]:
    """An address and a port, as in 127.0.0.1:9464 or [::1]:9464."""
    host, colon, number = text.rpartition(":")
    if not colon or not host:
        raise ValueError(f"expected an address and a port such as 127.0.0.1:9464, not {text!r}")
    return host.removeprefix("[").removesuffix("]"), port(number)


def _switch(text: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if text.lower() not in words:
        raise ValueError(f"expected 1 or 0, not {text!r}")
    return words[text.lower()]


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None
