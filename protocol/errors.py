"""Exceptions of the protocol package.

    OstiaryError                carries a Reason and a detail; the base of every exception we raise on purpose
     ├─ LocalError              we, or our configuration, are wrong
     │   └─ LocalProtocolError  our own code used a machine in a state that does not admit it
     └─ RemoteError             the other party is wrong, or refused us
         ├─ RemoteProtocolError its bytes break the specification
         └─ RefusedError        it answered with a typed refusal

``detail`` is for our own log and user; it never crosses the wire. Only ``reason.code`` does.
"""

from protocol.reasons import Reason


class OstiaryError(Exception):
    """Base of all errors raised on purpose; ``reason`` is machine readable, ``detail`` names the thing at fault."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        sentence = self.reason.sentence
        return f"{sentence} ({self.detail})" if self.detail else sentence


class LocalError(OstiaryError):
    """The fault is on our side: configuration, permission, resources."""


class LocalProtocolError(LocalError):
    """Our own code called a protocol machine in a way that its state does not admit."""

    def __init__(self, detail: str) -> None:
        super().__init__(Reason.INTERNAL, detail)


class RemoteError(OstiaryError):
    """The fault, or the decision, is on the other side."""


class RemoteProtocolError(RemoteError):
    """The peer's bytes break the specification. The connection must be closed."""

    def __init__(self, detail: str, reason: Reason = Reason.PROTOCOL_ERROR) -> None:
        super().__init__(reason, detail)


class RefusedError(RemoteError):
    """The peer answered with a typed refusal."""
