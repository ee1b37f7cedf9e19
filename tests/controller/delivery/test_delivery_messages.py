"""What a SIEM gets: one object a record, one frame a message, whatever is in a name (T-74)."""

import json
import re

from flow_records import flow_record

from controller.delivery.messages import of_connection, of_event, syslog_frame
from controller.domain.events import NetworkCreated
from controller.store import StoredEvent
from controller.store.record_rows import StoredRecord
from protocol.ids import NetworkId

RECORD = flow_record(
    host="büro\r\n<1>forged",
    address="",
    port=443,
    started_ms=1_800_000_000_000,
    ended_ms=1_800_000_001_500,
    outcome="no_grant",
    grants=("gra_1",),
    token="jti",
)
HEAD = re.compile(rb"(\d+) <(\d+)>1 (\S+) (\S+) ostiary-controller (\S+) (\S+) - \xef\xbb\xbf(.*)", re.DOTALL)


def test_t74_a_frame_is_one_message_whatever_is_in_it() -> None:
    frame = syslog_frame(of_connection(StoredRecord(5, "con_1", RECORD, seq=9)), hostname="ctl.example", process="42")
    match = HEAD.fullmatch(frame)
    assert match is not None
    length, priority, moment, host, process, kind, text = match.groups()
    assert int(length) == len(frame) - len(length) - 1
    assert (priority, host, process, kind) == (b"108", b"ctl.example", b"42", b"connection")
    assert moment == b"2027-01-15T08:00:01.500Z"
    assert b"\n" not in frame
    body = json.loads(text)
    assert (body["host"], body["seq"], body["state"], body["token"]) == (RECORD.host, 9, "ended", "jti")


def test_an_open_connection_says_nothing_about_its_end() -> None:
    message = of_connection(StoredRecord(5, "con_1", RECORD, open=True, seq=9))
    assert (message.body["state"], message.body["ended_at"], message.body["outcome"]) == ("open", None, None)
    assert not message.notable


def test_an_event_is_the_entry_of_the_log_without_names() -> None:
    event = NetworkCreated(NetworkId("net_AAAAAAAAAAAAAAAAAAAAAA"), "office")
    message = of_event(StoredEvent(3, 1, event, "usr_1", 1_800_000_000_000, "req", "hash"))
    assert json.loads(message.line) == {
        "type": "event",
        "position": 3,
        "event": "network.created/1",
        "at": "2027-01-15T08:00:00.000Z",
        "actor": "usr_1",
        "stream": "net_AAAAAAAAAAAAAAAAAAAAAA",
        "request_id": "req",
        "data": {"network": "net_AAAAAAAAAAAAAAAAAAAAAA", "name": "office"},
        "hash": "hash",
    }


def test_header_fields_are_printable_ascii() -> None:
    frame = syslog_frame(of_connection(StoredRecord(5, "c", RECORD)), hostname="a b\nü", process="")
    assert b" ab ostiary-controller - connection " in frame
