"""`conclave drill --mls-only`: the same without media, for groups of up to a thousand: what a change costs.

Of each group a few members are really held: the leaves 0, 1, 2, 4, … and the last, who populate the tree by a
commit each, and whoever joins later. What they seal stands for media, and everybody's keys are tried on it.
"""

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import mls
from conference.epochs import secret_of
from conference.frames import CAMERA
from conference.proof.adversary import Follower, Hoard
from conference.proof.verdict import Attempt, Verdict
from conference.session import SFRAME_SUITE_OF
from sframe import EpochSecret, SendingEpochs, cipher_suite

ROUNDS = 3
"""How often each change is made in a group of each size."""


@dataclass(frozen=True)
class Cost:
    """What one change cost."""

    members: int
    """After it."""
    kind: str
    commit_bytes: int
    welcome_bytes: int
    commit_s: float
    """To make the commit."""
    process_s: float
    """For a member to process it, at the median of those held."""
    join_s: float | None = None
    """For who joins, to come in by the Welcome."""


@dataclass
class Trials:
    """What adversaries tried in groups of one size."""

    members: int
    epochs: int = 0
    split: int = 0
    """Epochs in which not all members held the same state."""
    member: Attempt = field(default_factory=Attempt)
    """Members on frames of their epochs: proof that the attempt can succeed."""
    gone: Attempt = field(default_factory=Attempt)
    come: Attempt = field(default_factory=Attempt)
    gone_log: Attempt = field(default_factory=Attempt)
    thief_until_healed: Attempt = field(default_factory=Attempt)
    thief_later: Attempt = field(default_factory=Attempt)
    thief_earlier: Attempt = field(default_factory=Attempt)


@dataclass
class Growth:
    """Costs and trials of all sizes."""

    suite: int
    seed: int
    began_at: float
    costs: list[Cost] = field(default_factory=list)
    trials: list[Trials] = field(default_factory=list)


@dataclass
class _Member:
    """Somebody who is really held, or was."""

    group: mls.Group
    hoard: Hoard
    from_epoch: int
    until_epoch: int | None = None
    """The first that it is not in."""
    follower: Follower | None = None

    @property
    def leaf(self) -> int:
        return self.group.own_leaf


@dataclass(frozen=True)
class _Frame:
    epoch: int
    payload: bytes


def grow(
    suite: int, sizes: Sequence[int], seed: int, *, rekeys: bool = True, told: Callable[[str], None]
) -> Growth:
    """Groups of all these sizes. `rekeys` False leaves in who goes: sabotage."""
    growth = Growth(suite, seed, time.time())
    for size in sizes:
        crowd = _Crowd(suite, size, random.Random(f"{seed}/{size}"))  # noqa: S311  (who does what)
        crowd.live(rekeys)
        growth.costs += crowd.costs
        growth.trials.append(crowd.judge())
        taken = statistics.median(cost.commit_s for cost in crowd.costs)
        told(f"{size:5} members: {crowd.trials.epochs} epochs, {1000 * taken:.1f} ms to commit at the median")
    return growth


