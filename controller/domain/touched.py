"""Whom a change concerns: the agents that must say that they enforce it before it is true everywhere."""

from dataclasses import dataclass

from controller.domain.affected import affected_by
from controller.domain.evaluate import acl_for_device, config_acl
from controller.domain.log import Change
from controller.domain.losses import losses_by
from controller.domain.state import PolicyState
from protocol.acl.model import Acl
from protocol.ids import ConnectorId, DeviceId


@dataclass(frozen=True, slots=True)
class Touched:
    """``devices`` and ``connectors`` are those that have a standing after the change; ``ended`` lost theirs by it.

    An agent in ``ended`` has nothing to acknowledge: connectors refuse it.
    """

    devices: frozenset[DeviceId]
    connectors: frozenset[ConnectorId]
    ended: frozenset[str]


def touched_by(change: Change) -> Touched:
    """Returns whom ``change`` concerns: those who get a new snapshot or config, and connectors that get cut-offs."""
    before, after = change.before, change.after.state
    affected = affected_by(before, after, change.event)
    devices, connectors = set(affected.devices), set(affected.connectors)
    if affected.everybody:
        devices.update(after.devices)
        connectors.update(after.connectors)
    now = after.at_ms / 1000
    for device in affected.devices:
        for loss in losses_by(before, after, change.event, device, now):
            for network in loss.networks:
                connectors.update(after.connectors_in.get(network, ()))
    staying_devices = frozenset(device for device in devices if device in after.devices)
    staying_connectors = frozenset(connector for connector in connectors if connector in after.connectors)
    ended = (devices - staying_devices) | (connectors - staying_connectors)
    return Touched(staying_devices, staying_connectors, frozenset(str(agent) for agent in ended))


def lease_of_agent(state: PolicyState, agent: str, now: float) -> int:
    """Returns for how long (seconds) an agent that hears nothing of its controller may go on by ``state``: its longest lease."""
    acl = acl_for_device(state, DeviceId(agent), now) if DeviceId(agent) in state.devices else _config(state, agent)
    return max((entry.resource.lease_s for entry in acl.entries), default=0)


def _config(state: PolicyState, agent: str) -> Acl:
    return config_acl(state, ConnectorId(agent))
