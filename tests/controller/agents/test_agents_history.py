"""Answers about the past agree with what a client that holds that revision was really told, over its own link."""

import asyncio
from contextlib import suppress
from pathlib import Path

from agent_station import DEADLINE_S, Station, new_identity, running_station
from policy_world import WEB

from controller.domain import commands as c
from controller.domain.access_at import what_reaches
from controller.domain.commands_policies import CreateExclusion, RemoveExclusion
from controller.domain.model import Role, SubjectKind, SubjectRef
from controller.store import Store
from controller.store.history import History
from protocol.acl.model import PortRange, Ports
from protocol.control import Message, PushSnapshot
from protocol.ids import DeviceId, ExclusionId, GrantId, GroupId, NetworkId, ResourceId, SessionId, UserId
from protocol.tokens.claims import Snapshot
from protocol.tokens.keys import VerificationKeys
from protocol.tokens.verify import verify_snapshot
from runtime.entropy import new_id

FAR = 4_000_000_000


async def _told(station: Station, inbox: "asyncio.Queue[Message]", device: DeviceId) -> Snapshot:
    """The next signed snapshot, verified as the client does."""
    async with asyncio.timeout(DEADLINE_S):
        while not isinstance(message := await inbox.get(), PushSnapshot):
            pass
    keys = VerificationKeys.of(*station.ring.keys.values())
    return verify_snapshot(message.token, keys=keys, issuer="ctl_test", device=device, now=station.clock.wall())


async def test_the_past_is_what_the_client_was_told(tmp_path: Path) -> None:
    async with running_station(tmp_path) as station:
        laptop = new_identity("device")
        device, user, group = DeviceId(laptop.agent), UserId(new_id("user")), GroupId(new_id("group"))
        network, web, db = NetworkId(new_id("network")), ResourceId(new_id("resource")), ResourceId(new_id("resource"))
        direct, excluded = GrantId(new_id("grant")), ExclusionId(new_id("exclusion"))
        await station.give(
            c.CreateUser(user, Role.OWNER),
            c.RegisterDevice(device, SubjectKind.USER, user, laptop.key, "linux"),
            c.StartSession(SessionId(new_id("session")), device, user, FAR),
            c.CreateGroup(group, "engineers"),
            c.CreateNetwork(network, "office"),
            c.CreateResource(web, network, "web", "web.internal", WEB),
            c.CreateResource(db, network, "db", "db.internal", WEB),
            c.CreateGrant(direct, SubjectKind.USER, user, web),
            c.CreateGrant(GrantId(new_id("grant")), SubjectKind.GROUP, group, db),
        )
        inbox: asyncio.Queue[Message] = asyncio.Queue()
        link = station.link(laptop, inbox.put_nowait)
        task = asyncio.create_task(link.run())
        try:
            snapshots = [await _told(station, inbox, device)]
            for command in (
                c.AddGroupMember(group, user),
                c.ChangeResource(db, ports=Ports(tcp=(PortRange(5432, 5432),))),
                CreateExclusion(excluded, SubjectKind.USER, user, db),
                c.RevokeGrant(direct),
                RemoveExclusion(excluded),
            ):
                await station.give(command)
                snapshots.append(await _told(station, inbox, device))
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await _compare(station.store, user, snapshots)
        assert [len(snapshot.acl.entries) for snapshot in snapshots] == [1, 2, 2, 1, 0, 1]


async def _compare(store: Store, user: UserId, snapshots: list[Snapshot]) -> None:
    owner = SubjectRef(SubjectKind.USER, user)
    for snapshot in snapshots:
        then = await History(store).head_at(snapshot.revision)
        assert then.position == snapshot.revision
        said = [line for line in what_reaches(then.state, owner, then.state.at_ms / 1000) if line.answer.reaches]
        assert [(line.resource, line.answer.grants, line.answer.ports) for line in said] == [
            (entry.resource.id, entry.grants, entry.resource.ports) for entry in snapshot.acl.entries
        ]