class _Crowd:
    """A group of `size`, and its life."""

    def __init__(self, suite: int, size: int, chance: random.Random) -> None:
        self.trials = Trials(size)
        self.costs: list[Cost] = []
        self._suite = mls.cipher_suite(suite)
        self._sframe_suite = SFRAME_SUITE_OF[suite]
        self._chance = chance
        self._names = 0
        self._held: list[_Member] = []
        self._gone: list[_Member] = []
        self._come: list[_Member] = []
        self._frames: list[_Frame] = []
        self._log: list[tuple[int, bytes]] = []
        self._thief: Follower | None = None
        self._thief_hoard = Hoard(self._sframe_suite)
        self._stolen = self._healed = 0
        self._gather(size)

    # --- its life ---

    def _gather(self, size: int) -> None:
        """All come by one commit of the first; the tree is populated by those who are held."""
        key = mls.SignaturePrivateKey.generate(self._suite)
        credential = mls.BasicCredential(b"member 0")
        group = mls.Group.create(self._suite, b"drill", credential, key, now=time.time())
        bundles = [self._bundle() for _ in range(size - 1)]
        began = time.perf_counter()
        pending = group.commit(add=[each.key_package for each in bundles], now=time.time())
        commit_s = time.perf_counter() - began
        assert pending.welcome is not None
        self._held = [self._member(pending.group)]
        held = {1 << level for level in range(size.bit_length()) if 1 << level < size} | {size - 1}
        joins = [self._join(pending.welcome, bundles[leaf - 1]) for leaf in sorted(held)]
        message, welcome = len(pending.message), len(pending.welcome)
        join_s = statistics.median(joins)
        self.costs.append(Cost(size, "gather", message, welcome, commit_s, 0.0, join_s))
        self._send()
        for member in [*self._held[1:], self._held[0]]:
            self._commit("populate", member)

    def live(self, rekeys: bool) -> None:
        """Some join, some go, some renew their keys; one is robbed at the beginning, and heals midway."""
        victim = self._held[-1]
        self._steal(victim)
        for turn in range(ROUNDS):
            self._commit("add", self._other(victim), add=self._bundle())
            if turn == ROUNDS // 2:
                self._healed = victim.group.epoch + 1
                self._commit("update", victim)
            else:
                self._commit("update", self._other(victim))
            self._remove(victim, rekeys)

    def _remove(self, victim: _Member, rekeys: bool) -> None:
        leaver = self._chance.choice([each for each in self._held if each is not victim and each.leaf])
        committer = self._chance.choice([each for each in self._held if each not in (leaver, victim)])
        leaver.until_epoch = leaver.group.epoch + 1
        leaver.follower = Follower({}, lambda group: leaver.hoard.add(self._secret(group)))
        leaver.follower.group = leaver.group
        self._held.remove(leaver)
        self._gone.append(leaver)
        self._commit("remove", committer, remove=[leaver.leaf] if rekeys else [])

    def _steal(self, victim: _Member) -> None:
        self._thief = Follower({}, lambda group: self._thief_hoard.add(self._secret(group)))
        self._thief.group = mls.Group.load(bytes(victim.group))
        self._thief_hoard.add(self._secret(self._thief.group))
        self._stolen = victim.group.epoch

    def _commit(
        self,
        kind: str,
        committer: _Member,
        add: mls.KeyPackageBundle | None = None,
        remove: Sequence[int] = (),
    ) -> None:
        """One commit, processed by all who are held; adversaries who listen try it too."""
        now = time.time()
        began = time.perf_counter()
        adds = [add.key_package] if add is not None else []
        pending = committer.group.commit(add=adds, remove=remove, now=now)
        commit_s = time.perf_counter() - began
        self._log.append((committer.group.epoch, pending.message))
        process_s = [self._process(each, pending.message) for each in self._held if each is not committer]
        self._adopt(committer, pending.group)
        join_s = None
        if add is not None:
            assert pending.welcome is not None
            join_s = self._join(pending.welcome, add)
            self._come.append(self._held[-1])
        welcome_bytes = len(pending.welcome) if pending.welcome is not None else 0
        members, median = len(pending.group.members), statistics.median(process_s or [0.0])
        cost = Cost(members, kind, len(pending.message), welcome_bytes, commit_s, median, join_s)
        self.costs.append(cost)
        self._send()

    def _process(self, member: _Member, message: bytes) -> float:
        began = time.perf_counter()
        received = member.group.process(message, now=time.time())
        taken = time.perf_counter() - began
        assert isinstance(received, mls.CommitReceived)
        assert received.group is not None
        self._adopt(member, received.group)
        return taken

    def _join(self, welcome: bytes, bundle: mls.KeyPackageBundle) -> float:
        began = time.perf_counter()
        group = mls.Group.join(welcome, bundle, now=time.time())
        taken = time.perf_counter() - began
        self._held.append(self._member(group))
        return taken

    def _send(self) -> None:
        """Two of the members seal a frame each, and all are asked whether they are in one epoch."""
        self.trials.epochs += 1
        self.trials.split += len({each.group.epoch_authenticator for each in self._held}) != 1
        for member in self._chance.sample(self._held, min(2, len(self._held))):
            sending = SendingEpochs(cipher_suite(self._sframe_suite))
            sending.switch(self._secret(member.group))
            frame = b"\0" + self._chance.randbytes(100)
            self._frames.append(_Frame(member.group.epoch, sending.seal(CAMERA, frame, 1)))

    # --- what came of it ---

    def judge(self) -> Trials:
        """Everybody's keys on everything that was sent."""
        trials = self.trials
        for leaver in self._gone:
            assert leaver.follower is not None
            for epoch, message in self._log:
                leaver.follower.take(epoch, message)
            trials.gone_log.tried += leaver.follower.tried
            trials.gone_log.opened += leaver.follower.followed
        if self._thief is not None:
            for epoch, message in self._log:
                self._thief.take(epoch, message)
        for frame in self._frames:
            for member in (*self._held, *self._gone):
                _count(self._attempt(member, frame), member.hoard, frame)
            _count(self._thief_attempt(frame), self._thief_hoard, frame)
        return trials

    def _attempt(self, member: _Member, frame: _Frame) -> Attempt:
        if frame.epoch < member.from_epoch:
            return self.trials.come
        if member.until_epoch is not None and frame.epoch >= member.until_epoch:
            return self.trials.gone
        return self.trials.member

    def _thief_attempt(self, frame: _Frame) -> Attempt:
        if frame.epoch < self._stolen:
            return self.trials.thief_earlier
        return self.trials.thief_until_healed if frame.epoch < self._healed else self.trials.thief_later

    # --- small things ---

    def _bundle(self) -> mls.KeyPackageBundle:
        self._names += 1
        credential = mls.BasicCredential(b"member %d" % self._names)
        key = mls.SignaturePrivateKey.generate(self._suite)
        return mls.KeyPackageBundle.create(self._suite, credential, key, now=time.time())

    def _secret(self, group: mls.Group) -> EpochSecret:
        return secret_of(group, self._sframe_suite)

    def _member(self, group: mls.Group) -> _Member:
        member = _Member(group, Hoard(self._sframe_suite), group.epoch)
        member.hoard.add(self._secret(group))
        return member

    def _adopt(self, member: _Member, group: mls.Group) -> None:
        member.group = group
        member.hoard.add(self._secret(group))

    def _other(self, victim: _Member) -> _Member:
        return self._chance.choice([each for each in self._held if each is not victim])


