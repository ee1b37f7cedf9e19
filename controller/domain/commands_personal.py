"""What can be asked about personal data, which itself is beside the log and never in a command (T-9)."""

from dataclasses import dataclass

from controller.domain.commands import Command
from protocol.ids import UserId


@dataclass(frozen=True, slots=True)
class RenameUser(Command):
    """The user gets another display name; also by the user himself."""

    user: UserId


@dataclass(frozen=True, slots=True)
class ErasePersonalData(Command):
    """Also of a user that was removed. Refused with IN_USE while the account can sign in."""

    user: UserId
