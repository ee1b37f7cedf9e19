"""OpenID Connect, the parts that need no network: discovery documents, the request, the way back (T-1, S-11, RFC 9700).

    begin                 a Flow: state, nonce, PKCE verifier, bound to one provider and one browser
    authorization_url     where the browser is sent
    parse_callback        what it comes back with: state, issuer (RFC 9207) and code, or the provider's error
    token_request         what is sent to the token endpoint

The Flow rests in the browser, sealed; the controller stores nothing for somebody who is not signed in. The library is loaded
when somebody leaves for a provider: every start would wait for it.
"""

import hmac
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final
from urllib.parse import quote, urlsplit

from controller.identity.identity_rules import IdentityRule, refused
from protocol.errors import RemoteProtocolError
from protocol.tokens.strict import parse_object_untrusted

FLOW_LIFE_S: Final = 10 * 60
"""From leaving for the provider to coming back: people type passwords and codes there."""
METADATA_MAX_BYTES: Final = 128 * 1024
CODE_MAX: Final = 4096
ENDPOINT_MAX: Final = 1024
WELL_KNOWN: Final = "/.well-known/openid-configuration"
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
"""Signatures by a public key only. The key decides which of them fits, never the token."""
_CLIENT_AUTH: Final = ("client_secret_basic", "client_secret_post")


@dataclass(frozen=True, slots=True)
class Metadata:
    """What we use of a discovery document (OpenID Connect Discovery section 3)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    algorithms: tuple[str, ...]
    client_auth: str
    names_issuer: bool
    """Whether the way back says who sends it (RFC 9207): then it must."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One sign-in that left for a provider. ``surface`` is where it goes on, ``target`` what was asked for there."""

    provider: str
    issuer: str
    redirect_uri: str
    state: str
    nonce: str
    verifier: str
    surface: str
    target: str
    started_s: int
    max_age_s: int | None = None

    def to_bytes(self) -> bytes:
        """The form that is sealed."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Flow":
        """Reads what ``to_bytes`` wrote and nobody else can have written: it was sealed."""
        return cls(**json.loads(data))


def is_acceptable_url(url: str, *, loopback: bool) -> bool:
    """Whether the controller would fetch from ``url``: https, or with ``loopback`` also http to this host itself."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    if not parts.hostname or parts.username is not None or parts.fragment or len(url) > ENDPOINT_MAX:
        return False
    if not url.isascii() or not url.isprintable() or " " in url:
        return False
    return parts.scheme == "https" or (
        loopback and parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")
    )


def discovery_url(issuer: str) -> str:
    """Returns where the provider describes itself (Discovery section 4)."""
    return issuer.rstrip("/") + WELL_KNOWN


def parse_metadata_untrusted(raw: bytes, issuer: str, *, loopback: bool) -> Metadata:
    """Checks a discovery document.

    Raises:
        RefusedError: IDENTITY_REFUSED naming the member at fault; above all when it speaks for another issuer.
    """
    try:
        value = parse_object_untrusted(raw, limit=METADATA_MAX_BYTES)
    except RemoteProtocolError as exc:
        raise refused(IdentityRule.DISCOVERY, "the discovery document is not JSON") from exc
    if value.get("issuer") != issuer:
        raise refused(IdentityRule.DISCOVERY_ISSUER, "the discovery document is of another issuer")
    endpoints = {
        name: _endpoint(value, name, loopback) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
    }
    userinfo = _endpoint(value, "userinfo_endpoint", loopback) if value.get("userinfo_endpoint") is not None else None
    algorithms = tuple(name for name in ALGORITHMS if name in _words(value, "id_token_signing_alg_values_supported"))
    if not algorithms:
        raise refused(IdentityRule.DISCOVERY, "the provider signs with no algorithm that is accepted here")
    challenges = _words(value, "code_challenge_methods_supported", otherwise=("S256",))
    if "S256" not in challenges:
        raise refused(IdentityRule.DISCOVERY, "the provider knows no PKCE with S256")
    offered = _words(value, "token_endpoint_auth_methods_supported", otherwise=_CLIENT_AUTH[:1])
    client_auth = next((name for name in _CLIENT_AUTH if name in offered), None)
    if client_auth is None:
        raise refused(IdentityRule.DISCOVERY, "the provider takes no client secret")
    return Metadata(
        issuer=issuer,
        **endpoints,
        userinfo_endpoint=userinfo,
        algorithms=algorithms,
        client_auth=client_auth,
        names_issuer=value.get("authorization_response_iss_parameter_supported") is True,
    )


