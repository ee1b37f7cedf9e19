"""One valid token of every kind from fixed keys and ids, and a forger that signs anything."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from protocol.acl.model import Acl, Entry, NamePattern, PortRange, Ports, Resource
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
    SpkiPin,
    make_id,
    relay_hash,
)
from protocol.reasons import Reason
from protocol.tokens import issue, verify
from protocol.tokens.claims import (
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
)
from protocol.tokens.keys import SigningKey, VerificationKeys, public_jwk, thumbprint

NOW = 1_800_000_000
ISSUER = "ctl_AAAAAAAAAAAAAAAAAAAAAA"
CONTROLLER_KEY = SigningKey("k1", ec.derive_private_key(0x1001, ec.SECP256R1()))
OTHER_KEY = SigningKey("k1", ec.derive_private_key(0x2002, ec.SECP256R1()))
AGENT_KEY = ec.derive_private_key(0x3003, ec.SECP256R1())
KEYS = VerificationKeys.of(CONTROLLER_KEY)
AUDIENCE = "https://controller.example"


def fixed_id(kind: str, number: int = 1) -> str:
    return make_id(kind, number.to_bytes(16, "big"))


DEVICE = DeviceId(fixed_id("device"))
CONNECTOR = ConnectorId(fixed_id("connector"))
RELAY = RelayId(fixed_id("relay"))
NETWORK = NetworkId(fixed_id("network"))
RESOURCE = ResourceId(fixed_id("resource"))
GRANT = GrantId(fixed_id("grant"))
USER = fixed_id("user")
SESSION = SessionId(fixed_id("session"))
PIN = SpkiPin("sha256/" + "A" * 43 + "=")
ACL = Acl(
    (
        Entry(
            Resource(
                RESOURCE,
                "Datenbank „Prod“",
                NETWORK,
                NamePattern(("db", "prod", "internal")),
                Ports(tcp=(PortRange(5432, 5432), PortRange(8000, 8100)), icmp=True),
                3600,
            ),
            (GRANT,),
            NOW + 7200,
        ),
    )
)

SNAPSHOT = Snapshot(
    ISSUER, DEVICE, USER, "user", SESSION, Epoch(1), Revision(7), NOW, NOW + 86400, ACL, {NETWORK: "office"}, "h" * 43
)
CONFIG = Config(
    ISSUER,
    CONNECTOR,
    NETWORK,
    Epoch(1),
    Revision(7),
    NOW,
    NOW + 86400,
    Acl((Entry(ACL.entries[0].resource),)),
    (ConfigRelay(RELAY, "relay.example", 443, "a.b.c"),),
    (Cutoff(DEVICE, RESOURCE, NOW, "access_revoked"), Cutoff(DEVICE, None, NOW, "device_revoked")),
    "h" * 43,
    ("169.254.1.1", "fd00::/64"),
    "a.b.c",
)
AUTHORISATION = Authorisation(
    ISSUER,
    DEVICE,
    RESOURCE,
    Revision(7),
    NOW,
    NOW + 60,
    (Path(CONNECTOR, relay_hash(CONNECTOR), (PIN,), RELAY, "relay.example", 443, "a.b.c"),),
)
TICKET = Ticket(ISSUER, RELAY, "client", relay_hash(CONNECTOR), NOW, NOW + 60)
ACCESS = Access(
    ISSUER,
    CONNECTOR,
    DEVICE,
    USER,
    SESSION,
    "tok_1",
    ACL,
    public_jwk(AGENT_KEY),
    Revision(7),
    (GRANT,),
    NOW,
    NOW + 300,
    (PIN,),
)
ASSERTION = Assertion(DEVICE, AUDIENCE, "jti-1", NOW, NOW + 60)
ROTATION = Rotation(CONNECTOR, AUDIENCE, "jti-1", public_jwk(OTHER_KEY.private), NOW, NOW + 60)
KEYSET = Keyset(ISSUER, RELAY, KEYS.to_jwks(), NOW, NOW + 3600)
CHECKPOINT = Checkpoint(ISSUER, Epoch(1), Revision(7), "ab" * 32, Revision(3), "cd" * 32, NOW, NOW + 86400)


@dataclass(frozen=True)
class Sample:
    """One kind: a valid value, its token, and its verifier with everything but token and time fixed."""

    name: str
    typ: str
    value: object
    token: str
    verify: Callable[[str, float], object]
    expires: int
    key: SigningKey = CONTROLLER_KEY


def verify_assertion_both_ways(token: str, now: float) -> Assertion:
    """At once with a known key, and taken apart first to find out whose key it takes: the answers are the same."""
    apart = _outcome(_taken_apart, token, now)
    known = _outcome(_with_a_known_key, token, now)
    if isinstance(known, Reason):
        # What is wrong with whom it speaks for is seen before the signature when the key has still to be found.
        assert apart in {known, Reason.TOKEN_CLAIM, Reason.TOKEN_MALFORMED}
        raise RemoteError(known)
    assert apart == known
    return known


def _outcome(read: Callable[[str, float], Assertion], token: str, now: float) -> Assertion | Reason:
    try:
        return read(token, now)
    except RemoteError as error:
        return error.reason


def _with_a_known_key(token: str, now: float) -> Assertion:
    return verify.verify_assertion(token, key=AGENT_KEY.public_key(), audience=AUDIENCE, now=now)


def _taken_apart(token: str, now: float) -> Assertion:
    apart = verify.UnverifiedAssertion(token)
    assert apart.agent
    return apart.verify(public_jwk(AGENT_KEY), audiences=("https://other.example", AUDIENCE), now=now)


AGENT_SIGNING = SigningKey(thumbprint(public_jwk(AGENT_KEY)), AGENT_KEY)
SAMPLES = (
    Sample(
        "snapshot",
        "ostiary-snapshot+jwt",
        SNAPSHOT,
        issue.issue_snapshot(SNAPSHOT, CONTROLLER_KEY),
        lambda token, now: verify.verify_snapshot(token, keys=KEYS, issuer=ISSUER, device=DEVICE, now=now),
        SNAPSHOT.not_after,
    ),
    Sample(
        "config",
        "ostiary-config+jwt",
        CONFIG,
        issue.issue_config(CONFIG, CONTROLLER_KEY),
        lambda token, now: verify.verify_config(token, keys=KEYS, issuer=ISSUER, connector=CONNECTOR, now=now),
        CONFIG.not_after,
    ),
    Sample(
        "authorisation",
        "ostiary-authorisation+jwt",
        AUTHORISATION,
        issue.issue_authorisation(AUTHORISATION, CONTROLLER_KEY),
        lambda token, now: verify.verify_authorisation(token, keys=KEYS, issuer=ISSUER, device=DEVICE, now=now),
        AUTHORISATION.expires,
    ),
    Sample(
        "ticket",
        "ostiary-ticket+jwt",
        TICKET,
        issue.issue_ticket(TICKET, CONTROLLER_KEY),
        lambda token, now: verify.verify_ticket(token, keys=KEYS, issuer=ISSUER, relay=RELAY, now=now),
        TICKET.expires,
    ),
    Sample(
        "access",
        "ostiary-access+jwt",
        ACCESS,
        issue.issue_access(ACCESS, CONTROLLER_KEY),
        lambda token, now: verify.verify_access(token, keys=KEYS, issuer=ISSUER, connector=CONNECTOR, now=now),
        ACCESS.expires,
    ),
    Sample(
        "assertion",
        "ostiary-assertion+jwt",
        ASSERTION,
        issue.issue_assertion(ASSERTION, AGENT_KEY),
        lambda token, now: verify_assertion_both_ways(token, now),
        ASSERTION.expires,
        AGENT_SIGNING,
    ),
    Sample(
        "rotation",
        "ostiary-rotation+jwt",
        ROTATION,
        issue.issue_rotation(ROTATION, AGENT_KEY),
        lambda token, now: verify.verify_rotation(token, key=AGENT_KEY.public_key(), audience=AUDIENCE, now=now),
        ROTATION.expires,
        AGENT_SIGNING,
    ),
    Sample(
        "keyset",
        "ostiary-keyset+jwt",
        KEYSET,
        issue.issue_keyset(KEYSET, CONTROLLER_KEY),
        lambda token, now: verify.verify_keyset(token, keys=KEYS, issuer=ISSUER, relay=RELAY, now=now),
        KEYSET.expires,
    ),
    Sample(
        "checkpoint",
        "ostiary-checkpoint+jwt",
        CHECKPOINT,
        issue.issue_checkpoint(CHECKPOINT, CONTROLLER_KEY),
        lambda token, now: verify.verify_checkpoint(token, keys=KEYS, issuer=ISSUER, now=now),
        CHECKPOINT.expires,
    ),
)
BY_NAME = {sample.name: sample for sample in SAMPLES}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def claims_of(sample: Sample) -> dict[str, object]:
    claims = json.loads(unb64(sample.token.split(".")[1]))
    assert isinstance(claims, dict)
    return claims


def forge(
    header: str | Mapping[str, object], payload: str | Mapping[str, object], key: SigningKey = CONTROLLER_KEY
) -> str:
    """Signs any header over any payload, both as text or as objects."""
    texts = [part if isinstance(part, str) else json.dumps(part) for part in (header, payload)]
    signing_input = ".".join(b64(text.encode()) for text in texts)
    r, s = decode_dss_signature(key.private.sign(signing_input.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signing_input}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def reforge(sample: Sample, payload: str | Mapping[str, object], **header: object) -> str:
    """Signs a changed payload with the right key and, unless changed, the right header."""
    return forge({"alg": "ES256", "typ": sample.typ, "kid": sample.key.kid} | header, payload, sample.key)
