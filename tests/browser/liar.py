"""A server that lies: a real one, whose words are tampered with between its room and the WebSocket."""

from collections.abc import Callable
from typing import Any

import pytest

from signaling import messages as wire
from signaling.connection import Connection
from signaling.meeting import Meeting
from signaling.messages import ClientMessage, ServerMessage, decode_client, decode_server, encode

ToParticipant = Callable[[ServerMessage], ServerMessage | None]
OfParticipant = Callable[[ClientMessage], ClientMessage | None]


class Liar:
    """Between the server of this process and whoever is connected. Tells the truth until told otherwise."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.to: dict[str, ToParticipant] = {}
        """By participant id: what is told instead of each message; None leaves it out."""
        self.to_all: ToParticipant | None = None
        """For those of whom `to` says nothing."""
        self.of: dict[str, OfParticipant] = {}
        """What is heard instead of what the participant says."""
        self.on_knock: Callable[[str, wire.Knock], None] = lambda participant_id, knock: None
        self.told: dict[str, list[ServerMessage]] = {}
        """What each was told, or would have been."""
        self._connections: dict[str, Connection] = {}
        self._owners: dict[Connection, str] = {}
        self._held: dict[str, list[str]] = {}
        self._post, self._receive = Connection.post, Meeting.receive
        liar = self
        patch.setattr(Connection, "post", lambda connection, text: liar._tell(connection, text))
        patch.setattr(Meeting, "receive", lambda *heard: liar._hear(*heard))

    def say(self, participant_id: str, message: ServerMessage | str) -> bool:
        """Tell it this, which need not be a message at all; False if too much is on its way to it already."""
        text = message if isinstance(message, str) else encode(message)
        return self._post(self._connections[participant_id], text)

    def hold(self, participant_id: str) -> None:
        """Keep back what it is told, as a slow line does."""
        self._held[participant_id] = []

    def is_holding(self, participant_id: str) -> bool:
        return participant_id in self._held

    def release(self, participant_id: str) -> None:
        """All that was kept back arrives, in its order."""
        for text in self._held.pop(participant_id):
            self.say(participant_id, text)

    def tell_the_truth(self) -> None:
        self.to.clear()
        self.of.clear()

    def _tell(self, connection: Connection, text: str) -> bool:
        message: ServerMessage | None = decode_server(text)
        assert message is not None
        if isinstance(message, wire.Joined):
            self._is_of(connection, message.participant_id)
        who = self._owners.get(connection)
        if who is None:
            return self._post(connection, text)
        self.told.setdefault(who, []).append(message)
        tamper = self.to.get(who, self.to_all)
        if tamper is not None:
            message = tamper(message)
        if message is None:
            return True
        if who in self._held:
            self._held[who].append(encode(message))
            return True
        return self._post(connection, encode(message))

    def _hear(self, meeting: Meeting, connection: Connection, text: Any) -> None:
        message: ClientMessage | None = decode_client(text)
        if isinstance(message, wire.Resume):
            self._is_of(connection, message.participant_id)
        who = self._owners.get(connection)
        if who is not None and isinstance(message, wire.Knock):
            self.on_knock(who, message)
        if who in self.of and message is not None:
            message = self.of[who](message)
        if message is not None:
            self._receive(meeting, connection, encode(message))

    def _is_of(self, connection: Connection, participant_id: str) -> None:
        self._owners[connection] = participant_id
        self._connections[participant_id] = connection
