"""Trust: the pinned CA and nothing else."""

import ssl

import pytest
from canned_http import canned_http, http_answer
from tls_material import tls_material

from protocol.errors import LocalError, RemoteError, RemoteProtocolError
from protocol.ids import SpkiPin
from protocol.reasons import Reason
from runtime.trust import check_ca_untrusted, client_context, fetch_ca, server_context

PKI = tls_material()


async def test_c1_the_pinned_ca_is_fetched() -> None:
    answer = http_answer("200 OK", PKI.ca_pem)
    async with canned_http(answer, tls=server_context(PKI.cert_pem, PKI.key_pem)) as server:
        pem = await fetch_ca(f"https://localhost:{server.port}/", PKI.ca_pin)
    assert pem == PKI.ca_pem
    assert server.requests[0][0].startswith("GET /ca.pem ")


async def test_a_ca_of_somebody_in_between_is_refused_naming_both_pins() -> None:
    other = SpkiPin("sha256/AAAA")
    async with canned_http(http_answer("200 OK", PKI.ca_pem), tls=server_context(PKI.cert_pem, PKI.key_pem)) as server:
        with pytest.raises(RemoteError) as caught:
            await fetch_ca(f"https://localhost:{server.port}", other)
    assert caught.value.reason is Reason.PIN_MISMATCH
    assert other in caught.value.detail
    assert PKI.ca_pin in caught.value.detail


async def test_no_ca_there() -> None:
    async with canned_http(http_answer("404 No"), tls=server_context(PKI.cert_pem, PKI.key_pem)) as server:
        with pytest.raises(RemoteProtocolError):
            await fetch_ca(f"https://localhost:{server.port}", PKI.ca_pin)


def test_only_the_pinned_certificate_is_kept() -> None:
    assert check_ca_untrusted(PKI.ca_pem + PKI.cert_pem, PKI.ca_pin) == PKI.ca_pem


@pytest.mark.parametrize("pem", [b"", b"rubbish", PKI.key_pem], ids=["nothing", "words", "a key"])
def test_rubbish_is_no_ca(pem: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        check_ca_untrusted(pem, PKI.ca_pin)


def test_contexts_speak_tls13_only_and_keep_no_key_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", "/tmp/t63-must-not-exist")
    for context in (client_context(PKI.ca_pem), client_context(None), server_context(PKI.cert_pem, PKI.key_pem)):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_3
        assert context.keylog_filename is None
    assert client_context(PKI.ca_pem).check_hostname
    assert client_context(PKI.ca_pem).verify_mode is ssl.CERT_REQUIRED


def test_damaged_state_is_named() -> None:
    with pytest.raises(LocalError) as caught:
        client_context(b"-----BEGIN")
    assert caught.value.reason is Reason.STATE_CORRUPT
    with pytest.raises(LocalError):
        server_context(b"", b"")
