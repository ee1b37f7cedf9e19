"""Discovery documents, the request and the way back: what a provider says is judged, not believed (T-1, T-15, S-11)."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from rogue_provider import CLIENT, RogueProvider, flow

from controller.identity.oidc import (
    FLOW_LIFE_S,
    Flow,
    Metadata,
    authorization_url,
    is_acceptable_url,
    parse_callback_untrusted,
    parse_metadata_untrusted,
    token_request,
)
from protocol.errors import RefusedError
from protocol.reasons import Reason

NOW = 1_800_000_000.0
ISSUER = "https://id.corp.example"


def document(**more: Any) -> bytes:
    rogue = RogueProvider(metadata=more)
    text = json.dumps({**rogue.document()}).replace(rogue.issuer, ISSUER)
    return text.encode()


def metadata(**more: Any) -> Metadata:
    return parse_metadata_untrusted(document(**more), ISSUER, loopback=False)


def test_what_is_used_of_a_true_document() -> None:
    known = metadata(token_endpoint_auth_methods_supported=["private_key_jwt", "client_secret_post"])
    assert known.issuer == ISSUER
    assert known.algorithms == ("RS256", "ES256")
    assert known.client_auth == "client_secret_post"
    assert known.names_issuer is False


@pytest.mark.parametrize(
    "more",
    [
        {"issuer": "https://id.corp.example/"},
        {"issuer": "https://evil.example"},
        {"issuer": None},
        {"token_endpoint": "http://id.corp.example/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "https://user:word@id.corp.example/keys"},
        {"jwks_uri": None},
        {"authorization_endpoint": 7},
        {"userinfo_endpoint": "ftp://id.corp.example"},
        {"id_token_signing_alg_values_supported": ["none", "HS256"]},
        {"id_token_signing_alg_values_supported": "RS256"},
        {"id_token_signing_alg_values_supported": None},
        {"code_challenge_methods_supported": ["plain"]},
        {"token_endpoint_auth_methods_supported": ["none"]},
    ],
)
def test_t1_a_document_that_cannot_be_trusted_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(RefusedError) as failed:
        metadata(**more)
    assert failed.value.reason is Reason.IDENTITY_REFUSED


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b'{"issuer":"a","issuer":"b"}', b"\xff", b"[" * 9999])
def test_t6_a_document_is_strict_json(raw: bytes) -> None:
    with pytest.raises(RefusedError):
        parse_metadata_untrusted(raw, ISSUER, loopback=False)


@pytest.mark.parametrize(
    ("url", "plain", "loopback"),
    [
        ("https://id.corp.example/a", True, True),
        ("http://id.corp.example/a", False, False),
        ("http://127.0.0.1:9/a", False, True),
        ("http://localhost:9/a", False, True),
        ("http://127.0.0.2/a", False, False),
        ("http://[::1]/a", False, False),
        ("https://id.corp.example:port/a", False, False),
        ("https:///a", False, False),
        ("https://a@id.corp.example", False, False),
        ("https://id.corp.example/ a", False, False),
        ("https://id.corp.example/\r\nHost: x", False, False),
        ("gopher://id.corp.example", False, False),
        ("//id.corp.example", False, False),
    ],
)
def test_t15_only_https_is_fetched_from(url: str, plain: bool, loopback: bool) -> None:
    assert is_acceptable_url(url, loopback=False) is plain
    assert is_acceptable_url(url, loopback=True) is loopback


def test_s11_the_request_is_bound_to_this_browser_and_this_moment() -> None:
    url = authorization_url(metadata(), flow(ISSUER, now=NOW), client_id=CLIENT, scopes=("openid", "email"))
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert query["response_type"] == "code"
    assert query["scope"] == "openid email"
    # RFC 7636 appendix B has the method; the verifier itself never leaves us this way.
    assert query["code_challenge_method"] == "S256"
    assert "v" * 64 not in url
    assert "max_age" not in query
    fresh = authorization_url(metadata(), flow(ISSUER, now=NOW, max_age_s=0), client_id=CLIENT, scopes=())
    assert "max_age=0" in fresh
    assert "prompt=login" in fresh


def test_the_code_is_redeemed_with_verifier_and_encoded_secret() -> None:
    made = flow(ISSUER, now=NOW)
    headers, body = token_request(metadata(), made, code="c&d", client_id="a:b", client_secret="p%ss word")
    form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
    assert form == {
        "grant_type": "authorization_code",
        "code": "c&d",
        "redirect_uri": made.redirect_uri,
        "code_verifier": made.verifier,
    }
    # RFC 6749 section 2.3.1: form-encoded, then joined by a colon, then base64.
    assert headers["Authorization"] == "Basic YSUzQWI6cCUyNXNzJTIwd29yZA=="


def back(query: dict[str, str], *, known: Metadata | None = None, later_s: float = 5, made: Flow | None = None) -> str:
    return parse_callback_untrusted(query, made or flow(ISSUER, now=NOW), known or metadata(), NOW + later_s)


def test_the_way_back() -> None:
    assert back({"state": "s" * 43, "code": "c"}) == "c"
    assert back({"state": "s" * 43, "code": "c", "iss": ISSUER}) == "c"


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"code": "c"},
        {"state": "", "code": "c"},
        {"state": "S" * 43, "code": "c"},
        {"state": "s" * 42, "code": "c"},
        {"state": "s" * 43},
        {"state": "s" * 43, "code": ""},
        {"state": "s" * 43, "code": "c" * 5000},
        {"state": "s" * 43, "code": "c", "iss": "https://evil.example"},
        {"state": "s" * 43, "code": "c", "iss": ISSUER + "/"},
        {"state": "s" * 43, "code": "c", "error": "access_denied\r\nx"},
    ],
)
def test_s11_an_answer_to_something_else_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(RefusedError) as failed:
        back(query)
    assert failed.value.reason is Reason.IDENTITY_REFUSED
    assert failed.value.detail.isprintable()


def test_s11_a_provider_that_names_itself_must_do_so() -> None:
    known = metadata(authorization_response_iss_parameter_supported=True)
    with pytest.raises(RefusedError):
        back({"state": "s" * 43, "code": "c"}, known=known)
    assert back({"state": "s" * 43, "code": "c", "iss": ISSUER}, known=known) == "c"


@pytest.mark.parametrize("later_s", [-60.0, FLOW_LIFE_S + 2])
def test_a_flow_has_its_time(later_s: float) -> None:
    with pytest.raises(RefusedError):
        back({"state": "s" * 43, "code": "c"}, later_s=later_s)


def test_a_flow_survives_the_browser() -> None:
    made = flow(ISSUER, now=NOW, max_age_s=0)
    assert Flow.from_bytes(made.to_bytes()) == made
