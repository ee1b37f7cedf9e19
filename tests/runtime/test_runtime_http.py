"""The agents' HTTP client: bounded, strict, truthful."""

import json
import socket

import pytest
from canned_http import canned_http, http_answer
from tls_material import tls_material

from protocol.errors import LocalError, RemoteError, RemoteProtocolError
from protocol.reasons import Reason
from runtime.http import HttpRefusedError, check_url, request, request_json
from runtime.trust import client_context, server_context


async def test_posts_json_over_tls_and_reads_the_answer() -> None:
    pki = tls_material()
    answer = http_answer("200 OK", b'{"connector":"con_x"}', X_Thing="a")
    async with canned_http(answer, tls=server_context(pki.cert_pem, pki.key_pem)) as server:
        status, headers, body = await request_json(
            "POST",
            f"https://localhost:{server.port}/api/v1/enroll?x=1",
            context=client_context(pki.ca_pem),
            body={"kind": "connector"},
        )
    assert (status, headers["x-thing"], body) == (200, "a", {"connector": "con_x"})
    head, sent = server.requests[0]
    assert head.startswith("POST /api/v1/enroll?x=1 HTTP/1.1\r\n")
    assert f"Host: localhost:{server.port}\r\n" in head
    assert json.loads(sent) == {"kind": "connector"}


async def test_an_untrusted_certificate_is_named() -> None:
    pki = tls_material()
    async with canned_http(b"", tls=server_context(pki.cert_pem, pki.key_pem)) as server:
        with pytest.raises(RemoteError) as caught:
            await request("GET", f"https://localhost:{server.port}/", context=client_context(None))
    assert caught.value.reason is Reason.CERTIFICATE_UNTRUSTED
    assert server.requests == []


async def test_a_certificate_for_another_name_is_refused() -> None:
    pki = tls_material("controller.example")
    async with canned_http(b"", tls=server_context(pki.cert_pem, pki.key_pem)) as server:
        with pytest.raises(RemoteError) as caught:
            await request("GET", f"https://localhost:{server.port}/", context=client_context(pki.ca_pem))
    assert caught.value.reason is Reason.CERTIFICATE_UNTRUSTED


async def test_a_problem_becomes_its_reason() -> None:
    body = json.dumps({"code": "enrolment_used", "detail": "used at noon"}).encode()
    async with canned_http(http_answer("409 Conflict", body, Retry_After="7")) as server:
        with pytest.raises(HttpRefusedError) as caught:
            await request_json("POST", f"http://127.0.0.1:{server.port}/x", context=None, body={})
    error = caught.value
    assert (error.reason, error.detail, error.status, error.retry_after_s) == (
        Reason.ENROLMENT_USED,
        "used at noon",
        409,
        7.0,
    )


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        ("503 Away", b"<html>", Reason.UNAVAILABLE),
        ("500 Oops", b"", Reason.INTERNAL),
        ("400 No", b'{"code":"some_newer_code"}', Reason.INTERNAL),
        ("400 No", b'{"error":"authorization_pending","code":"authorization_pending"}', Reason.AUTHORIZATION_PENDING),
    ],
)
async def test_errors_without_a_problem_are_refusals_too(status: str, body: bytes, reason: Reason) -> None:
    async with canned_http(http_answer(status, body)) as server:
        with pytest.raises(HttpRefusedError) as caught:
            await request_json("GET", f"http://127.0.0.1:{server.port}/x", context=None)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n2;x=y\r\n2]\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n[1,2]",
        b"HTTP/1.0 200 OK\r\n\r\n[1,2]",
    ],
)
async def test_all_framings_of_a_body(answer: bytes) -> None:
    async with canned_http(answer) as server:
        _, _, body = await request_json("GET", f"http://localhost:{server.port}/", context=None)
    assert body == [1, 2]


async def test_a_204_has_no_body() -> None:
    async with canned_http(b"HTTP/1.1 204 No Content\r\n\r\n") as server:
        assert await request_json("GET", f"http://localhost:{server.port}/", context=None) == (204, {}, None)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 \xb2 OK\r\n\r\n",
        b"HTTP/1.1 " + b"2" * 5_000 + b" OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"2" * 5_000 + b"\r\n\r\n[]",
        b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n",
        http_answer("200 OK", b"not json"),
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    ],
)
async def test_t12_t15_hostile_answers_are_refused(answer: bytes) -> None:
    async with canned_http(answer) as server:
        with pytest.raises(RemoteProtocolError):
            await request_json("GET", f"http://localhost:{server.port}/", context=None)
    assert len(server.requests) == 1


async def test_a_body_without_length_is_bounded() -> None:
    async with canned_http(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000) as server:
        with pytest.raises(RemoteProtocolError):
            await request("GET", f"http://localhost:{server.port}/", context=None, max_bytes=100)


async def test_silence_is_a_timeout() -> None:
    async with canned_http(b"", hang=True) as server:
        with pytest.raises(RemoteError) as caught:
            await request("GET", f"http://localhost:{server.port}/", context=None, deadline_s=0.05)
    assert caught.value.reason is Reason.TIMEOUT


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"])
async def test_a_cut_answer_is_no_answer(answer: bytes) -> None:
    async with canned_http(answer) as server:
        with pytest.raises(RemoteError) as caught:
            await request("GET", f"http://localhost:{server.port}/", context=None)
    assert caught.value.reason is Reason.CONTROLLER_UNREACHABLE


async def test_nobody_there() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(RemoteError) as caught:
            await request("GET", f"http://127.0.0.1:{unused.getsockname()[1]}/", context=None)
    assert caught.value.reason is Reason.CONTROLLER_UNREACHABLE


@pytest.mark.parametrize(
    "url",
    [
        "http://controller.example/",
        "ftp://x/",
        "https://",
        "https://u:p@x/",
        "https://x:99999/",
        "x",
        "http://10.0.0.1/",
    ],
)
def test_only_https_leaves_this_host(url: str) -> None:
    with pytest.raises(LocalError) as caught:
        check_url(url)
    assert caught.value.reason is Reason.CONFIG_INVALID


async def test_header_injection_is_refused() -> None:
    with pytest.raises(LocalError):
        await request("GET", "http://localhost:1/", context=None, headers={"X": "a\r\nY: b"})
