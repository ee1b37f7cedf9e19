"""Test a destination from where a connector is."""

from typing import Annotated

from controller.api.calls import SignedCall, permits
from controller.api.problems import FieldError
from controller.api.routes.common import STAFF, IdInPath, api_router, found, problems
from controller.api.schemas.connector_tests import ConnectorTest, ConnectorTestOrder
from controller.domain.commands_connector_tests import OrderConnectorTest
from controller.domain.events import ConnectorTestOrdered
from controller.domain.permissions import Permission
from protocol.acl.model import IPAddress
from protocol.acl.names import parse_host
from protocol.control_tests import DestinationTested
from protocol.errors import LocalError
from protocol.reasons import Reason, reason_from_code

router = api_router("/connectors", tags=["connectors"])

Test = Annotated[SignedCall, permits(Permission.NETWORKS_WRITE)]


@router.post("/{connector}/test", responses=problems(*STAFF, 404), summary="Test a destination from here")
async def test_destination(call: Test, connector: IdInPath, body: ConnectorTestOrder) -> ConnectorTest:
    """The connector resolves and dials it over TCP, says nothing to whoever answers, and tells what happened, within ten seconds.
    Only what is part of a resource of its remote network; anything else is 403. 503 while it is not connected."""
    item = found(call.state.connectors, connector)
    call.services.limits.connector_test.spend(call.user.id, call.now)
    host = _host(body.host)
    async with call.write() as unit:
        (event,) = await unit.execute(OrderConnectorTest(item.id, host, body.port))
    assert isinstance(event, ConnectorTestOrdered)
    answer = await call.services.destination_tests.ask(item.id, str(host), body.port)
    return _shown(event.resource, answer)


def _host(text: str) -> str | IPAddress:
    try:
        return parse_host(text)
    except LocalError as exc:
        raise FieldError("host", "this is neither a name nor an address") from exc


def _shown(resource: str, answer: DestinationTested | None) -> ConnectorTest:
    old = DestinationTested(0, Reason.VERSION_UNSUPPORTED.code)
    told = old if answer is None else answer
    reason = None if told.reason is None else reason_from_code(told.reason)
    return ConnectorTest(
        supported=answer is not None,
        resource=resource,
        connected=reason is None,
        reason=None if reason is None else reason.code,
        sentence=None if reason is None else reason.sentence,
        next=None if reason is None else reason.next_step,
        addresses=list(told.addresses),
        address=told.address or None,
        resolve_ms=_ms(told.resolve_us),
        connect_ms=_ms(told.connect_us),
    )


def _ms(us: int | None) -> float | None:
    return None if us is None else us / 1000
