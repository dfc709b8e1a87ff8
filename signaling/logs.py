"""Structured logs: a line of JSON or of `key=value` for each event.

By default nothing in a line tells who took part: no names and keys (the server has none), no meeting or
participant ids, no addresses. Of an exception the type and the places are told, not what it says, for that
may repeat what a peer sent. `addresses=True` adds addresses to what turned somebody away, for operators who
must block them.
"""

import json
import logging
import time
import traceback

_FIELDS = "conclave_fields"
_ADDRESS = "address"


def log_event(logger: logging.Logger, level: int, event: str, **fields: object) -> None:
    """Log an event with its fields. A field called `address` is left out unless the operator wants it."""
    if logger.isEnabledFor(level):
        shown = " ".join(f"{name}={value}" for name, value in fields.items() if name != _ADDRESS)
        logger.log(level, "%s", f"{event} {shown}".rstrip(), extra={_FIELDS: {"event": event, **fields}})


class StructuredFormatter(logging.Formatter):
    """Lines that a machine reads; common to both formats is which fields there are."""

    def __init__(self, *, addresses: bool = False) -> None:
        super().__init__()
        self._addresses = addresses

    def fields(self, record: logging.LogRecord) -> dict[str, object]:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        fields: dict[str, object] = {
            "at": f"{at}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "from": record.name,
        }
        told: dict[str, object] | None = getattr(record, _FIELDS, None)
        fields |= told if told is not None else {"event": record.getMessage()}
        if not self._addresses:
            fields.pop(_ADDRESS, None)
        if record.exc_info and record.exc_info[0] is not None:
            fields["exception"] = record.exc_info[0].__qualname__
            frames = traceback.extract_tb(record.exc_info[2])
            fields["where"] = " < ".join(
                f"{frame.filename.rpartition('/')[2]}:{frame.lineno}:{frame.name}"
                for frame in reversed(frames)
            )
        return fields


class JsonFormatter(StructuredFormatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(self.fields(record), default=str)


class KeyValueFormatter(StructuredFormatter):
    """`key=value` pairs, in quotes where there is a blank (logfmt)."""

    def format(self, record: logging.LogRecord) -> str:
        return " ".join(f"{name}={_quoted(str(value))}" for name, value in self.fields(record).items())


def _quoted(text: str) -> str:
    is_plain = text.isascii() and text.isprintable() and not any(each in text for each in ' "=\\')
    return text if is_plain and text else json.dumps(text)


FORMATTERS: dict[str, type[StructuredFormatter]] = {"json": JsonFormatter, "key-value": KeyValueFormatter}


def configure(style: str, level: str, *, addresses: bool = False) -> logging.Handler:
    """Send everything to standard error in that format; returns the handler, for who wants to undo it."""
    handler: logging.Handler = logging.StreamHandler()
    handler.setFormatter(FORMATTERS[style](addresses=addresses))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # uvicorn's own lines cite addresses and paths at this level and below.
    logging.getLogger("uvicorn").setLevel(max(logging.WARNING, root.level))
    return handler
