"""Verifies what a provider says about a person: ID tokens and userinfo answers (T-1, T-4, T-6; Core sections 3.1.3.7, 5.3).

The only module that knows ``joserfc``, which is loaded when a provider is asked: every start would wait for it. First comes
our strict parser, then the key by its ``kid`` from the provider's own set, then the signature with an algorithm that fits
this key, then the claims; each step is set explicitly.
"""

import hmac
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from controller.identity.identity_rules import IdentityRefusedError, IdentityRule, refused
from controller.identity.oidc import ALGORITHMS, Flow
from protocol.errors import RemoteProtocolError
from protocol.limits import CLOCK_LEEWAY_S
from protocol.tokens.strict import b64url_decode_untrusted, parse_object_untrusted, split_compact_untrusted

if TYPE_CHECKING:
    from joserfc.jwk import ECKey, RSAKey

    Key = RSAKey | ECKey

ID_TOKEN_MAX_BYTES: Final = 64 * 1024
"""People are in many groups."""
JWKS_MAX_BYTES: Final = 256 * 1024
USERINFO_MAX_BYTES: Final = 256 * 1024
KEYS_MAX: Final = 64
RSA_BITS_MIN: Final = 2048
SUBJECT_MAX: Final = 255
"""Core section 2: at most 255 ASCII characters."""
ISSUED_MAX_AGE_S: Final = 10 * 60
"""An ID token is fetched the moment that it is made."""
GROUPS_MAX: Final = 1000
SECOND_FACTORS: Final = frozenset({"mfa", "otp", "hwk", "swk"})
"""RFC 8176: several factors, a one-time password, or proof of a key."""

_FAMILIES: Final = {"RSA": ("RS", "PS"), "EC": ("ES",)}
_CURVES: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}


@dataclass(frozen=True, slots=True)
class ProviderKeys:
    """The keys of one provider by their ``kid``, and those without one."""

    named: "Mapping[str, Key]"
    unnamed: "tuple[Key, ...]"


@dataclass(frozen=True, slots=True)
class Person:
    """Who signed in at the provider. ``subject`` is unique within the issuer and never given to another person.

    ``email`` only when the provider says that it verified it. ``authenticated_s`` is Unix seconds; None when the provider
    does not say when the person proved who he is. ``second_factor``: whether the provider says that it asked for one.
    ``groups``: None when the provider does not state them, which is not the same as being in none.
    """

    subject: str
    email: str | None
    name: str | None
    groups: frozenset[str] | None
    authenticated_s: int | None
    second_factor: bool


class UnknownKeyError(IdentityRefusedError):
    """No key of the set made the token: perhaps the provider has a new one."""


def parse_jwks_untrusted(raw: bytes) -> ProviderKeys:
    """Reads a JWK set; keys that are of no use to us are left out. Raises RefusedError(IDENTITY_REFUSED)."""
    try:
        value = parse_object_untrusted(raw, limit=JWKS_MAX_BYTES)
    except RemoteProtocolError as exc:
        raise refused(IdentityRule.PROVIDER_KEYS, "the provider's keys are not JSON") from exc
    entries = value.get("keys")
    if not isinstance(entries, list) or len(entries) > KEYS_MAX:
        raise refused(IdentityRule.PROVIDER_KEYS, "the provider's keys are no JWK set")
    named: dict[str, Key] = {}
    unnamed: list[Key] = []
    for entry in entries:
        key = _key(entry)
        if key is None:
            continue
        kid = entry.get("kid")
        if not isinstance(kid, str):
            unnamed.append(key)
        elif kid in named:
            raise refused(IdentityRule.PROVIDER_KEYS, "two of the provider's keys have one kid")
        else:
            named[kid] = key
    if not named and not unnamed:
        raise refused(IdentityRule.PROVIDER_KEYS, "none of the provider's keys is of use")
    return ProviderKeys(named, tuple(unnamed))


