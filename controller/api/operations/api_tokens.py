"""API tokens over the store: make, recognise, revoke (T-10, T-11, T-16)."""

from dataclasses import dataclass

import structlog

from controller.api.operations.accounts import check_name
from controller.api.problems import FieldError
from controller.api.services import Services
from controller.domain.commands_tokens import CreateApiToken, RevokeApiToken
from controller.domain.permissions import Permission
from controller.domain.standing import Standing
from controller.identity.api_tokens import LIFE_MAX_S, USE_NOTED_S, hint_of, new_secret, parse_secret_untrusted
from controller.identity.web_sessions import digest
from controller.store import Unit, api_tokens, credentials
from protocol.errors import LocalError, RefusedError
from protocol.ids import ApiTokenId
from protocol.reasons import Reason
from runtime.entropy import new_id

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NewToken:
    """A checked token on its way into the store; ``secret`` is handed out once. ``expires`` in Unix seconds."""

    id: ApiTokenId
    secret: str
    name: str
    scopes: tuple[str, ...]
    expires: int


def prepare(standing: Standing, *, name: str, scopes: list[Permission], expires: float, now: float) -> NewToken:
    """Checks the parts. Raises FieldError naming the part at fault, RefusedError(FORBIDDEN) for scopes beyond one's own."""
    if expires <= now:
        raise FieldError("expires_at", "this moment has passed")
    if expires > now + LIFE_MAX_S:
        raise FieldError("expires_at", f"a token lives at most {LIFE_MAX_S // 86_400} days")
    beyond = sorted(item.value for item in scopes if not standing.may(item))
    if beyond:
        raise RefusedError(Reason.FORBIDDEN, f"your role does not hold {', '.join(beyond)}")
    names = tuple(sorted({item.value for item in scopes}))
    return NewToken(ApiTokenId(new_id("api_token")), new_secret(), check_name(name), names, int(expires))


async def create(unit: Unit, standing: Standing, token: NewToken) -> None:
    """Creates the token in the name of its owner. Raises RefusedError: FORBIDDEN, LIMIT_EXCEEDED, INVALID_INPUT."""
    owner = standing.user.id
    await unit.execute(CreateApiToken(token.id, owner, token.scopes, token.expires))
    await api_tokens.create(
        unit.connection,
        token.id,
        digest(token.secret),
        owner=owner,
        hint=hint_of(token.secret),
        expires=token.expires,
    )
    await credentials.set_personal_data(unit.connection, token.id, fields={"name": token.name}, now=unit.now)


async def revoke(unit: Unit, token: ApiTokenId) -> None:
    """Ends the token at once. Raises RefusedError: NOT_FOUND, FORBIDDEN."""
    await unit.execute(RevokeApiToken(token))
    await api_tokens.revoke(unit.connection, token, unit.now)


async def authenticate(services: Services, secret: str, now: float) -> ApiTokenId:
    """Returns whose secret this is and notes the use. Raises RefusedError(SIGN_IN_REQUIRED).

    Whether the token's owner is still there and what it permits is for ``access.require_standing`` to say.
    """
    if parse_secret_untrusted(secret) is None:
        raise RefusedError(Reason.SIGN_IN_REQUIRED, "this is no API token")
    async with services.store.read() as connection:
        stored = await api_tokens.find(connection, digest(secret), now)
    known = services.state.api_tokens.get(stored.id) if stored is not None else None
    if stored is None or known is None or known.expires <= now:
        raise RefusedError(Reason.SIGN_IN_REQUIRED, "the API token was revoked or has expired")
    if stored.last_used_at is None or stored.last_used_at + USE_NOTED_S <= now:
        await _note_use(services, stored.id, now)
    return stored.id


async def _note_use(services: Services, token: ApiTokenId, now: float) -> None:
    try:
        async with services.store.transact() as connection:
            await api_tokens.note_use(connection, token, now)
    except LocalError as exc:
        # A database that can only be read at the moment (a full disk) still answers.
        _log.warning("the use of an API token was not noted", token_id=token, reason=exc.reason.code)
