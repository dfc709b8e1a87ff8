"""A group as bytes (no RFC says how): for storing it, and going on from there."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mls.group import Group


def save(group: "Group") -> bytes:
    """TODO"""
    raise NotImplementedError


def restore(cls: "type[Group]", saved: bytes) -> "Group":
    """TODO"""
    raise NotImplementedError
