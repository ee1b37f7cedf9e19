"""What may go on of the flows that a connector reports as open (decision D4, C23): everything else dies."""

from collections.abc import Callable, Iterable

from controller.domain.conditions import Source
from controller.domain.evaluate import may_reach
from controller.domain.model import Connector
from controller.domain.state import PolicyState
from protocol.acl.match import refusal
from protocol.acl.model import Deny, Request, Transport
from protocol.control import LiveFlow
from protocol.ids import DeviceId, FlowId

PlaceOf = Callable[[DeviceId], Source]

_TRANSPORTS = {transport.value: transport for transport in Transport}


def allowed_flows(
    state: PolicyState, connector: Connector, flows: Iterable[LiveFlow], now: float, place_of: PlaceOf
) -> tuple[FlowId, ...]:
    """Returns the flows that the policy of this moment permits through this connector. ``place_of``: where a device is."""
    return tuple(flow.flow for flow in flows if _allowed(state, connector, flow, now, place_of))


def _allowed(state: PolicyState, connector: Connector, flow: LiveFlow, now: float, place_of: PlaceOf) -> bool:
    entry = may_reach(state, flow.device, flow.resource, now, source=place_of(flow.device))
    transport = _TRANSPORTS.get(flow.transport)
    if isinstance(entry, Deny) or transport is None or entry.resource.network != connector.network:
        return False
    # The connector itself matches the address: the host that was dialled is not in the report.
    return refusal(entry, Request("", transport, flow.port), now) is None