def _key(entry: object) -> "Key | None":
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey, RSAKey, import_key

    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or entry.get("kty") not in _FAMILIES:
        return None
    # Only the members of the public key itself: no header, certificate or operation of the entry decides anything.
    members = {name: entry[name] for name in ("kty", "n", "e", "crv", "x", "y") if isinstance(entry.get(name), str)}
    try:
        # A smaller modulus has fewer characters; the library would accept it and only warn.
        if members["kty"] == "RSA" and len(b64url_decode_untrusted(members["n"])) * 8 < RSA_BITS_MIN:
            return None
        key = import_key(members)
    except (JoseError, RemoteProtocolError, ValueError, KeyError, TypeError):
        return None
    if isinstance(key, RSAKey):
        return key if key.public_key.key_size >= RSA_BITS_MIN else None
    return key if isinstance(key, ECKey) and members.get("crv") in _CURVES else None


def verify_id_token_untrusted(
    token: str,
    keys: ProviderKeys,
    *,
    flow: Flow,
    client_id: str,
    algorithms: Collection[str],
    access_token: str | None,
    now: float,
) -> dict[str, Any]:
    """Returns the claims of an ID token after everything about it was checked.

    Raises:
        UnknownKeyError: no key of its ``kid``, or its key did not sign it.
        RefusedError: IDENTITY_REFUSED naming what is wrong.
    """
    from joserfc import jws
    from joserfc.errors import JoseError

    try:
        compact = split_compact_untrusted(token, limit=ID_TOKEN_MAX_BYTES)
        header = compact.header
        key, algorithm = _choose(header, keys, algorithms)
        signed = jws.deserialize_compact(token, key, algorithms=[algorithm])
        claims = parse_object_untrusted(signed.payload, limit=ID_TOKEN_MAX_BYTES)
    except RemoteProtocolError as exc:
        raise refused(IdentityRule.ID_TOKEN_FORMAT, "the ID token is malformed") from exc
    except (JoseError, ValueError, TypeError) as exc:
        raise UnknownKeyError(IdentityRule.SIGNATURE, "the ID token's signature is wrong") from exc
    _check_claims(claims, header, flow=flow, client_id=client_id, access_token=access_token, now=now)
    return claims


def _choose(header: Mapping[str, object], keys: ProviderKeys, algorithms: Collection[str]) -> "tuple[Key, str]":
    """The key that the header names and the algorithm that fits it. The header chooses among what we accept, no more."""
    algorithm, kid = header.get("alg"), header.get("kid")
    if "crit" in header or "b64" in header:
        raise refused(IdentityRule.ID_TOKEN_FORMAT, "the ID token's header asks for extensions")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS or algorithm not in algorithms:
        raise refused(IdentityRule.ALGORITHM, "the ID token's algorithm is not accepted")
    if kid is not None:
        key = keys.named.get(kid) if isinstance(kid, str) else None
        if key is None:
            raise UnknownKeyError(IdentityRule.KEY, "the ID token's key is not among the provider's")
        candidates: Iterable[Key] = (key,)
    else:
        candidates = (*keys.named.values(), *keys.unnamed)
    fitting = [key for key in candidates if _fits(key, algorithm)]
    if len(fitting) != 1:
        raise refused(IdentityRule.KEY, "the ID token does not say which key signed it")
    return fitting[0], algorithm


def _fits(key: "Key", algorithm: str) -> bool:
    from joserfc.jwk import ECKey

    if isinstance(key, ECKey):
        return _CURVES.get(str(key.curve_name)) == algorithm
    return algorithm.startswith(_FAMILIES["RSA"])


