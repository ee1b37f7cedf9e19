"""The only way from a token to its claims: signature, kind, issuer, audience, times, then every claim (threats T-4 to T-6).

Each kind has its own verifier with its own ``typ``, audience and set of claims, so that no token of one kind passes as
another (RFC 8725 section 3.12, test S-6). Every verifier raises RemoteError with one of the TOKEN_* reasons and returns
a narrower type. ``now`` is Unix seconds.
"""

from collections.abc import Collection, Mapping
from typing import Final, cast

from cryptography.hazmat.primitives.asymmetric import ec

from protocol.acl.codec import acl_from_json_untrusted
from protocol.control import Cutoff
from protocol.errors import RemoteError
from protocol.ids import (
    ConnectorId,
    DeviceId,
    Epoch,
    GrantId,
    NetworkId,
    RelayId,
    ResourceId,
    Revision,
    SessionId,
    is_id,
    relay_hash,
)
from protocol.limits import ASSERTION_LIFE_S, CLOCK_LEEWAY_S, TOKEN_MAX_BYTES
from protocol.reasons import Reason
from protocol.tokens.claims import (
    LOG_AUDIENCE,
    Access,
    Assertion,
    Authorisation,
    Checkpoint,
    Config,
    ConfigRelay,
    Keyset,
    Path,
    Rotation,
    Snapshot,
    Ticket,
    TicketRole,
    UserKind,
)
from protocol.tokens.jws import Kind, read_unverified, unverified_key_id, verify
from protocol.tokens.keys import (
    VerificationKeys,
    key_from_jwk_untrusted,
    parse_pin_untrusted,
    public_jwk,
    thumbprint,
)
from protocol.tokens.reader import ClaimReader, network_text_untrusted
from protocol.tokens.strict import malformed

CHECKPOINT_MAX: Final = 2048
"""Characters of the checkpoint in a config; it is some 500 long."""
PATHS_MAX: Final = 32
PINS_MAX: Final = 4
RELAYS_MAX: Final = 64

_COMMON: Final = frozenset({"iss", "aud", "iat", "exp"})
_SNAPSHOT: Final = _COMMON | {"sub", "kind", "sid", "epoch", "rev", "acl", "networks", "head"}
_CONFIG: Final = _COMMON | {"net", "epoch", "rev", "acl", "relays", "cutoffs", "head", "egress", "checkpoint"}
_CONFIG_RELAY: Final = frozenset({"relay", "fqdn", "port", "ticket"})
_CUTOFF: Final = frozenset({"device", "resource", "before", "reason"})
_AUTHORISATION: Final = _COMMON | {"res", "rev", "paths"}
_PATH: Final = frozenset({"con", "hash", "pins", "relay", "fqdn", "port", "ticket"})
_TICKET: Final = _COMMON | {"role", "hash"}
_ACCESS: Final = _COMMON | {"sub", "jti", "user", "sid", "rev", "cnf", "pins", "acl", "grants"}
_ASSERTION: Final = _COMMON | {"sub", "jti"}
_ROTATION: Final = _ASSERTION | {"jwk"}
_KEYSET: Final = _COMMON | {"jwks"}
_CHECKPOINT: Final = _COMMON | {"epoch", "pos", "hash", "prev", "prev_hash"}


def verify_snapshot(token: str, *, keys: VerificationKeys, issuer: str, device: DeviceId, now: float) -> Snapshot:
    """Verifies a client's whitelist (C7). Whether it is older than the last one is the client's to check (D8)."""
    claims = _verified(Kind.SNAPSHOT, token, keys.keys, _SNAPSHOT, issuer=issuer, audience=device, now=now)
    kind = claims.text("kind")
    if kind not in ("user", "service"):
        raise claims.wrong("has a wrong kind")
    user = claims.identifier("sub", "user" if kind == "user" else "service_account")
    return Snapshot(
        issuer=issuer,
        device=device,
        user=user,
        user_kind=cast(UserKind, kind),
        session=_session(claims, user),
        epoch=Epoch(claims.integer("epoch")),
        revision=Revision(claims.integer("rev")),
        issued_at=claims.integer("iat"),
        not_after=claims.integer("exp"),
        acl=claims.parsed("acl", acl_from_json_untrusted),
        networks=_networks(claims),
        log_head=claims.text("head", empty=True),
        token=token,
    )


