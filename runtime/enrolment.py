"""How whatever holds a key gets an identity for it at a controller (C2, C6; D7, F-31).

make_assertion  "I hold this key", fresh and for one controller (RFC 7523)
offer           spends an enrolment token for a key that was written aside before: if the answer is lost, the same
                command offers the same key again
"""

import ssl
from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from protocol.enrolment import ENROLMENT_AGENT, EnrolmentToken
from protocol.limits import ASSERTION_LIFE_S
from protocol.tokens.claims import Assertion
from protocol.tokens.issue import issue_assertion
from protocol.tokens.keys import generate_key, key_from_pem, key_to_pem, public_jwk
from runtime.entropy import token_text
from runtime.files import StateDir
from runtime.http import request_json

API: Final = "/api/v1"
ENROL_PATH: Final = f"{API}/enroll"


def make_assertion(agent: str, controller_url: str, key: EllipticCurvePrivateKey, wall: float) -> str:
    """Signs who ``agent`` is (RFC 7523); the audience is the controller's URL without a trailing slash.

    ``wall`` is Unix seconds. The agent of a key that has no id yet is ENROLMENT_AGENT.
    """
    now = int(wall)
    audience = controller_url.rstrip("/")
    return issue_assertion(Assertion(agent, audience, token_text(16), now, now + ASSERTION_LIFE_S), key)


def pending_key(state: StateDir, file: str) -> EllipticCurvePrivateKey:
    """Returns the key of an enrolment whose answer was lost, or a new one; either is in ``file`` now.

    Raises:
        LocalError: STATE_CORRUPT, PERMISSION_DENIED.
    """
    stored = state.read(file)
    key = generate_key() if stored is None else key_from_pem(stored)
    state.write(file, key_to_pem(key))
    return key


async def offer(
    token: EnrolmentToken, key: EllipticCurvePrivateKey, context: ssl.SSLContext, wall: float, **more: str
) -> object:
    """Spends ``token`` for ``key``; ``more`` is what its kind asks for besides. Returns the answer, unread.

    Raises:
        RefusedError: ENROLMENT_USED, ENROLMENT_EXPIRED and what else the controller says.
        RemoteError: CERTIFICATE_UNTRUSTED, CONTROLLER_UNREACHABLE, TIMEOUT.
    """
    base = token.url.rstrip("/")
    body: Mapping[str, Any] = {
        "secret": token.secret,
        "kind": token.kind,
        "jwk": public_jwk(key),
        "proof": make_assertion(ENROLMENT_AGENT, base, key, wall),
        **more,
    }
    _, _, reply = await request_json("POST", base + ENROL_PATH, context=context, body=body)
    return reply
