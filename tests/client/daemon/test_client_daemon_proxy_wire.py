"""SOCKS5 and HTTP CONNECT, byte by byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.daemon.proxy_wire import (
    HttpConnect,
    SocksConnect,
    http_reply,
    parse_http_untrusted,
    parse_socks_untrusted,
    socks_reply,
)
from protocol.errors import RemoteProtocolError
from protocol.reasons import Reason

NAME = b"\x05\x01\x00\x03\x04wiki\x00\x50"
V4 = b"\x05\x01\x00\x01\x0a\x14\x00\x0a\x01\xbb"
V6 = b"\x05\x01\x00\x04" + bytes(15) + b"\x01\x00\x16"


@pytest.mark.parametrize(("data", "host", "port"), [(NAME, "wiki", 80), (V4, "10.20.0.10", 443), (V6, "::1", 22)])
def test_the_three_kinds_of_addresses(data: bytes, host: str, port: int) -> None:
    assert parse_socks_untrusted(data) == (SocksConnect(host, port), len(data))
    assert parse_socks_untrusted(data + b"early data") == (SocksConnect(host, port), len(data))
    for cut in range(len(data)):
        assert parse_socks_untrusted(data[:cut]) is None


def test_bind_and_unknown_address_types_are_refused_by_code() -> None:
    assert parse_socks_untrusted(b"\x05\x02" + NAME[2:]) == b"\x05\x07\x00\x01" + bytes(6)
    assert parse_socks_untrusted(b"\x05\x01\x00\x05" + NAME[4:]) == b"\x05\x08\x00\x01" + bytes(6)


def test_socks4_is_not_socks5() -> None:
    with pytest.raises(RemoteProtocolError):
        parse_socks_untrusted(b"\x04\x01\x00\x50\x00")


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (None, 0),
        (Reason.NO_GRANT, 2),
        (Reason.TOKEN_EXPIRED, 2),
        (Reason.SIGN_IN_REQUIRED, 2),
        (Reason.NETWORK_UNREACHABLE, 3),
        (Reason.HOST_UNREACHABLE, 4),
        (Reason.CONNECTION_REFUSED, 5),
        (Reason.INTERNAL, 1),
    ],
)
def test_socks_codes(reason: Reason | None, code: int) -> None:
    assert socks_reply(reason)[:2] == bytes([5, code])
    assert len(socks_reply(reason)) == 10


@pytest.mark.parametrize(
    ("target", "host", "port"),
    [
        ("wiki.corp.internal:80", "wiki.corp.internal", 80),
        ("[fd00::1]:443", "fd00::1", 443),
        ("10.0.0.1:22", "10.0.0.1", 22),
    ],
)
def test_connect_requests(target: str, host: str, port: int) -> None:
    head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Connection: x\r\n\r\n".encode()
    assert parse_http_untrusted(head + b"rest") == (HttpConnect(host, port), len(head))
    for cut in range(1, len(head)):
        assert parse_http_untrusted(head[:cut]) is None


@pytest.mark.parametrize(
    "head",
    [
        b"GET http://wiki/ HTTP/1.1\r\n\r\n",
        b"CONNECT wiki HTTP/1.1\r\n\r\n",
        b"CONNECT wiki:0 HTTP/1.1\r\n\r\n",
        b"CONNECT wiki:99999 HTTP/1.1\r\n\r\n",
        b"CONNECT wiki:80 HTTP/3\r\n\r\n",
        b"CONNECT  wiki:80 HTTP/1.1\r\n\r\n",
        b"hello",
        b"CONNECT " + b"x" * 20_000,
    ],
)
def test_everything_else_is_an_error(head: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_http_untrusted(head)


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.PORT_NOT_ALLOWED, 403),
        (Reason.SIGN_IN_REQUIRED, 403),
        (Reason.CONNECTION_REFUSED, 502),
        (Reason.CONNECT_TIMEOUT, 504),
        (Reason.PAIRING_TIMEOUT, 504),
    ],
)
def test_http_statuses_carry_the_reason(reason: Reason, status: int) -> None:
    answer = http_reply(reason).decode()
    assert answer.startswith(f"HTTP/1.1 {status} ")
    assert f"Ostiary-Reason: {reason.code}\r\n" in answer
    head, _, body = answer.partition("\r\n\r\n")
    assert f"Content-Length: {len(body.encode())}" in head
    assert body.startswith(reason.sentence)


@given(st.binary(max_size=400))
def test_t58_any_bytes_are_parsed_or_refused(data: bytes) -> None:
    for parse in (parse_socks_untrusted, parse_http_untrusted):
        try:
            parse(data)
        except RemoteProtocolError:
            continue