def _endpoint(value: Mapping[str, object], name: str, loopback: bool) -> str:
    url = value.get(name)
    if not isinstance(url, str) or not is_acceptable_url(url, loopback=loopback):
        raise refused(IdentityRule.DISCOVERY, f"{name} of the discovery document is not an https URL")
    return url


def _words(value: Mapping[str, object], name: str, *, otherwise: tuple[str, ...] = ()) -> tuple[str, ...]:
    found = value.get(name)
    if found is None:
        return otherwise
    if not isinstance(found, list):
        raise refused(IdentityRule.DISCOVERY, f"{name} of the discovery document is not a list")
    return tuple(item for item in found if isinstance(item, str))


def authorization_url(metadata: Metadata, flow: Flow, *, client_id: str, scopes: tuple[str, ...]) -> str:
    """Returns the URL to which the browser goes (Core section 3.1.2.1), with PKCE (RFC 7636)."""
    from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
    from authlib.oauth2.rfc7636 import create_s256_code_challenge

    fresh = {} if flow.max_age_s is None else {"max_age": str(flow.max_age_s), "prompt": "login"}
    url: str = prepare_grant_uri(
        metadata.authorization_endpoint,
        client_id,
        "code",
        redirect_uri=flow.redirect_uri,
        scope=" ".join(scopes),
        state=flow.state,
        nonce=flow.nonce,
        code_challenge=create_s256_code_challenge(flow.verifier),
        code_challenge_method="S256",
        **fresh,
    )
    return url


def parse_callback_untrusted(query: Mapping[str, str], flow: Flow, metadata: Metadata, now: float) -> str:
    """Returns the authorization code of the browser that comes back.

    Raises:
        RefusedError: IDENTITY_REFUSED for another state or issuer, a flow that is too old, or what the provider refused.
    """
    if not hmac.compare_digest(query.get("state", "").encode(), flow.state.encode()):
        raise refused(IdentityRule.FLOW_STATE, "the answer belongs to another sign-in")
    if not flow.started_s <= now + 1 <= flow.started_s + FLOW_LIFE_S:
        raise refused(IdentityRule.FLOW_EXPIRED, "the sign-in took too long")
    issuer = query.get("iss")
    if issuer is None and metadata.names_issuer:
        raise refused(IdentityRule.FLOW_ISSUER, "the answer does not say who sends it")
    if issuer is not None and issuer != flow.issuer:
        raise refused(IdentityRule.FLOW_ISSUER, "the answer comes from another issuer")
    if "error" in query:
        raise refused(IdentityRule.PROVIDER_REFUSED, f"the provider refused: {_shown(query['error'])}")
    code = query.get("code", "")
    if not 0 < len(code) <= CODE_MAX:
        raise refused(IdentityRule.CODE, "the answer holds no code")
    return code


def token_request(
    metadata: Metadata, flow: Flow, *, code: str, client_id: str, client_secret: str
) -> tuple[dict[str, str], bytes]:
    """Returns headers and body of the request that redeems ``code`` (Core section 3.1.3.1)."""
    from authlib.oauth2.auth import ClientAuth
    from authlib.oauth2.rfc6749.parameters import prepare_token_request

    body = prepare_token_request(
        "authorization_code", redirect_uri=flow.redirect_uri, code=code, code_verifier=flow.verifier
    )
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    if metadata.client_auth == "client_secret_basic":
        # RFC 6749 section 2.3.1: both are form-encoded first, which the library leaves to its caller.
        client_id, client_secret = quote(client_id, safe=""), quote(client_secret, safe="")
    client = ClientAuth(client_id, client_secret, metadata.client_auth)
    _, headers, body = client.prepare("POST", metadata.token_endpoint, headers, body)
    return headers, body.encode()


def _shown(text: str) -> str:
    return "".join(char if char.isascii() and char.isprintable() else "?" for char in text[:100])