def verify_config(token: str, *, keys: VerificationKeys, issuer: str, connector: ConnectorId, now: float) -> Config:
    """Verifies a connector's config (C3)."""
    claims = _verified(Kind.CONFIG, token, keys.keys, _CONFIG, issuer=issuer, audience=connector, now=now)
    return Config(
        issuer=issuer,
        connector=connector,
        network=NetworkId(claims.identifier("net", "network")),
        epoch=Epoch(claims.integer("epoch")),
        revision=Revision(claims.integer("rev")),
        issued_at=claims.integer("iat"),
        not_after=claims.integer("exp"),
        acl=claims.parsed("acl", acl_from_json_untrusted),
        relays=tuple(_config_relay(item) for item in claims.items("relays", most=RELAYS_MAX)),
        cutoffs=tuple(_cutoff(item) for item in claims.items("cutoffs")),
        log_head=claims.text("head", empty=True),
        egress_allow=claims.parsed_items("egress", network_text_untrusted),
        checkpoint=claims.text("checkpoint", limit=CHECKPOINT_MAX, empty=True),
        token=token,
    )


def verify_authorisation(
    token: str, *, keys: VerificationKeys, issuer: str, device: DeviceId, now: float
) -> Authorisation:
    """Verifies the paths to a resource (C11). The nested tickets are opaque to a client."""
    claims = _verified(Kind.AUTHORISATION, token, keys.keys, _AUTHORISATION, issuer=issuer, audience=device, now=now)
    return Authorisation(
        issuer=issuer,
        device=device,
        resource=ResourceId(claims.identifier("res", "resource")),
        revision=Revision(claims.integer("rev")),
        issued_at=claims.integer("iat"),
        expires=claims.integer("exp"),
        paths=tuple(_path(item) for item in claims.items("paths", most=PATHS_MAX)),
    )


def verify_ticket(token: str, *, keys: VerificationKeys, issuer: str, relay: RelayId, now: float) -> Ticket:
    """Verifies a ticket at a relay (C4, C13)."""
    claims = _verified(Kind.TICKET, token, keys.keys, _TICKET, issuer=issuer, audience=relay, now=now)
    role = claims.text("role")
    if role not in ("client", "connector", "controller"):
        raise claims.wrong("has a wrong role")
    if role == "controller" and claims.raw("hash") is not None:
        raise claims.wrong("of a controller names a connector")
    return Ticket(
        issuer=issuer,
        relay=relay,
        role=cast(TicketRole, role),
        connector_hash=None if role == "controller" else claims.connector_hash("hash"),
        issued_at=claims.integer("iat"),
        expires=claims.integer("exp"),
    )


def verify_access(token: str, *, keys: VerificationKeys, issuer: str, connector: ConnectorId, now: float) -> Access:
    """Verifies an access token at a connector (C17). It gives nothing until ``pop.verify_proof`` has passed."""
    claims = _verified(Kind.ACCESS, token, keys.keys, _ACCESS, issuer=issuer, audience=connector, now=now)
    user = claims.identifier("user", "user", "service_account")
    grants = claims.items("grants")
    if not all(isinstance(grant, str) and is_id(grant, "grant") for grant in grants):
        raise claims.wrong("has a wrong grants")
    return Access(
        issuer=issuer,
        connector=connector,
        device=DeviceId(claims.identifier("sub", "device")),
        user=user,
        session=_session(claims, user),
        jti=claims.text("jti", limit=64),
        acl=claims.parsed("acl", acl_from_json_untrusted),
        jwk=_confirmation_jwk(claims),
        revision=Revision(claims.integer("rev")),
        grants=tuple(GrantId(cast(str, grant)) for grant in grants),
        issued_at=claims.integer("iat"),
        expires=claims.integer("exp"),
        pins=claims.parsed_items("pins", parse_pin_untrusted, least=1, most=PINS_MAX),
        token=token,
    )


