"""Events of the controller itself: its identity, its signing keys, what it refused."""

from dataclasses import dataclass
from typing import ClassVar

from controller.domain.events.base import Event
from controller.domain.model import PublicKey
from protocol.ids import (
    Epoch,
    UserId,
)


@dataclass(frozen=True, slots=True)
class ControllerInitialised(Event):
    """Always the first event. ``issuer`` is the instance id that all tokens carry."""

    TYPE: ClassVar[str] = "controller.initialised/1"
    STREAM: ClassVar[str] = "controller"
    issuer: str
    epoch: Epoch
    public_url: str


@dataclass(frozen=True, slots=True)
class EpochRaised(Event):
    """A backup was restored: agents must accept lower revisions of a higher epoch (decision D8)."""

    TYPE: ClassVar[str] = "controller.epoch_raised/1"
    STREAM: ClassVar[str] = "controller"
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class SigningKeyAdded(Event):
    """A key is published so that verifiers know it before it signs."""

    TYPE: ClassVar[str] = "signing_key.added/1"
    STREAM_FIELD: ClassVar[str] = "kid"
    kid: str
    jwk: PublicKey


@dataclass(frozen=True, slots=True)
class SigningKeyActivated(Event):
    """The key signs from here on; the one before it stays published."""

    TYPE: ClassVar[str] = "signing_key.activated/1"
    STREAM_FIELD: ClassVar[str] = "kid"
    kid: str


@dataclass(frozen=True, slots=True)
class SigningKeyRetired(Event):
    """The key's overlap is over: it is no longer published."""

    TYPE: ClassVar[str] = "signing_key.retired/1"
    STREAM_FIELD: ClassVar[str] = "kid"
    kid: str


@dataclass(frozen=True, slots=True)
class SigningKeyDistrusted(Event):
    """Emergency: nothing signed by this key counts any more (T-64)."""

    TYPE: ClassVar[str] = "signing_key.distrusted/1"
    STREAM_FIELD: ClassVar[str] = "kid"
    kid: str


@dataclass(frozen=True, slots=True)
class EnrolmentIssued(Event):
    """A one-time token was handed out: whoever redeems it becomes ``target``, a connector, relay or service (T-9)."""

    TYPE: ClassVar[str] = "enrolment.issued/1"
    STREAM_FIELD: ClassVar[str] = "target"
    kind: str
    target: str


@dataclass(frozen=True, slots=True)
class SignInFailed(Event):
    """Somebody tried to sign in and did not succeed; ``user`` is None when no account matched (T-9)."""

    TYPE: ClassVar[str] = "sign_in.failed/1"
    STREAM: ClassVar[str] = "sign_ins"
    user: UserId | None
    cause: str


@dataclass(frozen=True, slots=True)
class AgentMisbehaved(Event):
    """An authenticated agent broke the protocol or spoke for somebody else (T-17)."""

    TYPE: ClassVar[str] = "agent.misbehaved/1"
    STREAM: ClassVar[str] = "agents"
    agent: str
    cause: str
