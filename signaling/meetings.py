"""DESIGN §8: the meetings of one server, from when they are made to when they are forgotten."""

import asyncio
import logging
from collections import Counter

from signaling.admission import TokenBucket
from signaling.deadlines import Deadlines
from signaling.effects import GOING_AWAY
from signaling.errors import StoreError
from signaling.limits import Limits
from signaling.logs import log_event
from signaling.meeting import Meeting, Surroundings
from signaling.metrics import Figures
from signaling.store import Store

_log = logging.getLogger("conclave.signaling")


class Meetings:
    """All meetings of a server: made on request, forgotten when nobody came for long."""

    def __init__(self, limits: Limits, store: Store, surroundings: Surroundings) -> None:
        self.store = store
        self._limits = limits
        self._surroundings = surroundings
        self._loop = asyncio.get_running_loop()
        self._created = TokenBucket(limits.meetings_per_s, limits.meetings_burst, self._loop.time())
        self._unused = Deadlines[str](limits.unused_meeting_s)
        self._unjoined = Deadlines[str](limits.unjoined_meeting_s)
        self._entrances: dict[str, TokenBucket] = {}
        self._meetings: dict[str, Meeting] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False
        for meeting_id in store.meetings():
            self._open(meeting_id)

    def __len__(self) -> int:
        return len(self._meetings)

    def create(self, meeting_id: str) -> bool:
        """Make room for a meeting; False if there are too many, or too many at once."""
        self._expire()
        if len(self._meetings) >= self._limits.meetings or not self._created.take(1, self._loop.time()):
            return False
        self.store.create(meeting_id)
        self._open(meeting_id)
        log_event(_log, logging.INFO, "meeting_created", open=len(self._meetings))
        return True

    def get(self, meeting_id: str) -> Meeting | None:
        meeting = self._meetings.get(meeting_id)
        if meeting is not None and meeting.is_closed and not self._is_closed:
            self._reopen(meeting)
        return self._meetings.get(meeting_id)

    def admits(self, meeting: Meeting) -> bool:
        """Whether one more may enter now; it is counted if so."""
        return self._entrances[meeting.meeting_id].take(1, self._loop.time())

    def touch(self, meeting: Meeting) -> None:
        """Somebody came or went: it counts as unused from now on."""
        meeting_id, now = meeting.meeting_id, self._loop.time()
        if self._meetings.get(meeting_id) is not meeting:
            return
        if meeting.was_joined:
            self._unjoined.stop(meeting_id)
            self._unused.start(meeting_id, now)
        self._schedule()

    def presences(self) -> Figures:
        """How many participants are in which state."""
        return Counter(state for meeting in self._meetings.values() for state in meeting.presences())

    def close(self) -> None:
        """Tell everybody, and hang up."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        for meeting in self._meetings.values():
            meeting.say_goodbye()
            meeting.close(GOING_AWAY)

    def _reopen(self, failed: Meeting) -> None:
        """With what the store has of it; while that cannot be read, it stays closed."""
        try:
            self._open(failed.meeting_id)
        except StoreError as error:
            log_event(_log, logging.ERROR, "store_failed", why=str(error))

    def _open(self, meeting_id: str) -> None:
        meeting = Meeting(
            meeting_id,
            self._limits,
            self.store,
            self._surroundings,
            failed=self._reopen,
        )
        now = self._loop.time()
        self._meetings[meeting_id] = meeting
        self._entrances.setdefault(meeting_id, TokenBucket.of(self._limits.entrances, now))
        if not meeting.was_joined:
            self._unjoined.start(meeting_id, now)
        self.touch(meeting)

    def _expire(self) -> None:
        now = self._loop.time()
        due = [*self._unused.due(now), *self._unjoined.due(now)]
        for meeting_id in due:
            meeting = self._meetings[meeting_id]
            if meeting.is_empty:
                self._forget(meeting)
            elif meeting.was_joined:
                self.touch(meeting)
            else:
                self._unjoined.start(meeting_id, now)
        self._schedule()

    def _forget(self, meeting: Meeting) -> None:
        meeting.close(GOING_AWAY)
        meeting_id = meeting.meeting_id
        del self._meetings[meeting_id], self._entrances[meeting_id]
        self._unused.stop(meeting_id)
        self._unjoined.stop(meeting_id)
        try:
            self.store.forget(meeting_id)
        except StoreError as error:  # it comes back with the next start, and is forgotten again
            log_event(_log, logging.ERROR, "store_failed", why=str(error))
        log_event(_log, logging.INFO, "meeting_forgotten", open=len(self._meetings))

    def _schedule(self) -> None:
        times = [at for at in (self._unused.next_timer(), self._unjoined.next_timer()) if at is not None]
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(min(times), self._expire) if times else None
