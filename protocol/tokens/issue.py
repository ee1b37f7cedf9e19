"""Signs tokens: one function per kind, each the exact inverse of its verifier in ``protocol.tokens.verify``.

Every function raises LocalError(LIMIT_EXCEEDED) when the token would be larger than verifiers take.
"""

from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric import ec

from protocol.acl.codec import acl_to_json
from protocol.acl.model import Acl
from protocol.ids import NetworkId
from protocol.tokens.claims import (
    LOG_AUDIENCE,
    Access,
    Assertion,
    Authorisation,
    Checkpoint,
    Config,
    Keyset,
    Rotation,
    Snapshot,
    Ticket,
)
from protocol.tokens.jws import Kind, encode_members, sign
from protocol.tokens.keys import SigningKey, public_jwk, thumbprint


def encode_whitelist(acl: Acl, networks: Mapping[NetworkId, str]) -> str:
    """Returns the claims that the snapshots of all devices with this whitelist share, for ``issue_snapshot``."""
    return encode_members({"acl": acl_to_json(acl), "networks": dict(networks)})


def issue_snapshot(claims: Snapshot, key: SigningKey, *, whitelist: str = "") -> str:
    """Signs a client's whitelist (C7). ``whitelist``: what ``encode_whitelist`` made of the claims, if that is known."""
    whitelist = whitelist or encode_whitelist(claims.acl, claims.networks)
    return sign(
        Kind.SNAPSHOT,
        {
            "iss": claims.issuer,
            "aud": claims.device,
            "sub": claims.user,
            "iat": claims.issued_at,
            "exp": claims.not_after,
            "kind": claims.user_kind,
            "sid": claims.session,
            "epoch": claims.epoch,
            "rev": claims.revision,
        },
        key,
        encoded=f"{whitelist},{encode_members({'head': claims.log_head})}",
    )


def issue_config(claims: Config, key: SigningKey) -> str:
    """Signs a connector's config (C3)."""
    return sign(
        Kind.CONFIG,
        {
            "iss": claims.issuer,
            "aud": claims.connector,
            "iat": claims.issued_at,
            "exp": claims.not_after,
            "net": claims.network,
            "epoch": claims.epoch,
            "rev": claims.revision,
            "acl": acl_to_json(claims.acl),
            "relays": [
                {"relay": relay.relay, "fqdn": relay.fqdn, "port": relay.port, "ticket": relay.ticket}
                for relay in claims.relays
            ],
            "cutoffs": [
                {"device": cut.device, "resource": cut.resource, "before": cut.before, "reason": cut.reason}
                for cut in claims.cutoffs
            ],
            "head": claims.log_head,
            "egress": list(claims.egress_allow),
            "checkpoint": claims.checkpoint,
        },
        key,
    )


def issue_authorisation(claims: Authorisation, key: SigningKey) -> str:
    """Signs the paths to a resource (C11)."""
    return sign(
        Kind.AUTHORISATION,
        {
            "iss": claims.issuer,
            "aud": claims.device,
            "iat": claims.issued_at,
            "exp": claims.expires,
            "res": claims.resource,
            "rev": claims.revision,
            "paths": [
                {
                    "con": path.connector,
                    "hash": path.connector_hash,
                    "pins": list(path.pins),
                    "relay": path.relay,
                    "fqdn": path.fqdn,
                    "port": path.port,
                    "ticket": path.ticket,
                }
                for path in claims.paths
            ],
        },
        key,
    )


def issue_ticket(claims: Ticket, key: SigningKey) -> str:
    """Signs a relay ticket (C3, C11)."""
    return sign(
        Kind.TICKET,
        {
            "iss": claims.issuer,
            "aud": claims.relay,
            "iat": claims.issued_at,
            "exp": claims.expires,
            "role": claims.role,
            "hash": claims.connector_hash,
        },
        key,
    )


def issue_access(claims: Access, key: SigningKey) -> str:
    """Signs an access token bound to the client's key (C15)."""
    return sign(
        Kind.ACCESS,
        {
            "iss": claims.issuer,
            "aud": claims.connector,
            "sub": claims.device,
            "iat": claims.issued_at,
            "exp": claims.expires,
            "jti": claims.jti,
            "user": claims.user,
            "sid": claims.session,
            "rev": claims.revision,
            "cnf": {"jwk": dict(claims.jwk)},
            "pins": list(claims.pins),
            "acl": acl_to_json(claims.acl),
            "grants": list(claims.grants),
        },
        key,
    )


def issue_assertion(claims: Assertion, key: ec.EllipticCurvePrivateKey) -> str:
    """Signs an agent's assertion (RFC 7523 section 3) with its own key; ``kid`` is the key's thumbprint."""
    return sign(
        Kind.ASSERTION,
        {
            "iss": claims.agent,
            "sub": claims.agent,
            "aud": claims.audience,
            "iat": claims.issued_at,
            "exp": claims.expires,
            "jti": claims.jti,
        },
        SigningKey(thumbprint(public_jwk(key)), key),
    )


def issue_rotation(claims: Rotation, key: ec.EllipticCurvePrivateKey) -> str:
    """Signs an agent's statement about its next key with the key that it has (C5)."""
    return sign(
        Kind.ROTATION,
        {
            "iss": claims.agent,
            "sub": claims.agent,
            "aud": claims.audience,
            "iat": claims.issued_at,
            "exp": claims.expires,
            "jti": claims.jti,
            "jwk": dict(claims.jwk),
        },
        SigningKey(thumbprint(public_jwk(key)), key),
    )


def issue_keyset(claims: Keyset, key: SigningKey) -> str:
    """Signs the verification keys for a relay."""
    return sign(
        Kind.KEYSET,
        {
            "iss": claims.issuer,
            "aud": claims.relay,
            "iat": claims.issued_at,
            "exp": claims.expires,
            "jwks": dict(claims.jwks),
        },
        key,
    )


def issue_checkpoint(claims: Checkpoint, key: SigningKey) -> str:
    """Signs where the log stands (T-70)."""
    return sign(
        Kind.CHECKPOINT,
        {
            "iss": claims.issuer,
            "aud": LOG_AUDIENCE,
            "iat": claims.issued_at,
            "exp": claims.expires,
            "epoch": claims.epoch,
            "pos": claims.position,
            "hash": claims.hash,
            "prev": claims.previous_position,
            "prev_hash": claims.previous_hash,
        },
        key,
    )
