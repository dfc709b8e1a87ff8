"""What hosts type does what it says, and is refused with a sentence."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import conference.host_commands  # noqa: F401
from conference.commands import COMMANDS, obey
from conference.host_key import find_host_key, keep_host_key
from conference.link import X25519_SUITE, MeetingLink
from conference.roster import Person

PEOPLE = tuple(Person(leaf, name, name, name.encode()) for leaf, name in enumerate(("Ada", "Bob", "Bert")))
AT_THE_DOOR = tuple(Person(0, name, f"{name}'s id", b"key") for name in ("Dora", "Dave"))


class _Host:
    """Remembers what it was asked to do."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.done.append((name, *arguments))


class _Terminal:
    def __init__(self) -> None:
        self.host, self.said = _Host(), []
        self.meeting: Any = SimpleNamespace(
            members=PEOPLE,
            me=PEOPLE[0],
            waiting=AT_THE_DOOR,
            link="https://the.link",
            moderate=lambda act: act(self.host, 7.0),
        )

    def say(self, text: str) -> None:
        self.said.append(text)

    def leave(self) -> None:
        raise AssertionError


@pytest.mark.parametrize(
    ("line", "done"),
    [
        ("/admit Dora", ("admit", "Dora's id", 7.0)),
        ("/refuse da", ("refuse", "Dave's id", 7.0)),
        ("/lobby", ("set_lobby", True, 7.0)),
        ("/lobby off", ("set_lobby", False, 7.0)),
        ("/lock", ("set_locked", True, 7.0)),
        ("/remove bob", ("remove", "Bob", 7.0)),
        ("/bar Bert", ("bar", "Bert", 7.0)),
        ("/bar Dora", ("bar", "Dora's id", 7.0)),
        ("/newlink", ("change_link", 7.0)),
        ("/host #1", ("name_host", "Bob", 7.0)),
        ("/unhost Bob", ("strike_host", b"Bob", 7.0)),
        ("/end", ("end_for_all", 7.0)),
        ("/mute Bob", ("request_mute", "Bob", 7.0)),
        ("/mute all", ("request_mute", None, 7.0)),
    ],
)
async def test_what_a_host_types_is_done(line: str, done: tuple[Any, ...]) -> None:
    terminal = _Terminal()
    await obey(terminal, line)
    assert (terminal.host.done, terminal.said) == ([done], [])


@pytest.mark.parametrize(
    "line", ["/admit", "/admit D", "/admit Zoe", "/remove Zoe", "/lock maybe", "/hand sideways"]
)
async def test_what_cannot_be_is_said(line: str) -> None:
    terminal = _Terminal()
    await obey(terminal, line)
    assert terminal.host.done == []
    assert len(terminal.said) == 1


async def test_the_link_is_shown() -> None:
    terminal = _Terminal()
    await obey(terminal, "/link")
    assert terminal.said == ["https://the.link"]


def test_every_command_has_a_line_of_help() -> None:
    assert {
        "admit",
        "refuse",
        "remove",
        "bar",
        "lock",
        "newlink",
        "host",
        "end",
        "mute",
        "hand",
        "react",
    } <= set(COMMANDS)
    assert all(each.help for each in COMMANDS.values())


def test_the_key_of_a_host_is_found_where_it_was_kept(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    link = MeetingLink.create("https://meet.example", "A" * 22, public, suite=X25519_SUITE)
    assert find_host_key(link, tmp_path) is None
    keep_host_key(link.meeting_id, key, tmp_path)
    found = find_host_key(link, tmp_path)
    assert found is not None
    assert found.public_key().public_bytes_raw() == public
    elsewhere = MeetingLink.create("https://meet.example", "A" * 22, bytes(32), suite=X25519_SUITE)
    assert find_host_key(elsewhere, tmp_path) is None
    (tmp_path / "hosts" / f"{link.meeting_id}.pem").write_text("no key")
    assert find_host_key(link, tmp_path) is None
