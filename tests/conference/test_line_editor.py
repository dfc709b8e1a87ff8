"""What is typed becomes the line that a hand expects, however the octets are cut."""

import random

import pytest

from conference.line_editor import MAX_HISTORY, MAX_LINE, LineEditor


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        (b"hello", "hello"),
        ("Grüße 👋".encode(), "Grüße 👋"),
        (b"helo\x1b[Dl", "hello"),
        (b"hellp\x7fo", "hello"),
        (b"ello\x01h", "hello"),
        (b"hell\x1b[H\x1b[Fo", "hello"),
        (b"xhello\x1b[1~\x1b[3~", "hello"),
        (b"go away\x15hello", "hello"),
        (b"hello you there\x17\x17", "hello "),
        (b"hello world\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x0b", "hello"),
        (b"hel\x1b[200~\x1bxlo", "hello"),
        (b"\x7f\x1b[D\x1b[3~hello\x1b[C\x1b[C", "hello"),
        (b"he\x00\x02l\tlo", "hello"),
        (b"\xff\xfehello", "\ufffd\ufffdhello"),
    ],
)
def test_a_line(typed: bytes, line: str) -> None:
    assert LineEditor().feed(typed + b"\r") == [line]
    editor = LineEditor()
    assert [done for octet in typed + b"\n" for done in editor.feed(bytes([octet]))] == [line]
    assert (editor.text, editor.cursor) == ("", 0)


def test_what_was_typed_before_comes_back() -> None:
    editor = LineEditor()
    assert editor.feed(b"one\rtwo\rtwo\r\r") == ["one", "two", "two", ""]
    editor.feed(b"\x1b[A")
    assert editor.text == "two"
    editor.feed(b"\x1b[A\x1b[A\x1b[A")
    assert editor.text == "one"
    editor.feed(b"\x1b[B\x1b[B\x1b[B")
    assert editor.text == ""


def test_ctrl_d_says_that_nothing_more_comes_only_on_an_empty_line() -> None:
    editor = LineEditor()
    editor.feed(b"a\x04")
    assert not editor.is_over
    editor.feed(b"\x7f\x04")
    assert editor.is_over


def test_whatever_is_typed_stays_within_bounds() -> None:
    chance = random.Random(1)
    for _ in range(200):
        editor = LineEditor()
        editor.feed(chance.randbytes(300) + b"\x1b[A" * chance.randrange(3))
        assert 0 <= editor.cursor <= len(editor.text)
    editor = LineEditor()
    editor.feed(b"x" * (MAX_LINE + 5))
    assert len(editor.text) == MAX_LINE
    editor.feed(b"\r" + b"".join(b"%d\r" % number for number in range(2 * MAX_HISTORY)))
    assert len(editor._history) == MAX_HISTORY
