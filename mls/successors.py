"""Groups that follow from a group: reinitialized (RFC 9420 §11.2), branched off (§11.3)."""

from collections.abc import Callable, Sequence

from mls.errors import InvalidWelcome, MisuseError
from mls.events import Member
from mls.group_state import GroupState
from mls.leaf_node import MLS10
from mls.psk import ResumptionPSKID, ResumptionPSKUsage

# Whether two members, of a former group and of the one that follows, are one according to the application.
Matches = Callable[[Member, Member], bool]


def same_credential(one: Member, other: Member) -> bool:
    """That both present one credential."""
    return one.credential == other.credential


def check_successor(
    psk: ResumptionPSKID, joined: GroupState, groups: Sequence[GroupState], matches: Matches
) -> None:
    """That a group that was joined may follow from the one that the PSK names. Raises InvalidWelcome."""
    former = next((group for group in groups if group.group_id == psk.psk_group_id), None)
    if former is None:
        raise InvalidWelcome(f"the group that this one follows, {psk.psk_group_id.hex()}, is not at hand")
    # §11.2: "The `epoch` in the Welcome message MUST be 1."
    # §11.3: "The `epoch` in the Welcome message MUST be 1."
    if joined.epoch != 1:
        raise InvalidWelcome(f"a group that follows another is joined in epoch 1, not {joined.epoch}")
    if psk.usage == ResumptionPSKUsage.REINIT:
        _check_reinitialized(psk, joined, former, matches)
    else:
        _check_branched(psk, joined, former, matches)


def _check_reinitialized(
    psk: ResumptionPSKID, joined: GroupState, former: GroupState, matches: Matches
) -> None:
    """§11.2: version, suite, id and extensions "MUST be the same as [...] in the ReInit proposal".

    And the members must be those of the former group: "with the same membership".
    """
    reinit, context = former.reinit, joined._epoch.context
    # §11.2: "the `epoch` field indicates the epoch after the Commit covering the ReInit"
    if reinit is None or former.epoch != psk.psk_epoch:
        raise InvalidWelcome(f"no ReInit led to epoch {psk.psk_epoch} of group {psk.psk_group_id.hex()}")
    for name, asked, found in (
        ("version", reinit.version, context.version),
        ("cipher suite", reinit.cipher_suite, context.cipher_suite),
        ("group id", reinit.group_id, context.group_id),
        ("extensions", reinit.extensions, context.extensions),
    ):
        if asked != found:
            raise InvalidWelcome(f"the {name} of the new group is not that of the ReInit")
    strangers, missing = _compared(former.members, joined.members, matches)
    if strangers:
        raise InvalidWelcome(f"{strangers[0].credential} was nobody of the group, or comes twice")
    if missing:
        raise InvalidWelcome(f"{missing[0].credential} was in the group, and is not in the new one")


def _check_branched(psk: ResumptionPSKID, joined: GroupState, former: GroupState, matches: Matches) -> None:
    """A subset of the members, with the same parameters.

    §11.3: who joins "MUST verify that the new group reflects a subgroup branched from the referenced group".
    """
    if joined.cipher_suite != former.cipher_suite:
        raise InvalidWelcome("the subgroup has another cipher suite than the group it branches from")
    # §11.3: "Each LeafNode in a new subgroup MUST match some LeafNode in the original group."
    before = former._members_in(psk.psk_epoch)
    for member in joined.members:
        if not any(matches(each, member) for each in before):
            raise InvalidWelcome(f"member {member.leaf_index} of the subgroup was not in the group")


def _compared(
    before: Sequence[Member], after: Sequence[Member], matches: Matches
) -> tuple[list[Member], list[Member]]:
    """Who is in a new group and was not in the former, and the other way round; each counts for one."""
    strangers, missing = [], list(before)
    for new in after:
        found = next((member for member in missing if matches(member, new)), None)
        if found is None:
            strangers.append(new)
        else:
            missing.remove(found)
    return strangers, missing


def check_can_reinitialize(former: GroupState, others: Sequence[Member], matches: Matches) -> None:
    """§12.4.1: that the new group has "the same members as the original group". Raises MisuseError."""
    reinit = former.reinit
    if reinit is None:
        raise MisuseError("no ReInit was committed in this group")
    if reinit.version != MLS10:
        raise MisuseError(f"protocol version {reinit.version} is not known here")
    rest = [member for member in former.members if member.leaf_index != former.own_leaf]
    strangers, missing = _compared(rest, others, matches)
    if strangers:
        raise MisuseError(f"{strangers[0].credential} is nobody of the group, or comes twice")
    if missing:
        raise MisuseError(f"no KeyPackage of {missing[0].credential}, who is in the group")


def check_can_branch(former: GroupState, others: Sequence[Member], matches: Matches) -> None:
    """§11.3, for who creates the subgroup. Raises MisuseError."""
    for new in others:
        if not any(matches(member, new) for member in former.members):
            raise MisuseError(f"{new.credential} is nobody of the group")
