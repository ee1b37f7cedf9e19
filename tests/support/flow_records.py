"""Connection records: as the controller gets them, and as a connector makes them in a ``connector_world``."""

from typing import Any

from connector_world import CONNECTOR, DEVICE, NETWORK, USER, flow_id, res

from protocol.control import ConnectionRecord
from protocol.ids import ConnectorId, DeviceId, FlowId, NetworkId, ResourceId, Revision


def flow_record(**parts: Any) -> ConnectionRecord:
    """An ordinary flow; ``parts`` are what the test is about."""
    values: dict[str, Any] = {
        "flow": FlowId("flw_1"),
        "reporter": "connector",
        "device": DeviceId("dev_1"),
        "user": "usr_1",
        "resource": None,
        "network": None,
        "connector": None,
        "relay": None,
        "host": "db.internal",
        "address": "10.0.0.1",
        "transport": "tcp",
        "port": 5432,
        "started_ms": 1000,
        "ended_ms": 2000,
        "bytes_up": 1,
        "bytes_down": 2,
        "outcome": "normal",
        "revision": Revision(7),
    }
    return ConnectionRecord(**{**values, **parts})


def stored_record(number: int, user: str, outcome: str = "normal", **change: Any) -> ConnectionRecord:
    """The record of flow ``number``, which began ``number`` seconds after the start of the tests' clock."""
    values: dict[str, Any] = {
        "flow": FlowId(f"flw_{number}"),
        "user": user,
        "resource": ResourceId("res_1"),
        "network": NetworkId("net_1"),
        "connector": ConnectorId("con_1"),
        "started_ms": 1_800_000_000_000 + number * 1000,
        "ended_ms": 1_800_000_001_000 + number * 1000,
        "outcome": outcome,
        "revision": Revision(3),
        "grants": ("gra_1",),
    }
    return flow_record(**{**values, **change})


def connector_record(number: int) -> ConnectionRecord:
    """What the connector of the world says of flow ``number``."""
    return flow_record(
        flow=flow_id(number),
        device=DEVICE,
        user=USER,
        resource=res(1),
        network=NETWORK,
        connector=CONNECTOR,
        host="10.0.0.5",
        address="10.0.0.5",
        port=443,
        started_ms=1,
        ended_ms=2,
        bytes_up=3,
        bytes_down=4,
    )
