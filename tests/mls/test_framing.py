"""Message framing: who may say what, to whom, when, and once (RFC 9420 §6, §9.2, §15.3)."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from mls import (
    ApplicationMessage,
    DecodeError,
    FutureEpoch,
    Group,
    InvalidMessage,
    Limits,
    MisuseError,
    OwnMessage,
    Replayed,
    TooFarAhead,
    TooOld,
    UnsupportedError,
    WrongGroup,
)
from mls.codec import encode_opaque
from mls.errors import BadSignature, BadTag, DecryptionFailed, ProposalsPending
from mls.framing import (
    ApplicationData,
    ContentType,
    ExternalSenderIndex,
    MemberSender,
    NewMemberCommit,
    NewMemberProposal,
    PrivateMessage,
    ProposalContent,
    PublicMessage,
)
from mls.message import MLSMessage, decode_message, encode_message
from mls.proposals import Remove


def test_application_messages(circle: Callable) -> None:
    group = circle("abc")
    message = group["a"].encrypt(b"hello", b"in the clear", padding=100)
    event = group["b"].process(message, now=group.now)
    assert event == ApplicationMessage(0, 1, b"hello", b"in the clear")
    assert b"in the clear" in message
    assert b"hello" not in message
    assert "hello" not in repr(event)
    group.everybody_hears()
    group.commit("b")
    group.everybody_hears()


def test_padding_hides_the_length(circle: Callable) -> None:
    group = circle("ab")["a"]
    assert len(group.encrypt(b"", padding=30)) == len(group.encrypt(bytes(30)))


def test_messages_out_of_order_and_once(circle: Callable, refused: Callable) -> None:
    group = circle("ab")
    messages = [group["a"].encrypt(bytes([number])) for number in range(40)]
    order = [39, 7, 20, 38, 8]
    for number in order:
        assert group["b"].process(messages[number], now=group.now).data == bytes([number])
    for number in order:
        refused(group["b"], messages[number], Replayed)
    refused(group["b"], messages[6], TooOld, "more than 32")


def test_messages_too_far_ahead(circle: Callable, refused: Callable) -> None:
    group = circle("ab")
    for _ in range(1001):
        last = group["a"].encrypt(b"")
    refused(group["b"], group["a"].encrypt(b"1001"), TooFarAhead)
    assert group["b"].process(last, now=group.now).data == b""
    assert group["b"].process(group["a"].encrypt(b"1002"), now=group.now).data == b"1002"


def test_limits_can_be_set(circle: Callable, refused: Callable) -> None:
    group = circle("a")
    bundle = group.bundle("b")
    pending = group["a"].commit(add=[bundle.key_package], now=group.now)
    limits = Limits(past_epochs=0, out_of_order=1, forward=2)
    joined = Group.join(pending.welcome, bundle, now=group.now, limits=limits)
    messages = [pending.group.encrypt(bytes([number])) for number in range(4)]
    refused(joined, messages[3], TooFarAhead)
    assert joined.process(messages[2], now=group.now).data == b"\2"
    refused(joined, messages[0], TooOld)
    after = joined.process(pending.group.commit(now=group.now).message, now=group.now).group
    refused(after, messages[1], TooOld, "epoch")


def test_late_messages_of_past_epochs(circle: Callable, refused: Callable) -> None:
    group = circle("ab")
    late = {}
    for epoch in range(1, 7):
        late[epoch] = [group["a"].encrypt(bytes([epoch])) for _ in range(2)]
        group.commit("a" if epoch % 2 else "b")
    assert group["b"].epoch == 7
    for epoch in (1, 2):
        refused(group["b"], late[epoch][0], TooOld, f"epoch {epoch}")
    for epoch in (3, 6, 5, 4):
        event = group["b"].process(late[epoch][1], now=group.now)
        assert (event.epoch, event.data, event.sender) == (epoch, bytes([epoch]), 0)
        refused(group["b"], late[epoch][1], Replayed)


def test_replay_is_noticed_across_epochs(circle: Callable, refused: Callable) -> None:
    group = circle("ab")
    message = group["a"].encrypt(b"once")
    group["b"].process(message, now=group.now)
    group.commit("b")
    refused(group["b"], message, Replayed)


def test_past_epochs_can_be_forgotten(circle: Callable, refused: Callable) -> None:
    group = circle("ab")
    first = group["a"].encrypt(b"first")
    group.commit("b")
    group.now += 60
    second = group["a"].encrypt(b"second")
    group.commit("a")
    group["b"].forget_past_epochs(group.now - 30)
    refused(group["b"], first, TooOld)
    assert group["b"].process(second, now=group.now).data == b"second"


def test_a_removed_member_can_still_be_heard_in_its_epoch(circle: Callable) -> None:
    group = circle("abc")
    late = group["c"].encrypt(b"bye")
    group.commit("a", remove=[2])
    assert group["b"].process(late, now=group.now).data == b"bye"


def test_other_groups_and_epochs(circle: Callable, refused: Callable) -> None:
    group, other = circle("ab"), circle("ab")
    ahead = Group.create(
        group.suite, b"another id", group["a"].members[0].credential, group.keys["a"], now=group.now
    )
    refused(group["b"], ahead.commit(now=group.now).message, WrongGroup, "this is")
    refused(group["b"], ahead.commit(now=group.now, private=False).message, WrongGroup)
    for private in (True, False):
        pending = group["a"].commit(now=group.now, private=private)
        for message in (
            pending.group.encrypt(b""),
            pending.group.commit(now=group.now, private=private).message,
        ):
            refused(group["b"], message, FutureEpoch, "epoch 2, and this group is in epoch 1")
    refused(group["b"], other["a"].encrypt(b""), DecryptionFailed)
    old = [group["a"].commit(now=group.now, private=private).message for private in (True, False)]
    group.commit("b")
    for message in old:
        refused(group["b"], message, TooOld, "epoch 1")


def test_own_messages(circle: Callable, refused: Callable) -> None:
    group = circle("ab")["a"]
    for message in (
        group.encrypt(b""),
        group.commit(now=0 + 1.7e9).message,
        group.commit(now=1.7e9, private=False).message,
        group.propose_remove(1, now=1.7e9),
    ):
        refused(group, message, OwnMessage)


def test_members_sign_for_themselves(circle: Callable, insider: Callable, refused: Callable) -> None:
    """A member knows the keys of all senders, so only the signature tells who it was."""
    group = circle("abc")
    forged = insider(group["c"]).private(ContentType.APPLICATION, encode_opaque(b"I am Alice"), leaf=0)
    refused(group["b"], forged, BadSignature)
    # ... and a forgery does not use up the key of the message that it imitates.
    assert group["b"].process(group["a"].encrypt(b"I am"), now=group.now).data == b"I am"

    mallory = insider(group["c"])
    mallory.sender = MemberSender(0)
    refused(group["b"], mallory.propose(Remove(1)), BadSignature)


def test_only_members_send_private_messages(circle: Callable) -> None:
    """§6.3.2: whoever is none has no leaf to name, and the message is not made."""
    group = circle("a")["a"]
    for sender in (ExternalSenderIndex(0), NewMemberProposal(), NewMemberCommit()):
        signed = group._sign(ProposalContent(Remove(0)), b"", private=True)
        signed = replace(signed, content=replace(signed.content, sender=sender))
        with pytest.raises(AssertionError):
            group._protect(signed)


def test_a_blank_sender(circle: Callable, insider: Callable, refused: Callable) -> None:
    group = circle("abcd")
    group.commit("a", remove=[1])
    mallory = insider(group["c"])
    refused(
        group["a"],
        mallory.private(ContentType.APPLICATION, encode_opaque(b""), leaf=1),
        InvalidMessage,
        "leaf 1 is blank",
    )
    for leaf in (1, 4, 2**32 - 1):
        mallory.sender = MemberSender(leaf)
        refused(group["a"], mallory.propose(Remove(3)), InvalidMessage, f"leaf {leaf} is blank")


def test_padding_is_zeros(circle: Callable, insider: Callable, refused: Callable) -> None:
    """§6.3.1: "A receiver MUST verify that there are no non-zero bytes in the `padding` field"."""
    group = circle("ab")
    mallory = insider(group["a"])
    content = encode_opaque(b"data")
    for padding in (b"\1", bytes(50) + b"\1", b"\1" + bytes(50)):
        refused(
            group["b"],
            mallory.private(ContentType.APPLICATION, content, padding=padding),
            InvalidMessage,
            "padding",
        )
    good = mallory.private(ContentType.APPLICATION, content, padding=bytes(50))
    assert group["b"].process(good, now=group.now).data == b"data"


def test_application_data_is_never_public(circle: Callable, insider: Callable, refused: Callable) -> None:
    """§6: "Applications MUST use PrivateMessage to encrypt application messages"."""
    group = circle("ab")
    mallory = insider(group["a"])
    with pytest.raises(MisuseError):
        mallory.public(ApplicationData(b"in the clear"))
    proposal = decode_message(mallory.propose(Remove(0)))
    assert isinstance(proposal, PublicMessage)
    message = replace(proposal, content=replace(proposal.content, content=ApplicationData(b"in the clear")))
    refused(group["b"], encode_message(message), InvalidMessage, "application data")


@pytest.mark.parametrize("sender", [ExternalSenderIndex(0), NewMemberProposal(), NewMemberCommit()])
def test_outsiders(circle: Callable, refused: Callable, sender: object) -> None:
    group = circle("ab")
    message = decode_message(group["a"].propose_remove(0, now=group.now, private=False))
    outside = PublicMessage(replace(message.content, sender=sender), message.auth, None)
    refused(group["b"], encode_message(outside), InvalidMessage)


def test_tags_and_signatures_of_public_messages(circle: Callable, refused: Callable) -> None:
    group = circle("ab")
    for message in (
        group["a"].propose_remove(1, now=group.now, private=False),
        group["a"].commit(now=group.now, private=False).message,
    ):
        body = decode_message(message)
        for changed in (
            replace(body, membership_tag=bytes(32)),
            replace(body, membership_tag=b""),
            replace(body, membership_tag=body.membership_tag[:-1]),
            replace(body, content=replace(body.content, authenticated_data=b"x")),
            replace(body, auth=replace(body.auth, signature=bytes(64))),
        ):
            refused(group["b"], encode_message(changed), BadTag, "membership tag")


def test_every_prefix_and_flipped_byte_is_refused(circle: Callable, refused: Callable) -> None:
    """Whatever comes of a message in transit: a ProtocolError, nothing changed, the message still good."""
    from mls import ProtocolError

    for private in (True, False):
        group = circle("ab")
        messages = [
            group["a"].propose_psk(b"id", now=group.now, private=private),
            group["a"]
            .commit(now=group.now, private=private, by_reference=False, add=[group.bundle("c").key_package])
            .message,
        ]
        if private:
            group["b"].commit(now=group.now)
            messages.insert(0, circle_application(group))
        for message in messages:
            for end in range(len(message)):
                refused(group["b"], message[:end], ProtocolError)
            refused(group["b"], message + b"\0", ProtocolError)
            for place in range(len(message)):
                changed = bytearray(message)
                changed[place] ^= 1 + place % 255
                refused(group["b"], bytes(changed), ProtocolError)
            group["b"].process(message, now=group.now)


def circle_application(group: object) -> bytes:
    """An application message by a member who holds proposals, which `encrypt` refuses to make."""
    held, group["a"]._held = group["a"]._held, {}
    message = group["a"].encrypt(b"data")
    group["a"]._held = held
    return message


def test_messages_for_nobody_here(circle: Callable, refused: Callable) -> None:
    group = circle("ab")
    bundle = group.bundle("c")
    pending = group["a"].commit(add=[bundle.key_package], now=group.now)
    for message in (pending.welcome, encode_message(bundle.key_package)):
        refused(group["b"], message, InvalidMessage, "not a message to members")
    refused(group["b"], b"\0\2" + pending.message[2:], UnsupportedError, "version")
    refused(group["b"], b"\0\1\0\6", DecodeError, "6 is no wire format")


def test_a_key_package_is_of_its_messages_version(circle: Callable, refused: Callable) -> None:
    package = replace(circle("a").bundle("b").key_package, version=2)
    refused(circle("ab")["a"], MLSMessage.of(package).encode(), InvalidMessage, "another version")


def test_sender_data_is_encrypted_for_its_message(circle: Callable, refused: Callable) -> None:
    group = circle("ab")
    one, other = (decode_message(group["a"].encrypt(data)) for data in (b"one", b"two"))
    assert isinstance(one, PrivateMessage)
    mixed = replace(one, encrypted_sender_data=other.encrypted_sender_data)
    refused(group["b"], encode_message(mixed), DecryptionFailed)
    swapped = replace(one, content_type=ContentType.COMMIT)
    refused(group["b"], encode_message(swapped), DecryptionFailed)


def test_who_has_seen_a_proposal_commits_it_first(circle: Callable) -> None:
    """§12.4: "MUST send a Commit message before sending application data"."""
    group = circle("ab")
    group.send("a", group["a"].propose_psk(b"id", now=group.now))
    for member in ("a", "b"):
        with pytest.raises(ProposalsPending):
            group[member].encrypt(b"data")
    group.commit("b", psks={b"id": b"secret"})
    group.everybody_hears()


def test_reuse_guards_are_fresh(circle: Callable) -> None:
    """§6.3.1: "the sender of a message MUST generate a fresh random four-byte "reuse guard" value"."""
    group = circle("ab")
    secret = group["a"]._epoch.secrets.sender_data_secret
    messages = [decode_message(group["a"].encrypt(b"data")) for _ in range(20)]
    opened = [message.open_sender_data(group.suite, secret) for message in messages]
    assert [data.generation for data in opened] == list(range(20))
    assert len({data.reuse_guard for data in opened}) == 20
