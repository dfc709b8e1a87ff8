"""STUN and TURN servers that the server tells of (docs/protocol.md, `ice_servers`), as aiortc takes them."""

from collections.abc import Sequence

from aiortc import RTCBundlePolicy, RTCConfiguration, RTCIceServer
from aiortc.rtcicetransport import parse_stun_turn_uri

from signaling.messages import IceServer


def ice_configuration(servers: Sequence[IceServer] = ()) -> RTCConfiguration:
    """What a connection is to be made with. aiortc asks the first STUN and the first TURN server only."""
    usable = [server for server in servers if _is_usable(server.url)]
    return RTCConfiguration(
        iceServers=[RTCIceServer(each.url, each.username, each.credential) for each in usable],
        bundlePolicy=RTCBundlePolicy.MAX_BUNDLE,
    )


def _is_usable(url: str) -> bool:
    """Whether aiortc can read the address: it takes no IPv6 address in brackets."""
    try:
        parse_stun_turn_uri(url)
    except ValueError:
        return False
    return True
