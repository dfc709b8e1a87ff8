"""Members of an MLS group, ours and ts-mls's, behind one face: bytes in, bytes out."""

import base64
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from mls import (
    ApplicationMessage,
    BasicCredential,
    CipherSuite,
    CommitReceived,
    Extension,
    Group,
    KeyPackageBundle,
    PendingCommit,
    ReInit,
    SignaturePrivateKey,
)

HERE = Path(__file__).parent
EXPORT_LABEL, EXPORT_CONTEXT, EXPORT_LENGTH = "interop", b"a context", 32

Extensions = Sequence[tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class Ask:
    """A proposal, as a caller words it; `value` is a KeyPackage, a leaf index, a PSK's id or extensions."""

    kind: Literal["add", "remove", "psk", "update", "extensions"]
    value: Any = None


@dataclass(frozen=True, slots=True)
class Made:
    """What a committer sends: to members, and to who joins."""

    message: bytes
    welcome: bytes | None


@dataclass(frozen=True, slots=True)
class Following:
    """A group that follows another, for its other members: the Welcome, and the tree beside it."""

    welcome: bytes
    tree: bytes


@dataclass(frozen=True, slots=True)
class Heard:
    """What a message said to who processed it."""

    data: bytes | None
    authenticated_data: bytes | None


@dataclass(frozen=True, slots=True)
class View:
    """What all members of an epoch must agree on."""

    epoch: int
    authenticator: bytes
    exported: bytes
    tree: bytes


class Peer(Protocol):
    """A client that is or becomes a member of one group.

    `commit` and `join_externally` leave the group as it is until `adopt`, which need never be called.
    """

    name: str
    is_member: bool

    def key_package(self) -> bytes: ...
    def create(self, group_id: bytes, extensions: Extensions = ()) -> None: ...
    def join(self, welcome: bytes, psks: Mapping[bytes, bytes], tree: bytes | None) -> None: ...
    def join_externally(self, group_info: bytes, tree: bytes | None) -> bytes: ...
    def group_info(self, with_tree: bool) -> bytes: ...
    def commit(
        self,
        asks: Sequence[Ask],
        psks: Mapping[bytes, bytes],
        authenticated_data: bytes,
        *,
        is_public: bool,
        tree_in_welcome: bool,
        force_path: bool,
    ) -> Made: ...
    def adopt(self) -> None: ...
    def propose(self, ask: Ask, *, is_public: bool) -> bytes: ...
    def encrypt(self, data: bytes, authenticated_data: bytes) -> bytes: ...
    def process(self, message: bytes, psks: Mapping[bytes, bytes]) -> Heard: ...
    def view(self) -> View: ...
    @property
    def leaf(self) -> int: ...


class OurMember:
    """A member by this project's `mls`."""

    makes_updates = True

    def __init__(
        self, name: str, suite: CipherSuite, now: float, application_id: bytes | None = None
    ) -> None:
        self.name, self.is_member = name, False
        self._suite, self._now, self._application_id = suite, now, application_id
        self._credential = BasicCredential(name.encode())
        self._signature_key = SignaturePrivateKey.generate(suite)
        self._bundle: KeyPackageBundle | None = None
        self._pending: Group | None = None
        self.group: Group
        self.last_commit: CommitReceived | None = None  # of another member

    def key_package(self) -> bytes:
        self._bundle = KeyPackageBundle.create(
            self._suite,
            self._credential,
            self._signature_key,
            now=self._now,
            application_id=self._application_id,
        )
        return self._bundle.key_package.encode()

    def create(self, group_id: bytes, extensions: Extensions = ()) -> None:
        self.group = Group.create(
            self._suite,
            group_id,
            self._credential,
            self._signature_key,
            now=self._now,
            application_id=self._application_id,
            extensions=[Extension(*extension) for extension in extensions],
        )
        self.is_member = True

    def join(self, welcome: bytes, psks: Mapping[bytes, bytes], tree: bytes | None) -> None:
        assert self._bundle is not None
        self.group = Group.join(welcome, self._bundle, now=self._now, psks=psks, ratchet_tree=tree)
        self.is_member = True

    def join_externally(self, group_info: bytes, tree: bytes | None, *, resync: bool = False) -> bytes:
        pending = Group.join_external(
            group_info,
            self._credential,
            self._signature_key,
            now=self._now,
            resync=resync,
            ratchet_tree=tree,
            application_id=self._application_id,
        )
        self._pending = pending.group
        return pending.message

    def group_info(self, with_tree: bool) -> bytes:
        return self.group.group_info(ratchet_tree=with_tree)

    def commit(
        self,
        asks: Sequence[Ask],
        psks: Mapping[bytes, bytes],
        authenticated_data: bytes,
        *,
        is_public: bool,
        tree_in_welcome: bool,
        force_path: bool,
    ) -> Made:
        extensions = [ask.value for ask in asks if ask.kind == "extensions"]
        pending: PendingCommit = self.group.commit(
            now=self._now,
            add=[ask.value for ask in asks if ask.kind == "add"],
            remove=[ask.value for ask in asks if ask.kind == "remove"],
            psk=[(ask.value, psks[ask.value]) for ask in asks if ask.kind == "psk"],
            extensions=[Extension(*item) for item in extensions[0]] if extensions else None,
            psks=psks,
            force_path=force_path,
            authenticated_data=authenticated_data,
            private=not is_public,
            tree_in_welcome=tree_in_welcome,
        )
        self._pending = pending.group
        return Made(pending.message, pending.welcome)

    def adopt(self) -> None:
        assert self._pending is not None
        self.group, self._pending, self.is_member = self._pending, None, True

    def propose(self, ask: Ask, *, is_public: bool) -> bytes:
        options: dict[str, Any] = {"now": self._now, "private": not is_public}
        match ask.kind:
            case "add":
                return self.group.propose_add(ask.value, **options)
            case "remove":
                return self.group.propose_remove(ask.value, **options)
            case "psk":
                return self.group.propose_psk(ask.value, **options)
            case "update":
                return self.group.propose_update(**options)
            case "extensions":
                return self.group.propose_extensions([Extension(*item) for item in ask.value], **options)

    def reinit(self, group_id: bytes, suite: CipherSuite) -> bytes:
        pending = self.group.commit(
            now=self._now, reinit=ReInit(group_id, 1, suite.suite_id, ()), by_reference=False
        )
        self._pending = pending.group
        return pending.message

    def follow(
        self, next_self: "OurMember", group_id: bytes, key_packages: Sequence[bytes], *, is_branch: bool
    ) -> Following:
        if is_branch:
            pending = self.group.branch(group_id, key_packages, now=self._now, tree_in_welcome=False)
        else:
            key = next_self._signature_key
            pending = self.group.reinitialize(
                key_packages, now=self._now, signature_key=key, tree_in_welcome=False
            )
        next_self.group, next_self.is_member = pending.group, True
        assert pending.welcome is not None
        return Following(pending.welcome, pending.group.ratchet_tree)

    def join_following(self, next_self: "OurMember", following: Following, *, is_branch: bool) -> None:
        assert next_self._bundle is not None
        next_self.group = Group.join(
            following.welcome,
            next_self._bundle,
            now=self._now,
            groups=[self.group],
            ratchet_tree=following.tree,
        )
        assert (self.group.reinit is None) is is_branch
        next_self.is_member = True

    def encrypt(self, data: bytes, authenticated_data: bytes) -> bytes:
        return self.group.encrypt(data, authenticated_data, padding=len(data) % 32)

    def process(self, message: bytes, psks: Mapping[bytes, bytes]) -> Heard:
        event = self.group.process(message, now=self._now, psks=psks)
        if isinstance(event, CommitReceived):
            self.last_commit = event
            self.is_member = event.group is not None
            self.group = event.group or self.group
        data = event.data if isinstance(event, ApplicationMessage) else None
        return Heard(data, event.authenticated_data)

    def view(self) -> View:
        group = self.group
        exported = group.export(EXPORT_LABEL, EXPORT_CONTEXT, EXPORT_LENGTH)
        return View(group.epoch, group.epoch_authenticator, exported, group.ratchet_tree)

    @property
    def leaf(self) -> int:
        return self.group.own_leaf


class PeerError(Exception):
    """The other implementation refused; its words and its stack."""


class NodePeer:
    """The process in which ts-mls's members live (peer.mjs), `mended` or as it is published (mends.mjs)."""

    @classmethod
    def why_not(cls) -> str | None:
        """Why there can be none here, in a sentence."""
        if shutil.which("node") is None:
            return "Node is absent, and ts-mls runs in it"
        if not (HERE / "node_modules" / ".package-lock.json").exists():
            return "ts-mls is absent: `make test` brings it if npm and its registry can be reached"
        return None

    def __init__(self, *, mended: bool = True) -> None:
        mends = ["--import", (HERE / "mends.mjs").as_uri()] if mended else []
        self._process = subprocess.Popen(
            ["node", *mends, str(HERE / "peer.mjs")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def call(self, op: str, member: str, **fields: object) -> dict[str, Any]:
        """The result of one operation; raises PeerError."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"op": op, "member": member, **fields}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise PeerError(f"the ts-mls process ended with {self._process.wait()}")
        result: dict[str, Any] = json.loads(line)
        if "error" in result:
            raise PeerError(f"ts-mls, {op} by {member}: {result['error']}")
        return result

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=10)
        self._process.stdout.close()


class TsMember:
    """A member by ts-mls."""

    def __init__(
        self, node: NodePeer, name: str, suite: CipherSuite, application_id: bytes | None = None
    ) -> None:
        self.name, self.is_member = name, False
        self._node, self._suite, self._application_id = node, suite, application_id
        self.identity = name.encode()

    def _call(self, op: str, **fields: object) -> dict[str, Any]:
        return self._node.call(op, self.name, **fields)

    def key_package(self) -> bytes:
        result = self._call(
            "keyPackage",
            suite=self._suite.suite_id,
            identity=_text(self.identity),
            applicationId=None if self._application_id is None else _text(_opaque(self._application_id)),
        )
        return _bytes(result["keyPackage"])

    def create(self, group_id: bytes, extensions: Extensions = ()) -> None:
        self.key_package()
        self._call("create", groupId=_text(group_id), extensions=_extensions(extensions))
        self.is_member = True

    def join(self, welcome: bytes, psks: Mapping[bytes, bytes], tree: bytes | None) -> None:
        encoded = None if tree is None else _text(tree)
        self._call("join", welcome=_text(welcome), psks=_psks(psks), tree=encoded)
        self.is_member = True

    def join_externally(self, group_info: bytes, tree: bytes | None) -> bytes:
        self.key_package()
        encoded = None if tree is None else _text(tree)
        result = self._call("joinExternally", groupInfo=_text(group_info), tree=encoded, resync=False)
        return _bytes(result["message"])

    def group_info(self, with_tree: bool) -> bytes:
        return _bytes(self._call("groupInfo", withTree=with_tree)["groupInfo"])

    def commit(
        self,
        asks: Sequence[Ask],
        psks: Mapping[bytes, bytes],
        authenticated_data: bytes,
        *,
        is_public: bool,
        tree_in_welcome: bool,
        force_path: bool,
    ) -> Made:
        result = self._call(
            "commit",
            proposals=[_ask(ask) for ask in asks],
            psks=_psks(psks),
            authenticatedData=_text(authenticated_data),
            isPublic=is_public,
            treeInWelcome=tree_in_welcome,
        )
        welcome = result["welcome"]
        return Made(_bytes(result["message"]), None if welcome is None else _bytes(welcome))

    def adopt(self) -> None:
        self._call("adopt")
        self.is_member = True

    def propose(self, ask: Ask, *, is_public: bool) -> bytes:
        result = self._call("propose", proposal=_ask(ask), authenticatedData="", isPublic=is_public)
        return _bytes(result["message"])

    def reinit(self, group_id: bytes, suite: CipherSuite) -> bytes:
        return _bytes(self._call("reinit", groupId=_text(group_id), suite=suite.suite_id)["message"])

    def follow(
        self, next_self: "TsMember", group_id: bytes, key_packages: Sequence[bytes], *, is_branch: bool
    ) -> Following:
        next_self.key_package()
        packages = [_text(each) for each in key_packages]
        fields = {"as": next_self.name, "groupId": _text(group_id), "keyPackages": packages}
        result = self._call("follow", isBranch=is_branch, **fields)
        next_self.is_member = True
        return Following(_bytes(result["welcome"]), _bytes(result["tree"]))

    def join_following(self, next_self: "TsMember", following: Following, *, is_branch: bool) -> None:
        fields = {"as": next_self.name, "welcome": _text(following.welcome), "tree": _text(following.tree)}
        self._call("joinFollowing", isBranch=is_branch, **fields)
        next_self.is_member = True

    def encrypt(self, data: bytes, authenticated_data: bytes) -> bytes:
        result = self._call("encrypt", data=_text(data), authenticatedData=_text(authenticated_data))
        return _bytes(result["message"])

    def process(self, message: bytes, psks: Mapping[bytes, bytes]) -> Heard:
        result = self._call("process", message=_text(message), psks=_psks(psks))
        self.is_member = result["isMember"]
        data = result["data"]
        return Heard(None if data is None else _bytes(data), _bytes(result["authenticatedData"]))

    def view(self) -> View:
        result = self._call("view", label=EXPORT_LABEL, context=_text(EXPORT_CONTEXT), length=EXPORT_LENGTH)
        secrets = (_bytes(result[name]) for name in ("authenticator", "exported", "tree"))
        return View(result["epoch"], *secrets)

    @property
    def leaf(self) -> int:
        leaf: int = self._call("view", label="", context="", length=1)["leaf"]
        return leaf


# --- how things are written for peer.mjs --------------------------------------------------------------------


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _psks(psks: Mapping[bytes, bytes]) -> dict[str, str]:
    return {_text(psk_id): _text(secret) for psk_id, secret in psks.items()}


# ts-mls has names for the types that RFC 9420 defines, and numbers for all others
_EXTENSION_NAMES = {1: "application_id", 3: "required_capabilities", 5: "external_senders"}


def _extensions(extensions: Extensions) -> list[tuple[str | int, str]]:
    return [(_EXTENSION_NAMES.get(kind, kind), _text(data)) for kind, data in extensions]


def _ask(ask: Ask) -> dict[str, object]:
    match ask.kind:
        case "remove":
            return {"kind": ask.kind, "value": ask.value}
        case "extensions":
            return {"kind": ask.kind, "value": _extensions(ask.value)}
        case _:
            return {"kind": ask.kind, "value": _text(ask.value)}


def _opaque(data: bytes) -> bytes:
    assert len(data) < 64
    return bytes([len(data)]) + data
