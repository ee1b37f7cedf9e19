"""Conditions over the agents' WebSocket, on a real clock: facts are taken, places are seen, flips reach connectors at once."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from agent_station import DEADLINE_S, Identity, Station, hear, hello, new_identity, running_station, say
from policy_world import PIN, WEB
from websockets.asyncio.client import ClientConnection

from controller.agents import device_facts as facts_module
from controller.domain import commands as c
from controller.domain.commands_policies import CreatePolicy
from controller.domain.conditions import Conditions
from controller.domain.model import Role, SubjectKind
from protocol.acl.model import Entry
from protocol.control import (
    AccessTokenReply,
    AccessTokenRequest,
    DeviceReport,
    ExplainReply,
    ExplainRequest,
    Heartbeat,
    LiveFlow,
    LiveFlows,
    LiveVerdict,
    Message,
    PushConfig,
    PushSnapshot,
    Revoke,
    Welcome,
)
from protocol.device_facts import DeviceFacts, facts_to_wire
from protocol.ids import ConnectorId, DeviceId, FlowId, GrantId, NetworkId, PolicyId, ResourceId, SessionId, UserId
from protocol.tokens.keys import VerificationKeys
from protocol.tokens.verify import verify_snapshot
from runtime.entropy import new_id

FAR = 4_000_000_000
GOOD = facts_to_wire(DeviceFacts("linux", "debian", "12", disk_encrypted=True, firewall=True))


@dataclass
class Company:
    """A laptop with one conditional grant on a resource behind one connector."""

    station: Station
    laptop: Identity
    connector: Identity
    resource: ResourceId
    policy: PolicyId

    @property
    def device(self) -> DeviceId:
        return DeviceId(self.laptop.agent)

    def entries(self, message: Message) -> tuple[Entry, ...]:
        assert isinstance(message, PushSnapshot), message
        keys = VerificationKeys.of(*self.station.ring.keys.values())
        now = self.station.clock.wall()
        return verify_snapshot(message.token, keys=keys, issuer="ctl_test", device=self.device, now=now).acl.entries

    @asynccontextmanager
    async def joined(self, agent: Identity, facts: dict[str, str] | None = None) -> AsyncIterator[ClientConnection]:
        """A bare connection behind its Welcome."""
        async with self.station.dial(f"Bearer {agent.assertion()}") as raw:
            first = hello(pin=PIN if agent is self.connector else None)
            await say(raw, replace(first, facts=facts or {}))
            assert isinstance(await hear(raw), Welcome)
            yield raw


@asynccontextmanager
async def company(folder: Path, conditions: Conditions, *, signed_in_ago_s: int = 0) -> AsyncIterator[Company]:
    async with running_station(folder) as station:
        now = int(station.clock.wall())
        user, network = UserId(new_id("user")), NetworkId(new_id("network"))
        resource, policy = ResourceId(new_id("resource")), PolicyId(new_id("policy"))
        made = Company(station, new_identity("device"), new_identity("connector"), resource, policy)
        device, connector = made.device, ConnectorId(made.connector.agent)
        session = SessionId(new_id("session"))
        await station.give(
            c.CreateUser(user, Role.OWNER),
            c.RegisterDevice(device, SubjectKind.USER, user, made.laptop.key, "linux"),
            c.StartSession(session, device, user, FAR, now - signed_in_ago_s, now - signed_in_ago_s),
            c.CreateNetwork(network, "office"),
            c.CreateConnector(connector, network, "gate"),
            c.EnrolConnector(connector, made.connector.key, PIN),
            c.CreateResource(resource, network, "web", "web.internal", WEB),
            CreatePolicy(policy, "policy", conditions),
            c.CreateGrant(GrantId(new_id("grant")), SubjectKind.USER, user, resource, None, policy),
        )
        yield made


async def until(raw: ClientConnection, wanted: type[Message]) -> Message:
    """The next message of this kind; what else comes is passed over."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            message = await hear(raw)
            if isinstance(message, wanted):
                return message