def _count(attempt: Attempt, hoard: Hoard, frame: _Frame) -> None:
    attempt.tried += 1
    attempt.opened += hoard.find(frame.payload, 1) is not None


# --- verdicts -----------------------------------------------------------------------------------------


def judge(growth: Growth) -> list[Verdict]:
    """One verdict a promise, over all sizes."""
    trials = growth.trials

    def total(of: Callable[[Trials], Attempt]) -> Attempt:
        each = [of(trial) for trial in trials]
        return Attempt(sum(one.tried for one in each), sum(one.opened for one in each))

    epochs, split = sum(each.epochs for each in trials), sum(each.split for each in trials)
    member, gone, come = total(lambda t: t.member), total(lambda t: t.gone), total(lambda t: t.come)
    log, until = total(lambda t: t.gone_log), total(lambda t: t.thief_until_healed)
    later, earlier = total(lambda t: t.thief_later), total(lambda t: t.thief_earlier)
    return [
        Verdict(
            "All members of an epoch hold the same state",
            epochs > 0 and split == 0,
            f"{split} of {epochs} epochs were not one",
        ),
        Verdict(
            "Members open what is sent in their epochs",
            member.opened == member.tried > 0,
            f"{member.opened} of {member.tried} frames",
        ),
        Verdict(
            "Who was removed opens nothing sent since",
            gone.tried > 0 and log.tried > 0 and gone.opened == log.opened == 0,
            f"{gone.opened} of {gone.tried} frames; followed {log.opened} of {log.tried} commits",
        ),
        Verdict(
            "Who joins opens nothing from before",
            come.tried > 0 and come.opened == 0,
            f"{come.opened} of {come.tried} frames",
        ),
        Verdict(
            "A stolen state is shut out by its owner's next update",
            until.opened > 0 and later.tried > 0 and later.opened == earlier.opened == 0,
            f"{until.opened} of {until.tried} frames until then, {later.opened} of {later.tried} after, "
            f"{earlier.opened} of {earlier.tried} from before",
        ),
    ]
