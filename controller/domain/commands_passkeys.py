"""What can be asked about passkeys. They are no part of the policy: the state does not hold them, the log says who made them."""

from dataclasses import dataclass

from controller.domain.commands import Command
from protocol.ids import UserId


@dataclass(frozen=True, slots=True)
class AddPasskey(Command):
    """The caller has verified the key."""

    user: UserId
    passkey: str


@dataclass(frozen=True, slots=True)
class RenamePasskey(Command):
    user: UserId
    passkey: str


@dataclass(frozen=True, slots=True)
class RemovePasskey(Command):
    user: UserId
    passkey: str