class UnverifiedAssertion:
    """An agent's assertion taken apart, so that its key can be looked up; nothing in it is true before ``verify``.

    ``agent`` and ``key_id`` are whose it claims to be, and by which of the agent's keys it says that it was signed.

    Raises:
        RemoteError: a TOKEN_* reason when it is malformed or of another kind.
    """

    def __init__(self, token: str) -> None:
        self._read = read_unverified(Kind.ASSERTION, token)
        self.agent = ClaimReader(self._read.claims, _ASSERTION, Kind.ASSERTION.typ).text("sub", limit=64)
        kid = self._read.compact.header["kid"]
        if not isinstance(kid, str):
            raise malformed("a token's kid is a text")
        self.key_id = kid

    def verify(self, key: Mapping[str, str], *, audiences: Collection[str], now: float) -> Assertion:
        """Verifies it with that agent's public key, a JWK (C2). The caller spends ``jti`` once (D7).

        Args:
            key: the agent's, as we know it.
            audiences: our own names, exactly one of which it must be for.
            now: Unix seconds.

        Raises:
            RemoteError: a TOKEN_* reason.
        """
        claims = ClaimReader(
            self._read.verify(key_from_jwk_untrusted(key), thumbprint(key)), _ASSERTION, Kind.ASSERTION.typ
        )
        return _assertion(_check_of_agent(_check_shared(claims, Kind.ASSERTION, audiences, now)))


def verify_assertion(token: str, *, key: ec.EllipticCurvePublicKey, audience: str, now: float) -> Assertion:
    """Verifies an agent's assertion with that agent's key (C2). The caller spends ``jti`` once (D7)."""
    return _assertion(_of_agent(Kind.ASSERTION, token, _ASSERTION, key=key, audience=audience, now=now))


def verify_rotation(token: str, *, key: ec.EllipticCurvePublicKey, audience: str, now: float) -> Rotation:
    """Verifies an agent's statement about its next key with the key that it has (C5). Said again, it says the same."""
    claims = _of_agent(Kind.ROTATION, token, _ROTATION, key=key, audience=audience, now=now)
    jwk = public_jwk(claims.parsed("jwk", key_from_jwk_untrusted))
    issued_at, expires = claims.integer("iat"), claims.integer("exp")
    return Rotation(claims.text("sub"), audience, claims.text("jti", limit=64), jwk, issued_at, expires)


def verify_keyset(token: str, *, keys: VerificationKeys, issuer: str, relay: RelayId, now: float) -> Keyset:
    """Verifies new keys for a relay; ``VerificationKeys.from_jwks_untrusted`` reads its ``jwks`` without failing."""
    claims = _verified(Kind.KEYSET, token, keys.keys, _KEYSET, issuer=issuer, audience=relay, now=now)
    jwks = claims.parsed("jwks", VerificationKeys.from_jwks_untrusted).to_jwks()
    return Keyset(issuer, relay, jwks, claims.integer("iat"), claims.integer("exp"))


def verify_checkpoint(token: str, *, keys: VerificationKeys, issuer: str, now: float) -> Checkpoint:
    """Verifies where the log stood (T-70). An auditor gives the time at which it was signed as ``now``."""
    claims = _verified(Kind.CHECKPOINT, token, keys.keys, _CHECKPOINT, issuer=issuer, audience=LOG_AUDIENCE, now=now)
    position, previous = claims.integer("pos", least=1), claims.integer("prev")
    if previous >= position:
        raise claims.wrong("does not follow the one before it")
    return Checkpoint(
        issuer=issuer,
        epoch=Epoch(claims.integer("epoch")),
        position=Revision(position),
        hash=claims.log_hash("hash"),
        previous_position=Revision(previous),
        previous_hash=claims.log_hash("prev_hash"),
        issued_at=claims.integer("iat"),
        expires=claims.integer("exp"),
        token=token,
    )


def signed_by_one_of(access: str, keys: VerificationKeys) -> bool:
    """Tells whether an access token, which was verified once, names a key that still counts."""
    return unverified_key_id(Kind.ACCESS, access) in keys.keys


def checkpoint_key_id(token: str) -> str:
    """Returns by which key a checkpoint says it was signed; good for choosing the key, proves nothing."""
    return unverified_key_id(Kind.CHECKPOINT, token)


def _verified(
    kind: Kind,
    token: str,
    keys: Mapping[str, ec.EllipticCurvePublicKey],
    members: frozenset[str],
    *,
    issuer: str | None,
    audience: str,
    now: float,
) -> ClaimReader:
    """Checks what all kinds share; ``issuer`` None leaves that to the caller."""
    claims = ClaimReader(verify(kind, token, keys), members, kind.typ)
    if issuer is not None and claims.text("iss") != issuer:
        raise RemoteError(Reason.TOKEN_ISSUER, f"{kind.typ} of {claims.text('iss')!r}")
    return _check_shared(claims, kind, (audience,), now)


