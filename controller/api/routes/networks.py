"""Remote networks."""

from typing import Annotated

from fastapi import Depends
from fastapi.responses import Response

from controller.api import views
from controller.api.calls import IfMatch, SignedCall, permits
from controller.api.paging import page_of
from controller.api.routes.common import STAFF, IdInPath, NameFilter, Window, api_router, found, has_name, problems
from controller.api.schemas.places import Network, NetworkChange, NetworkCreate, NetworkPage
from controller.api.writes import WriteOnce, model_answer
from controller.domain.commands import ChangeNetworkEgress, CreateNetwork, RemoveNetwork, RenameNetwork
from controller.domain.permissions import Permission
from controller.store import Unit
from protocol.ids import NetworkId
from runtime.entropy import new_id

router = api_router("/networks", tags=["networks"])

Read = Annotated[SignedCall, permits(Permission.NETWORKS_READ)]
Write = Annotated[SignedCall, permits(Permission.NETWORKS_WRITE)]


@router.get("", responses=problems(*STAFF), summary="List remote networks")
async def list_networks(call: Read, window: Annotated[Window, Depends()], name: NameFilter = None) -> NetworkPage:
    """In the order of their creation."""
    state = call.state
    chosen = [item for item in state.networks.values() if has_name(item.name, name)]
    items, following = page_of(
        chosen, lambda item: (item.created_ms, item.id), cursor=window.cursor, limit=window.limit
    )
    return NetworkPage(items=[views.network(state, item) for item in items], next_cursor=following)


@router.post(
    "", status_code=201, response_model=Network, responses=problems(*STAFF, 409), summary="Create a remote network"
)
async def create_network(call: Write, once: WriteOnce, body: NetworkCreate) -> Response:
    """A place with connectors. Its name is unique, without regard to case."""
    network = NetworkId(new_id("network"))

    async def build(unit: Unit) -> Network:
        await unit.execute(CreateNetwork(network, body.name))
        if body.egress_allow:
            await unit.execute(ChangeNetworkEgress(network, tuple(body.egress_allow)))
        return views.network(unit.state, unit.state.networks[network])

    return await once.create(build)


@router.get("/{network}", response_model=Network, responses=problems(*STAFF, 404), summary="Read a remote network")
async def get_network(call: Read, network: IdInPath) -> Response:
    """With its entity tag."""
    return model_answer(views.network(call.state, found(call.state.networks, network)))


@router.patch(
    "/{network}", response_model=Network, responses=problems(*STAFF, 404, 409, 412), summary="Change a remote network"
)
async def change_network(call: Write, network: IdInPath, body: NetworkChange, expected: IfMatch) -> Response:
    """Renames it, or replaces the list of addresses that its connectors may dial although they are forbidden."""
    async with call.write() as unit:
        item = found(unit.state.networks, network)
        expected.check(unit.state, network)
        if body.name is not None:
            await unit.execute(RenameNetwork(item.id, body.name))
        if body.egress_allow is not None:
            await unit.execute(ChangeNetworkEgress(item.id, tuple(body.egress_allow)))
        changed = views.network(unit.state, unit.state.networks[item.id])
    return model_answer(changed)


@router.delete("/{network}", status_code=204, responses=problems(*STAFF, 404, 409, 412), summary="Remove a network")
async def remove_network(call: Write, network: IdInPath, expected: IfMatch) -> None:
    """Only when it has neither connectors nor resources."""
    async with call.write() as unit:
        item = found(unit.state.networks, network)
        expected.check(unit.state, network)
        await unit.execute(RemoveNetwork(item.id))
