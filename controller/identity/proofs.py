"""Proof that whoever asks holds the private half of the key that he names (C2, C6; RFC 7523).

Enrolment and device sign-in send an assertion signed by the new key. Its audience is the URL that the agent dialled, so
that a proof made for another controller is worth nothing here. Its ``jti`` needs no memory of its own: the enrolment
secret and the device code next to it are spent once.
"""

from collections.abc import Mapping, Sequence

from controller.domain.model import PublicKey
from protocol.enrolment import ENROLMENT_AGENT
from protocol.errors import RefusedError, RemoteError
from protocol.reasons import Reason
from protocol.tokens.keys import key_from_jwk_untrusted, thumbprint
from protocol.tokens.verify import verify_assertion


def verify_key_proof(proof: str, jwk: Mapping[str, str], *, audiences: Sequence[str], now: float) -> PublicKey:
    """Returns the key in ``jwk`` once ``proof`` shows that its holder asks.

    Raises:
        RefusedError: INVALID_INPUT for a key that is none.
        RemoteError: TOKEN_* or PROOF_INVALID for the proof.
    """
    try:
        key = key_from_jwk_untrusted(dict(jwk))
    except RemoteError as exc:
        raise RefusedError(Reason.INVALID_INPUT, f"jwk: {exc.detail}") from exc
    refusal: RemoteError | None = None
    for audience in audiences:
        try:
            assertion = verify_assertion(proof, key=key, audience=audience, now=now)
        except RemoteError as exc:
            if exc.reason is not Reason.TOKEN_AUDIENCE:
                raise
            refusal = exc
            continue
        if assertion.agent != ENROLMENT_AGENT:
            raise RefusedError(Reason.PROOF_INVALID, "proof: its subject is not `enrolment`")
        return PublicKey.from_jwk(jwk)
    assert refusal is not None
    raise refusal


def key_id(key: PublicKey) -> str:
    """The thumbprint of a key (RFC 7638)."""
    return thumbprint(key.to_jwk())


def verify_agent_proof(proof: str, key: PublicKey, agent: str, *, audiences: Sequence[str], now: float) -> None:
    """Accepts ``proof`` when the holder of ``key`` made it in the name of ``agent``, for this controller.

    Raises:
        RemoteError: TOKEN_* or PROOF_INVALID.
    """
    refusal: RemoteError | None = None
    for audience in audiences:
        try:
            assertion = verify_assertion(proof, key=key_from_jwk_untrusted(key.to_jwk()), audience=audience, now=now)
        except RemoteError as exc:
            if exc.reason is not Reason.TOKEN_AUDIENCE:
                raise
            refusal = exc
            continue
        if assertion.agent != agent:
            raise RefusedError(Reason.PROOF_INVALID, "proof: its subject is another agent")
        return
    assert refusal is not None
    raise refusal