async def test_t36_a_sign_in_that_grows_old_is_cut_off_within_a_second(tmp_path: Path) -> None:
    async with (
        company(tmp_path, Conditions(sign_in_max_age_s=60), signed_in_ago_s=57) as made,
        made.joined(made.connector) as connector,
        made.joined(made.laptop) as laptop,
    ):
        await until(connector, PushConfig)
        (entry,) = made.entries(await until(laptop, PushSnapshot))
        assert entry.expires is not None
        beating = asyncio.create_task(_beat(laptop, connector))
        revoke = await until(connector, Revoke)
        late = time.time() - entry.expires
        assert isinstance(revoke, Revoke)
        assert [(cutoff.device, cutoff.reason) for cutoff in revoke.cutoffs] == [(made.device, "sign_in_too_old")]
        assert 0 <= late < 1
        assert made.entries(await until(laptop, PushSnapshot)) == ()
        beating.cancel()


async def _beat(*connections: ClientConnection) -> None:
    """Shows the controller that somebody lives at the other end."""
    while True:
        for raw in connections:
            await say(raw, Heartbeat(round(time.time() * 1000)))
        await asyncio.sleep(1)


async def test_what_a_device_says_in_its_hello_counts_in_its_first_snapshot(tmp_path: Path) -> None:
    async with company(tmp_path, Conditions(disk_encrypted=True)) as made:
        async with made.joined(made.laptop) as laptop:
            assert made.entries(await until(laptop, PushSnapshot)) == ()
        async with made.joined(made.laptop, GOOD) as laptop:
            assert len(made.entries(await until(laptop, PushSnapshot))) == 1
            known = made.station.hub.head.state.devices[made.device]
            assert known.facts == DeviceFacts("linux", "debian", "12", disk_encrypted=True, firewall=True)
            position = made.station.hub.head.position
            await say(laptop, DeviceReport(GOOD))
            await say(laptop, DeviceReport(GOOD | {"disk_encrypted": "no"}))
            assert made.entries(await until(laptop, PushSnapshot)) == ()
            assert made.station.hub.head.position == position + 1


async def test_a_device_that_keeps_changing_its_mind_fills_no_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with company(tmp_path, Conditions(disk_encrypted=True)) as made:
        monkeypatch.setattr(facts_module, "CHANGES_BURST", 20)
        async with made.joined(made.laptop) as laptop:
            before = made.station.hub.head.position
            for number in range(30):
                await say(laptop, DeviceReport({"kernel": str(number)}))
                await asyncio.sleep(0)
            await say(laptop, ExplainRequest(1, "web.internal", "tcp", 443))
            await until(laptop, ExplainReply)
            assert 0 < made.station.hub.head.position - before <= facts_module.CHANGES_BURST


async def test_t17_a_connector_reports_no_device(tmp_path: Path) -> None:
    async with company(tmp_path, Conditions(disk_encrypted=True)) as made:
        async with made.joined(made.connector, GOOD) as connector:
            await say(connector, DeviceReport(GOOD))
            async with asyncio.timeout(DEADLINE_S):
                while "spoke_for_another" not in repr(made.station.store.feed.recent[-1].event):
                    await asyncio.sleep(0.01)
        assert made.station.hub.head.state.devices[made.device].facts is None


@pytest.mark.parametrize(("source", "allowed"), [("127.0.0.0/8", True), ("192.0.2.0/24", False)])
async def test_the_place_is_where_the_connection_comes_from(tmp_path: Path, source: str, allowed: bool) -> None:
    async with (
        company(tmp_path, Conditions(sources=(source,))) as made,
        made.joined(made.connector) as connector,
        made.joined(made.laptop) as laptop,
    ):
        await until(connector, PushConfig)
        assert bool(made.entries(await until(laptop, PushSnapshot))) is allowed
        key = made.station.hub.head.state.devices[made.device].key.to_jwk()
        await say(laptop, AccessTokenRequest(1, ConnectorId(made.connector.agent), key))
        reply = await until(laptop, AccessTokenReply)
        assert isinstance(reply, AccessTokenReply)
        assert (reply.token is not None) is allowed
        await say(laptop, ExplainRequest(2, "web.internal", "tcp", 443))
        told = await until(laptop, ExplainReply)
        assert isinstance(told, ExplainReply)
        assert told.allowed is allowed
        assert (told.reason, told.missing) == ((None, ()) if allowed else ("source_not_allowed", ("192.0.2.0/24",)))
        flow = LiveFlow(FlowId(new_id("flow")), made.device, made.resource, "tcp", 443)
        await say(connector, LiveFlows(3, (flow,)))
        verdict = await until(connector, LiveVerdict)
        assert isinstance(verdict, LiveVerdict)
        assert verdict.allowed == ((flow.flow,) if allowed else ())
