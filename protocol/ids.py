"""Typed identifiers. An id is never a bare ``str`` in a signature, so that two kinds cannot be swapped unnoticed.

Every random id is ``<prefix>_<22 characters of base64url>`` (128 bits). ``relay_hash`` is the only thing that a relay
learns about a connector (design step C3, threat T-22).
"""

import base64
import functools
import hashlib
import re
from typing import Final, NewType

UserId = NewType("UserId", str)
GroupId = NewType("GroupId", str)
DeviceId = NewType("DeviceId", str)
ServiceAccountId = NewType("ServiceAccountId", str)
SessionId = NewType("SessionId", str)
NetworkId = NewType("NetworkId", str)
ConnectorId = NewType("ConnectorId", str)
RelayId = NewType("RelayId", str)
ResourceId = NewType("ResourceId", str)
GrantId = NewType("GrantId", str)
IdentityProviderId = NewType("IdentityProviderId", str)
PolicyId = NewType("PolicyId", str)
ExclusionId = NewType("ExclusionId", str)
FlowId = NewType("FlowId", str)
AccessRequestId = NewType("AccessRequestId", str)
ApiTokenId = NewType("ApiTokenId", str)

ConnectorHash = NewType("ConnectorHash", str)
"""base64url(SHA-256("ostiary connector v1" || 0x00 || connector id)) without padding; 43 characters."""

SpkiPin = NewType("SpkiPin", str)
"""``sha256/`` + standard base64 of SHA-256 over a SubjectPublicKeyInfo in DER (RFC 7469 section 2.4; decision D3)."""

Revision = NewType("Revision", int)
"""Position of an event in the controller's log: the policy revision, the resume cursor and the SSE id."""

NO_REVISION: Final = Revision(0)
"""Before the first event: nothing is known and nothing is enforced."""

Epoch = NewType("Epoch", int)
"""Generation of the log; raised only by restoring a backup (decision D8). Revisions compare within one epoch."""

PREFIXES: Final = {
    "user": "usr",
    "group": "grp",
    "device": "dev",
    "service_account": "svc",
    "session": "ses",
    "network": "net",
    "connector": "con",
    "relay": "rel",
    "resource": "res",
    "grant": "gra",
    "identity_provider": "idp",
    "policy": "pol",
    "exclusion": "exc",
    "flow": "flw",
    "event": "evt",
    "token": "tok",
    "api_token": "apt",
    "enrolment": "enr",
    "access_request": "arq",
    "sink": "snk",
    "passkey": "pky",
}

_ID = re.compile(r"[a-z]{3}_[A-Za-z0-9_-]{22}\Z")


def make_id(kind: str, entropy: bytes) -> str:
    """Returns a new id of ``kind`` (a key of PREFIXES) from 16 random bytes given by the caller."""
    if len(entropy) != 16:
        raise ValueError("an id needs exactly 16 bytes of entropy")
    return f"{PREFIXES[kind]}_{base64.urlsafe_b64encode(entropy).rstrip(b'=').decode()}"


def is_id(text: str, kind: str) -> bool:
    """Tells whether ``text`` has the shape of an id of ``kind``."""
    return text.startswith(PREFIXES[kind] + "_") and _ID.match(text) is not None


@functools.lru_cache(maxsize=4096)
def relay_hash(connector: ConnectorId) -> ConnectorHash:
    """Returns the name under which relays know ``connector``."""
    digest = hashlib.sha256(b"ostiary connector v1\x00" + connector.encode()).digest()
    return ConnectorHash(base64.urlsafe_b64encode(digest).rstrip(b"=").decode())


def spki_pin(spki_der: bytes) -> SpkiPin:
    """Returns the pin of a DER-encoded SubjectPublicKeyInfo."""
    return SpkiPin("sha256/" + base64.b64encode(hashlib.sha256(spki_der).digest()).decode())
