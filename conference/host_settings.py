"""The settings of `conclave host`, in one table (`conference.settings`)."""

from pathlib import Path

from conference.settings import Group, Setting, Table, count, duration, endpoint, port

HOST = Table(
    (
        Group(
            "where it listens",
            (
                Setting(
                    "address",
                    "IP address to listen at (default: all of this machine's)",
                    default="0.0.0.0",  # noqa: S104  (people from elsewhere are to reach it)
                    metavar="ADDRESS",
                ),
                Setting(
                    "port",
                    "TCP port for the page and signaling (default 8443; 0 takes a free one)",
                    port,
                    8443,
                    "N",
                ),
                Setting(
                    "media-port",
                    "UDP port for media; open it in the firewall (default 0: a free one)",
                    port,
                    0,
                    "N",
                ),
                Setting(
                    "advertise",
                    "IP address at which participants reach the media port; may be given more than once "
                    "(default: this machine's own addresses)",
                    default=(),
                    metavar="ADDRESS",
                    is_list=True,
                ),
            ),
        ),
        Group(
            "TLS, and who stands before the server",
            (
                Setting(
                    "tls-cert",
                    "PEM file with the certificate and its chain; read again on SIGHUP",
                    Path,
                    metavar="FILE",
                ),
                Setting("tls-key", "PEM file with its private key", Path, metavar="FILE"),
                Setting(
                    "tls-self-signed",
                    "serve with a certificate of our own, made here and kept, for a LAN: links then carry "
                    "its fingerprint, and clients trust just that one",
                    default=False,
                    is_switch=True,
                ),
                Setting(
                    "origin",
                    "address of a page that may use this server beside its own, such as "
                    "https://meet.example; may be given more than once",
                    default=(),
                    metavar="URL",
                    is_list=True,
                ),
                Setting(
                    "trusted-proxy",
                    "address or network of a proxy whose X-Forwarded-For and X-Forwarded-Proto are believed; "
                    "may be given more than once (default: nobody's are)",
                    default=(),
                    metavar="NETWORK",
                    is_list=True,
                ),
            ),
        ),
        Group(
            "what it keeps",
            (
                Setting(
                    "state",
                    "keep meetings in this SQLite file, so that they go on after a restart (default: a file "
                    "for this port in ~/.local/share/conclave or $CONCLAVE_HOME; in memory for port 0)",
                    Path,
                    metavar="FILE",
                ),
                Setting(
                    "in-memory",
                    "keep meetings in memory only: they end with the server",
                    default=False,
                    is_switch=True,
                ),
            ),
        ),
        Group(
            "who may do what, and how much",
            (
                Setting("host-token", "who makes a meeting must show this token", is_secret=True),
                Setting(
                    "host-token-file",
                    "file with a token that who makes a meeting must show (default: everybody may)",
                    Path,
                    metavar="FILE",
                ),
                Setting("max-meetings", "meetings that exist at once (default 4096)", count, metavar="N"),
                Setting("max-participants", "participants of a meeting (default 1024)", count, metavar="N"),
                Setting("max-connections", "TCP connections in all (default 8192)", count, metavar="N"),
                Setting(
                    "max-connections-per-address",
                    "TCP connections of one IPv4 address or IPv6 /64 (default 512)",
                    count,
                    metavar="N",
                ),
                Setting(
                    "grace",
                    "how long a participant that lost its connection may come back as the same (default 10s)",
                    duration,
                    metavar="TIME",
                ),
                Setting(
                    "unjoined",
                    "how long a meeting is kept that nobody ever joined (default 1h)",
                    duration,
                    metavar="TIME",
                ),
                Setting(
                    "unused",
                    "how long a meeting is kept that nobody is in any more (default 1d)",
                    duration,
                    metavar="TIME",
                ),
            ),
        ),
        Group(
            "TURN: for those whose network lets no media through",
            (
                Setting(
                    "turn",
                    "TURN or STUN server for participants, such as turn:turn.example:3478?transport=udp; may "
                    "be given more than once",
                    default=(),
                    metavar="URL",
                    is_list=True,
                ),
                Setting("turn-secret", "the secret shared with the TURN server", is_secret=True),
                Setting(
                    "turn-secret-file",
                    "file with the secret shared with the TURN server (coturn's static-auth-secret)",
                    Path,
                    metavar="FILE",
                ),
                Setting(
                    "turn-lifetime",
                    "how long TURN credentials are good (default 12h)",
                    duration,
                    12 * 3600.0,
                    "TIME",
                ),
            ),
        ),
        Group(
            "watching it",
            (
                Setting(
                    "metrics",
                    "address and port of a listener of its own for /metrics, such as 127.0.0.1:9464",
                    endpoint,
                    metavar="ADDRESS:N",
                ),
                Setting(
                    "metrics-token", "who reads /metrics at the main port must show this", is_secret=True
                ),
                Setting(
                    "metrics-token-file",
                    "file with a token for /metrics at the main port (default: it is not served there)",
                    Path,
                    metavar="FILE",
                ),
                Setting(
                    "log-level",
                    "least severe of what is logged (default warning)",
                    default="warning",
                    choices=("debug", "info", "warning", "error"),
                ),
                Setting(
                    "log-format",
                    "how it is logged, on standard error (default key-value)",
                    default="key-value",
                    choices=("key-value", "json"),
                ),
                Setting(
                    "log-addresses",
                    "log the addresses of those who are turned away; without this no address is logged",
                    default=False,
                    is_switch=True,
                ),
                Setting(
                    "report",
                    "say where it listens in words (the default) or as a line of JSON",
                    default="screen",
                    choices=("screen", "json"),
                ),
                Setting(
                    "tap",
                    "write all media as the server sees it, SRTP removed (for audits)",
                    Path,
                    metavar="FILE",
                ),
                Setting(
                    "record-signaling",
                    "write all signaling as the server sees it (for audits)",
                    Path,
                    metavar="FILE",
                ),
            ),
        ),
    )
)
