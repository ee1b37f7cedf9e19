"""What a SIEM gets: one JSON object for each record, bare (a line) or inside a syslog message (RFC 5424). Pure.

``id`` and ``seq`` of a connection, and ``position`` of an event, are stable: delivery is at least once, and a receiver drops what
it has by them. A connection comes when it is open for a while, and again when it has ended, with a higher ``seq``; once more
when the record of the other side (``reporter``) contradicts it (``differs``).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from controller.domain.event_codec import event_to_json
from controller.store import StoredEvent
from controller.store.record_rows import StoredRecord
from protocol.reasons import Reason

FACILITY: Final = 13
"""Log audit (RFC 5424, table 1)."""
INFORMATIONAL: Final = 6
WARNING: Final = 4
APP_NAME: Final = "ostiary-controller"


@dataclass(frozen=True, slots=True)
class LogMessage:
    """One record on its way. ``at_ms`` is Unix milliseconds; ``kind`` is ``connection`` or ``event``."""

    kind: str
    at_ms: int
    notable: bool
    body: Mapping[str, Any]

    @property
    def line(self) -> str:
        """The JSON object on one line."""
        return json.dumps(self.body, separators=(",", ":"), ensure_ascii=False)


def of_connection(item: StoredRecord) -> LogMessage:
    """Returns what is said of a connection; denied ones, and such whose sides contradict each other, are notable."""
    record = item.record
    body = {
        "type": "connection",
        "id": item.id,
        "seq": item.seq,
        "state": "open" if item.open else "ended",
        "flow": record.flow,
        "token": record.token,
        "reporter": record.reporter,
        "device": record.device,
        "user": record.user,
        "resource": record.resource,
        "network": record.network,
        "connector": record.connector,
        "relay": record.relay,
        "path": record.path,
        "host": record.host,
        "address": record.address,
        "transport": record.transport,
        "port": record.port,
        "started_at": _time(record.started_ms),
        "ended_at": None if item.open else _time(record.ended_ms),
        "bytes_up": record.bytes_up,
        "bytes_down": record.bytes_down,
        "outcome": None if item.open else record.outcome,
        "revision": record.revision,
        "grants": list(record.grants),
        "differs": list(item.differs),
    }
    notable = bool(item.differs) or (not item.open and record.outcome != Reason.NORMAL.code)
    return LogMessage("connection", record.started_ms if item.open else record.ended_ms, notable, body)


def of_event(item: StoredEvent) -> LogMessage:
    """Returns what is said of an event: the log's entry as it is hashed, without names of people."""
    body = {
        "type": "event",
        "position": item.position,
        "event": item.event.TYPE,
        "at": _time(item.at_ms),
        "actor": item.actor,
        "stream": item.event.stream,
        "request_id": item.request_id,
        "data": dict(event_to_json(item.event)),
        "hash": item.hash,
    }
    return LogMessage("event", item.at_ms, notable=False, body=body)


def syslog_frame(message: LogMessage, *, hostname: str, process: str) -> bytes:
    """Returns one syslog message with its length before it (RFC 5424; octet counting of RFC 5425 and RFC 6587).

    Args:
        message: what to say.
        hostname: this controller's, as receivers know it.
        process: of this process, for PROCID.
    """
    priority = FACILITY * 8 + (WARNING if message.notable else INFORMATIONAL)
    head = f"<{priority}>1 {_time(message.at_ms)} {_name(hostname)} {APP_NAME} {_name(process)} {message.kind} - "
    # The byte order mark says that the text is UTF-8 (RFC 5424 section 6.4).
    text = head.encode("ascii") + b"\xef\xbb\xbf" + message.line.encode()
    return str(len(text)).encode() + b" " + text


def _name(text: str) -> str:
    """A header field: printable ASCII without spaces, ``-`` for nothing."""
    return "".join(char for char in text if "!" <= char <= "~")[:255] or "-"


def _time(at_ms: int) -> str:
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
