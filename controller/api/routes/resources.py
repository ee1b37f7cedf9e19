"""Resources: what can be granted."""

from typing import Annotated

from fastapi import Depends, Query
from fastapi.responses import Response

from controller.api import views
from controller.api.calls import IfMatch, SignedCall, permits
from controller.api.paging import page_of
from controller.api.problems import FieldError
from controller.api.routes.common import STAFF, IdInPath, NameFilter, Window, api_router, found, has_name, problems
from controller.api.schemas.places import AddressPreview, ResourceChange, ResourceCreate, ResourceDetail, ResourcePage
from controller.api.writes import WriteOnce, model_answer
from controller.domain.commands import ChangeResource, CreateResource, RemoveResource
from controller.domain.permissions import Permission
from controller.domain.state import PolicyState
from controller.store import Unit
from protocol.acl.model import Resource as ResourceItem
from protocol.acl.names import parse_pattern
from protocol.errors import LocalError
from protocol.ids import NetworkId, ResourceId
from runtime.entropy import new_id

router = api_router("/resources", tags=["resources"])

Read = Annotated[SignedCall, permits(Permission.RESOURCES_READ)]
Write = Annotated[SignedCall, permits(Permission.RESOURCES_WRITE)]


@router.get("", responses=problems(*STAFF), summary="List resources")
async def list_resources(
    call: Read,
    window: Annotated[Window, Depends()],
    name: NameFilter = None,
    network: Annotated[str | None, Query(max_length=64, description="Only those of this remote network.")] = None,
) -> ResourcePage:
    """By name. What a person may reach is on the person's client, not here."""
    state = call.state
    chosen = [
        item for item in state.resources.values() if has_name(item.name, name) and network in (None, item.network)
    ]
    items, following = page_of(chosen, lambda item: (item.name, item.id), cursor=window.cursor, limit=window.limit)
    return ResourcePage(items=[views.resource(state, item) for item in items], next_cursor=following)


@router.post(
    "",
    status_code=201,
    response_model=ResourceDetail,
    responses=problems(*STAFF, 404, 409),
    summary="Create a resource",
)
async def create_resource(call: Write, once: WriteOnce, body: ResourceCreate) -> Response:
    """A name, wildcard, address or CIDR with ports. Nobody reaches it until a grant says so."""
    resource = ResourceId(new_id("resource"))

    async def build(unit: Unit) -> ResourceDetail:
        await unit.execute(
            CreateResource(
                resource, NetworkId(body.network), body.name, body.address, body.ports.to_domain(), body.lease_s
            )
        )
        return _detail(call, unit.state, unit.state.resources[resource])

    return await once.create(build)


@router.get("/preview", responses=problems(*STAFF), summary="Preview an address")
async def preview_address(
    call: Read,
    address: Annotated[str, Query(min_length=1, max_length=255, description="As in a resource.")],
    resource: Annotated[str | None, Query(max_length=64, description="The one that is to be changed.")] = None,
) -> AddressPreview:
    """What a name, wildcard, address or CIDR would mean as a resource, and which resources it overlaps. Nothing is made."""
    try:
        pattern = parse_pattern(address)
    except LocalError as exc:
        raise FieldError("address", exc.detail) from exc
    return views.address_preview(call.state, pattern, resource)


@router.get("/{resource}", response_model=ResourceDetail, responses=problems(*STAFF, 404), summary="Read a resource")
async def get_resource(call: Read, resource: IdInPath) -> Response:
    """With its entity tag."""
    return model_answer(_detail(call, call.state, found(call.state.resources, resource)))


@router.patch(
    "/{resource}", response_model=ResourceDetail, responses=problems(*STAFF, 404, 409, 412), summary="Change a resource"
)
async def change_resource(call: Write, resource: IdInPath, body: ResourceChange, expected: IfMatch) -> Response:
    """Open connections that the change forbids are reset within a second (C23).

    To widen or move a resource that has grants takes `grants:write` besides; to narrow or move one that has exclusions,
    or a granted one away from what another one's exclusions overlap, `policies:write`."""
    async with call.write() as unit:
        item = found(unit.state.resources, resource)
        expected.check(unit.state, resource)
        await unit.execute(
            ChangeResource(
                item.id,
                network=None if body.network is None else NetworkId(body.network),
                name=body.name,
                address=body.address,
                ports=None if body.ports is None else body.ports.to_domain(),
                lease_s=body.lease_s,
            )
        )
        changed = _detail(call, unit.state, unit.state.resources[item.id])
    return model_answer(changed)


@router.delete("/{resource}", status_code=204, responses=problems(*STAFF, 404, 412), summary="Remove a resource")
async def remove_resource(call: Write, resource: IdInPath, expected: IfMatch) -> None:
    """Its grants go with it; open connections to it are reset. One that has exclusions takes `policies:write` besides."""
    async with call.write() as unit:
        item = found(unit.state.resources, resource)
        expected.check(unit.state, resource)
        await unit.execute(RemoveResource(item.id))


def _detail(call: SignedCall, state: PolicyState, item: ResourceItem) -> ResourceDetail:
    """Who may not read resources is not told of others."""
    return views.resource_detail(state, item, told=call.may(Permission.RESOURCES_READ))
