"""Extensions, those of RFC 9420 and all others (§13.4; bodies from §5.3.3, §11.1, §12.1.8.1, §12.4.3)."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Annotated

from mls.codec import (
    OPAQUE,
    Codec,
    Opaque,
    Struct,
    Uint16,
    Uint16s,
    decode,
    encode_opaque,
    struct,
    vector,
)
from mls.credentials import CREDENTIAL, Credential
from mls.errors import DecodeError, MisuseError

APPLICATION_ID = 0x0001
RATCHET_TREE = 0x0002
REQUIRED_CAPABILITIES = 0x0003
EXTERNAL_PUB = 0x0004
EXTERNAL_SENDERS = 0x0005

# draft-ietf-mls-extensions, with the ids that it suggests
APP_DATA_DICTIONARY = 0x0006
LAST_RESORT_KEY_PACKAGE = 0x0004  # a component

# §7.2: the types that all clients support without listing them
DEFAULT_EXTENSION_TYPES = frozenset(range(0x0001, 0x0006))


@struct
class Extension(Struct):
    """One extension: its type and its encoded body."""

    extension_type: Uint16
    extension_data: Opaque


def _is_distinct(extensions: Sequence[Extension]) -> bool:
    return len({extension.extension_type for extension in extensions}) == len(extensions)


def check_distinct(extensions: Sequence[Extension]) -> None:
    """That no two that this client sends are of one type. Raises MisuseError."""
    if not _is_distinct(extensions):
        raise MisuseError("a list of extensions has two of one type")


def _extension_list() -> Codec[tuple[Extension, ...]]:
    """§13.4: a list of extensions "MUST NOT have more than one extension of any given type"."""
    plain = vector(Extension)

    def read(data: bytes, at: int) -> tuple[tuple[Extension, ...], int]:
        extensions, at = plain.read(data, at)
        if len(extensions) > 1 and not _is_distinct(extensions):
            raise DecodeError("a list of extensions has two of one type")
        return extensions, at

    def write(extensions: tuple[Extension, ...]) -> bytes:
        check_distinct(extensions)
        return plain.write(extensions)

    return Codec(read, write)


EXTENSIONS = _extension_list()
Extensions = Annotated[tuple[Extension, ...], EXTENSIONS]


@struct
class RequiredCapabilities(Struct):
    """What all members must support beyond the defaults (§11.1)."""

    extension_types: Uint16s
    proposal_types: Uint16s
    credential_types: Uint16s


@struct
class ExternalPub(Struct):
    """The key for external commits (§12.4.3.2)."""

    external_pub: Opaque


@struct
class ExternalSender(Struct):
    """Somebody outside who may propose (§12.1.8.1)."""

    signature_key: Opaque
    credential: Annotated[Credential, CREDENTIAL]


EXTERNAL_SENDERS_BODY = vector(ExternalSender)


@struct
class ComponentData(Struct):
    """What one component of the application keeps (draft-ietf-mls-extensions, "app_data_dictionary")."""

    component_id: Uint16
    data: Opaque


@struct
class AppDataDictionary(Struct):
    """Data of components, by ascending id."""

    component_data: Annotated[tuple[ComponentData, ...], vector(ComponentData)]


def components_extension(components: Mapping[int, bytes]) -> Extension:
    """An `app_data_dictionary` of these components."""
    entries = tuple(ComponentData(number, components[number]) for number in sorted(components))
    return Extension(APP_DATA_DICTIONARY, AppDataDictionary(entries).encode())


def find_components(extensions: tuple[Extension, ...]) -> Mapping[int, bytes]:
    """The components in a list of extensions. Raises DecodeError."""
    body = find_extension(extensions, APP_DATA_DICTIONARY)
    if body is None:
        return {}
    entries = AppDataDictionary.decode(body).component_data
    if any(one.component_id >= other.component_id for one, other in pairwise(entries)):
        raise DecodeError("the components of an app_data_dictionary are not in ascending order")
    return {entry.component_id: entry.data for entry in entries}


def find_extension(extensions: tuple[Extension, ...], extension_type: int) -> bytes | None:
    """The body of the extension of this type, if the list has one."""
    for extension in extensions:
        if extension.extension_type == extension_type:
            return extension.extension_data
    return None


def application_id_extension(application_id: bytes) -> Extension:
    """`opaque application_id<V>` (§5.3.3)."""
    return Extension(APPLICATION_ID, encode_opaque(application_id))


def find_application_id(extensions: tuple[Extension, ...]) -> bytes | None:
    """The application_id in a leaf's extensions (§5.3.3). Raises DecodeError."""
    body = find_extension(extensions, APPLICATION_ID)
    return None if body is None else decode(OPAQUE, body)


def find_required_capabilities(extensions: tuple[Extension, ...]) -> RequiredCapabilities | None:
    """The required_capabilities in a group's extensions (§11.1). Raises DecodeError."""
    body = find_extension(extensions, REQUIRED_CAPABILITIES)
    return None if body is None else RequiredCapabilities.decode(body)


_BODIES: dict[int, Callable[[bytes], object]] = {
    APPLICATION_ID: lambda body: decode(OPAQUE, body),
    REQUIRED_CAPABILITIES: RequiredCapabilities.decode,
    EXTERNAL_PUB: ExternalPub.decode,
    EXTERNAL_SENDERS: lambda body: decode(EXTERNAL_SENDERS_BODY, body),
}


def check_known_bodies(extensions: tuple[Extension, ...]) -> None:
    """That bodies of the types defined here decode, to the last byte; unknown ones are not looked at (§13.4).

    Raises DecodeError.
    """
    for extension in extensions:
        if body := _BODIES.get(extension.extension_type):
            body(extension.extension_data)
