"""Who an agent is: its assertion, verified with the key that the log knows for it (C2; T-17).

Nothing else in the request says who speaks. Agents that lost their standing still authenticate, so that they can be told
why, and nothing more.
"""

from collections.abc import Collection
from dataclasses import dataclass

from controller.domain.model import PublicKey
from controller.domain.state import PolicyState
from controller.publish import AgentKind
from protocol.errors import RefusedError
from protocol.ids import ConnectorId, DeviceId
from protocol.reasons import Reason
from protocol.tokens.claims import Assertion
from protocol.tokens.keys import thumbprint
from protocol.tokens.verify import UnverifiedAssertion


@dataclass(frozen=True, slots=True)
class Agent:
    """An authenticated agent. ``refused`` is set when it has no standing any more.

    ``switching``: a connector that used the key which it has announced; from now on that one counts (F-23).
    """

    id: str
    kind: AgentKind
    key: PublicKey
    refused: Reason | None = None
    switching: bool = False


def authenticate(
    authorization: str | None, state: PolicyState, *, audiences: Collection[str], now: float
) -> tuple[Agent, Assertion]:
    """Returns whom an ``Authorization: Bearer <assertion>`` header proves, and the assertion, which the caller spends (D7).

    Args:
        authorization: the header's value.
        audiences: the names of this controller, exactly one of which the assertion must be for.
        now: Unix seconds.

    Raises:
        RemoteError: a TOKEN_* reason.
        RefusedError: TOKEN_KEY_UNKNOWN for an unknown agent.
    """
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise RefusedError(Reason.TOKEN_MALFORMED, "no bearer assertion")
    assertion = UnverifiedAssertion(token)
    agent = _known(assertion.agent, assertion.key_id, state)
    if not audiences:
        raise RefusedError(Reason.TOKEN_AUDIENCE, "this controller has no name yet")
    return agent, assertion.verify(agent.key.to_jwk(), audiences=audiences, now=now)


def _known(name: str, kid: str, state: PolicyState) -> Agent:
    device = state.devices.get(DeviceId(name))
    if device is not None:
        return Agent(name, AgentKind.CLIENT, device.key)
    connector = state.connectors.get(ConnectorId(name))
    if connector is not None and connector.key is not None:
        following = connector.next_key
        if following is not None and thumbprint(following.to_jwk()) == kid:
            return Agent(name, AgentKind.CONNECTOR, following, switching=True)
        return Agent(name, AgentKind.CONNECTOR, connector.key)
    former = state.former_agents.get(name)
    if former is not None:
        return Agent(name, AgentKind.CLIENT, former.key, former.reason)
    raise RefusedError(Reason.TOKEN_KEY_UNKNOWN, "no agent of this id is enrolled here")