def _check_shared(claims: ClaimReader, kind: Kind, audiences: Collection[str], now: float) -> ClaimReader:
    if claims.text("aud", limit=2048) not in audiences:
        raise RemoteError(Reason.TOKEN_AUDIENCE, f"{kind.typ} for {claims.text('aud', limit=2048)!r}")
    issued_at, expires = claims.integer("iat"), claims.integer("exp")
    if expires <= issued_at:
        raise claims.wrong("ends before it begins")
    if issued_at > now + CLOCK_LEEWAY_S:
        raise RemoteError(Reason.TOKEN_NOT_YET_VALID, f"{kind.typ} issued {issued_at - now:.0f} s ahead of our clock")
    if not now < expires + CLOCK_LEEWAY_S:
        raise RemoteError(Reason.TOKEN_EXPIRED, f"{kind.typ} expired {now - expires:.0f} s ago")
    return claims


def _of_agent(
    kind: Kind, token: str, members: frozenset[str], *, key: ec.EllipticCurvePublicKey, audience: str, now: float
) -> ClaimReader:
    """Checks what an agent says about itself, signed by its own key and soon past."""
    keys = {thumbprint(public_jwk(key)): key}
    return _check_of_agent(_verified(kind, token, keys, members, issuer=None, audience=audience, now=now))


def _check_of_agent(claims: ClaimReader) -> ClaimReader:
    if claims.text("iss") != claims.text("sub", limit=64):
        raise RemoteError(Reason.TOKEN_ISSUER, "an agent asserts only itself")
    if claims.integer("exp") - claims.integer("iat") > ASSERTION_LIFE_S + CLOCK_LEEWAY_S:
        raise claims.wrong("lives too long")
    return claims


def _assertion(claims: ClaimReader) -> Assertion:
    issued_at, expires = claims.integer("iat"), claims.integer("exp")
    return Assertion(
        claims.text("sub"), claims.text("aud", limit=2048), claims.text("jti", limit=64), issued_at, expires
    )


def _session(claims: ClaimReader, user: str) -> SessionId:
    if is_id(user, "service_account") and claims.raw("sid") == "":
        return SessionId("")
    return SessionId(claims.identifier("sid", "session"))


def _networks(claims: ClaimReader) -> dict[NetworkId, str]:
    value = claims.raw("networks")
    if not isinstance(value, dict) or not all(
        is_id(network, "network") and isinstance(name, str) and len(name) <= 256 for network, name in value.items()
    ):
        raise claims.wrong("has a wrong networks")
    return {NetworkId(network): name for network, name in value.items()}


def _port_and_host(entry: ClaimReader) -> tuple[str, int]:
    return entry.host("fqdn"), entry.integer("port", least=1, most=65535)


def _config_relay(value: object) -> ConfigRelay:
    entry = ClaimReader(value, _CONFIG_RELAY, "relays")
    fqdn, port = _port_and_host(entry)
    ticket = entry.text("ticket", limit=TOKEN_MAX_BYTES)
    return ConfigRelay(RelayId(entry.identifier("relay", "relay")), fqdn, port, ticket)


def _cutoff(value: object) -> Cutoff:
    entry = ClaimReader(value, _CUTOFF, "cutoffs")
    every = entry.raw("resource") is None
    return Cutoff(
        device=DeviceId(entry.identifier("device", "device")),
        resource=None if every else ResourceId(entry.identifier("resource", "resource")),
        before=entry.integer("before"),
        reason=entry.text("reason", limit=64),
    )


def _path(value: object) -> Path:
    entry = ClaimReader(value, _PATH, "paths")
    connector = ConnectorId(entry.identifier("con", "connector"))
    if entry.text("hash") != relay_hash(connector):
        raise entry.wrong("has a wrong hash")
    fqdn, port = _port_and_host(entry)
    return Path(
        connector=connector,
        connector_hash=relay_hash(connector),
        pins=entry.parsed_items("pins", parse_pin_untrusted, least=1, most=PINS_MAX),
        relay=RelayId(entry.identifier("relay", "relay")),
        fqdn=fqdn,
        port=port,
        ticket=entry.text("ticket", limit=TOKEN_MAX_BYTES),
    )


def _confirmation_jwk(claims: ClaimReader) -> dict[str, str]:
    """Reads ``cnf`` (RFC 7800 section 3.2): exactly one key, given as ``jwk`` and nothing else (S-1)."""
    confirmation = ClaimReader(claims.raw("cnf"), frozenset({"jwk"}), "cnf")
    return public_jwk(confirmation.parsed("jwk", key_from_jwk_untrusted))
