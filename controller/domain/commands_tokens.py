"""What can be asked about API tokens. The secret and the name are beside the log."""

from dataclasses import dataclass

from controller.domain.commands import Command
from protocol.ids import ApiTokenId, UserId


@dataclass(frozen=True, slots=True)
class CreateApiToken(Command):
    """``scopes`` are permissions that ``owner`` holds; ``expires`` in Unix seconds."""

    token: ApiTokenId
    owner: UserId
    scopes: tuple[str, ...]
    expires: int


@dataclass(frozen=True, slots=True)
class RevokeApiToken(Command):
    token: ApiTokenId
