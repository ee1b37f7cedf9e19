"""Trust in devices: an administrator vouches for one, and policies may ask for that."""

from typing import Annotated

from controller.api.calls import IfMatch, SignedCall, permits
from controller.api.routes.common import STAFF, IdInPath, api_router, found, problems
from controller.domain.commands_policies import TrustDevice, UntrustDevice
from controller.domain.permissions import Permission

router = api_router("/devices/{device}/trust", tags=["devices"])

Write = Annotated[SignedCall, permits(Permission.DEVICES_WRITE)]


@router.put("", status_code=204, responses=problems(*STAFF, 404, 412), summary="Trust a device")
async def trust_device(call: Write, device: IdInPath, expected: IfMatch) -> None:
    """What policies give to trusted devices is there at once."""
    async with call.write() as unit:
        item = found(unit.state.devices, device)
        expected.check(unit.state, device)
        await unit.execute(TrustDevice(item.id))


@router.delete("", status_code=204, responses=problems(*STAFF, 404, 412), summary="Trust a device no longer")
async def untrust_device(call: Write, device: IdInPath, expected: IfMatch) -> None:
    """It keeps its standing; open connections that rest on a policy which asks for trust are reset within a second."""
    async with call.write() as unit:
        item = found(unit.state.devices, device)
        expected.check(unit.state, device)
        await unit.execute(UntrustDevice(item.id))
