"""Service accounts: principals without a person."""

from typing import Annotated

from fastapi import Depends
from fastapi.responses import Response

from controller.api import views
from controller.api.calls import IfMatch, SignedCall, permits
from controller.api.operations import enrolment
from controller.api.paging import page_of
from controller.api.routes.common import STAFF, IdInPath, NameFilter, Window, api_router, found, has_name, problems
from controller.api.schemas.common import from_s
from controller.api.schemas.people import (
    ServiceAccount,
    ServiceAccountChange,
    ServiceAccountCreate,
    ServiceAccountCreated,
    ServiceAccountPage,
)
from controller.api.schemas.places import Enrolment
from controller.api.writes import WriteOnce, model_answer
from controller.domain.commands import (
    CreateServiceAccount,
    DisableServiceAccount,
    EnableServiceAccount,
    RemoveServiceAccount,
)
from controller.domain.permissions import Permission
from controller.store import Unit, enrolments
from protocol.ids import ServiceAccountId
from runtime.entropy import new_id

router = api_router("/service-accounts", tags=["service accounts"])

Read = Annotated[SignedCall, permits(Permission.SERVICE_ACCOUNTS_READ)]
Write = Annotated[SignedCall, permits(Permission.SERVICE_ACCOUNTS_WRITE)]


@router.get("", responses=problems(*STAFF), summary="List service accounts")
async def list_service_accounts(
    call: Read, window: Annotated[Window, Depends()], name: NameFilter = None
) -> ServiceAccountPage:
    """In the order of their creation."""
    state = call.state
    chosen = [item for item in state.service_accounts.values() if has_name(item.name, name)]
    items, following = page_of(
        chosen, lambda item: (item.created_ms, item.id), cursor=window.cursor, limit=window.limit
    )
    return ServiceAccountPage(items=[views.service_account(state, item) for item in items], next_cursor=following)


@router.post(
    "",
    status_code=201,
    response_model=ServiceAccountCreated,
    responses=problems(*STAFF, 409),
    summary="Create a service account",
)
async def create_service_account(call: Write, once: WriteOnce, body: ServiceAccountCreate) -> Response:
    """The answer holds a first one-time enrolment token, this once: one host can be enrolled with it."""
    account = ServiceAccountId(new_id("service_account"))

    async def build(unit: Unit) -> ServiceAccountCreated:
        await unit.execute(CreateServiceAccount(account, body.name))
        given = await enrolment.give_out(call.services, unit, "service", account)
        shown = views.service_account(unit.state, unit.state.service_accounts[account])
        return ServiceAccountCreated(
            **shown.model_dump(), enrolment_token=given.text, enrolment_expires_at=from_s(given.expires)
        )

    return await once.create(build)


@router.get(
    "/{account}", response_model=ServiceAccount, responses=problems(*STAFF, 404), summary="Read a service account"
)
async def get_service_account(call: Read, account: IdInPath) -> Response:
    """With its entity tag."""
    return model_answer(views.service_account(call.state, found(call.state.service_accounts, account)))


@router.patch(
    "/{account}",
    response_model=ServiceAccount,
    responses=problems(*STAFF, 404, 412),
    summary="Disable or enable a service account",
)
async def change_service_account(
    call: Write, account: IdInPath, body: ServiceAccountChange, expected: IfMatch
) -> Response:
    """A disabled one reaches nothing, at once."""
    async with call.write() as unit:
        item = found(unit.state.service_accounts, account)
        expected.check(unit.state, account)
        await unit.execute(DisableServiceAccount(item.id) if body.disabled else EnableServiceAccount(item.id))
        changed = views.service_account(unit.state, unit.state.service_accounts[item.id])
    return model_answer(changed)


@router.post(
    "/{account}/enrolment",
    status_code=201,
    response_model=Enrolment,
    responses=problems(*STAFF, 404),
    summary="Make an enrolment token for a further host",
)
async def enrol_service_account(call: Write, once: WriteOnce, account: IdInPath) -> Response:
    """Each token enrols one host. An earlier one that was not used is worth nothing any more."""

    async def build(unit: Unit) -> Enrolment:
        item = found(unit.state.service_accounts, account)
        given = await enrolment.give_out(call.services, unit, "service", item.id)
        return Enrolment(enrolment_token=given.text, expires_at=from_s(given.expires))

    return await once.create(build)


@router.delete("/{account}", status_code=204, responses=problems(*STAFF, 404, 412), summary="Remove a service account")
async def remove_service_account(call: Write, account: IdInPath, expected: IfMatch) -> None:
    """With its devices and grants."""
    async with call.write() as unit:
        item = found(unit.state.service_accounts, account)
        expected.check(unit.state, account)
        await unit.execute(RemoveServiceAccount(item.id))
        await enrolments.revoke_all(unit.connection, item.id)