def _check_claims(
    claims: dict[str, Any],
    header: Mapping[str, object],
    *,
    flow: Flow,
    client_id: str,
    access_token: str | None,
    now: float,
) -> None:
    for name in ("exp", "iat", "nbf", "auth_time"):
        if name in claims and (type(claims[name]) not in (int, float) or not 0 <= claims[name] < 1 << 53):
            raise refused(IdentityRule.TIMES, f"the ID token's {name} is no time")
    if claims.get("iss") != flow.issuer:
        raise refused(IdentityRule.ISSUER, "the ID token is of another issuer")
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if client_id not in audiences or not all(isinstance(item, str) for item in audiences):
        raise refused(IdentityRule.AUDIENCE, "the ID token is meant for somebody else")
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), flow.nonce.encode()):
        raise refused(IdentityRule.NONCE, "the ID token belongs to another sign-in")
    if not isinstance(claims.get("iat"), int | float) or claims["iat"] < now - ISSUED_MAX_AGE_S - CLOCK_LEEWAY_S:
        raise refused(IdentityRule.TIMES, "the ID token was made too long ago")
    if claims["iat"] > now + CLOCK_LEEWAY_S:
        raise refused(IdentityRule.TIMES, "the ID token is from the future; compare the clocks")
    _check_subject(claims.get("sub"))
    if flow.max_age_s is not None:
        since = claims.get("auth_time")
        # Counted from the departure: people take their time at the provider.
        if since is None or since < flow.started_s - flow.max_age_s - CLOCK_LEEWAY_S:
            raise refused(IdentityRule.NOT_ANEW, "the person did not prove anew who he is")
    _check_by_library(claims, header, {"nonce": flow.nonce, "client_id": client_id, "access_token": access_token}, now)


def _check_by_library(
    claims: dict[str, Any], header: Mapping[str, object], params: dict[str, str | None], now: float
) -> None:
    from authlib.oidc.core import CodeIDToken
    from joserfc.errors import JoseError

    checked = CodeIDToken(claims, dict(header), params=params)
    try:
        # Expiry, not-before, authorised party and the hash of the access token.
        checked.validate(now=int(now), leeway=CLOCK_LEEWAY_S)
    except (JoseError, ValueError, TypeError) as exc:
        raise refused(IdentityRule.OTHER_CLAIMS, f"the ID token was not accepted ({type(exc).__name__})") from exc


def _check_subject(subject: object) -> str:
    if not isinstance(subject, str) or not 0 < len(subject) <= SUBJECT_MAX or not subject.isprintable():
        raise refused(IdentityRule.SUBJECT, "the provider names no subject")
    return subject


def parse_userinfo_untrusted(raw: bytes, subject: str) -> dict[str, Any]:
    """Reads a userinfo answer; it must be about ``subject`` (Core section 5.3.2). Raises RefusedError."""
    try:
        value = parse_object_untrusted(raw, limit=USERINFO_MAX_BYTES)
    except RemoteProtocolError as exc:
        raise refused(IdentityRule.USERINFO, "the userinfo answer is not JSON") from exc
    if value.get("sub") != subject:
        raise refused(IdentityRule.USERINFO, "the userinfo answer is about somebody else")
    return value


def person_of(claims: Mapping[str, Any], *, groups_claim: str | None, now: float) -> Person:
    """Reads what we use of verified claims. Raises RefusedError(IDENTITY_REFUSED) for groups that are no list of texts."""
    email = claims.get("email")
    verified = isinstance(email, str) and claims.get("email_verified") is True
    names = (claims.get(key) for key in ("name", "preferred_username"))
    since = claims.get("auth_time")
    methods = claims.get("amr")
    return Person(
        subject=_check_subject(claims.get("sub")),
        email=email.strip() if verified and isinstance(email, str) else None,
        name=next((item for item in names if isinstance(item, str) and item.strip()), None),
        groups=_groups(claims, groups_claim) if groups_claim is not None else None,
        authenticated_s=None if since is None else int(min(since, now)),
        second_factor=isinstance(methods, list)
        and any(item in SECOND_FACTORS for item in methods if isinstance(item, str)),
    )


def _groups(claims: Mapping[str, Any], name: str) -> frozenset[str] | None:
    value, elsewhere = claims.get(name), claims.get("_claim_names")
    if isinstance(elsewhere, dict) and name in elsewhere:
        # Core section 5.6.2: the claim is to be had at another place; so it is said when the list is too long.
        return None
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or len(items) > GROUPS_MAX or not all(isinstance(item, str) for item in items):
        raise refused(IdentityRule.GROUPS_CLAIM, f"the groups claim is no list of at most {GROUPS_MAX} names")
    return frozenset(items)
