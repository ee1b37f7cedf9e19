"""The agents' WebSocket over a real port: who comes in, what is answered, how it ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from agent_station import DEADLINE_S, Identity, Station, hear, hello, new_identity, running_station, say
from flow_records import flow_record
from policy_world import PIN, WEB
from structlog.testing import capture_logs
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Response

from controller.agents import connection as connection_module
from controller.agents import pace, record_intake
from controller.agents.replay import ReplayCache
from controller.domain import commands as c
from controller.domain.events import AgentMisbehaved
from controller.domain.model import Role, SubjectKind
from controller.identity import failure_log
from controller.identity.failure_log import FailureLog
from controller.store import acknowledgements, credentials, events, records
from protocol.control import (
    AccessTokenReply,
    AccessTokenRequest,
    AuthoriseReply,
    AuthoriseRequest,
    ConnectionRecord,
    Enforced,
    ExplainReply,
    ExplainRequest,
    Goodbye,
    Heartbeat,
    LiveFlow,
    LiveFlows,
    LiveVerdict,
    Message,
    PushConfig,
    PushSnapshot,
    Records,
    RecordsAccepted,
    Revoke,
    Revoked,
    SignOut,
    Welcome,
)
from protocol.errors import OstiaryError, RefusedError, RemoteError
from protocol.ids import (
    ConnectorId,
    DeviceId,
    FlowId,
    GrantId,
    NetworkId,
    RelayId,
    ResourceId,
    Revision,
    SessionId,
    UserId,
)
from protocol.limits import RECORDS_PER_MESSAGE
from protocol.reasons import Reason
from protocol.rendezvous import REASON_HEADER
from protocol.tokens.digests import token_digest
from protocol.tokens.keys import VerificationKeys
from protocol.tokens.verify import verify_access, verify_authorisation, verify_config, verify_snapshot
from runtime.agent_link import AgentLink
from runtime.entropy import new_id

FAR = 4_000_000_000


@dataclass
class Company:
    """A user's laptop that may reach a resource behind one enrolled connector and one enrolled relay."""

    station: Station
    laptop: Identity
    connector: Identity
    user: UserId
    session: SessionId
    network: NetworkId
    resource: ResourceId
    relay: RelayId
    grant: GrantId

    @property
    def keys(self) -> VerificationKeys:
        return VerificationKeys.of(*self.station.ring.keys.values())


@pytest.fixture
async def company(tmp_path: Path) -> AsyncIterator[Company]:
    async with running_station(tmp_path) as station:
        made = Company(
            station,
            new_identity("device"),
            new_identity("connector"),
            UserId(new_id("user")),
            SessionId(new_id("session")),
            NetworkId(new_id("network")),
            ResourceId(new_id("resource")),
            RelayId(new_id("relay")),
            GrantId(new_id("grant")),
        )
        device, connector = DeviceId(made.laptop.agent), ConnectorId(made.connector.agent)
        await station.give(
            c.CreateUser(made.user, Role.OWNER),
            c.RegisterDevice(device, SubjectKind.USER, made.user, made.laptop.key, "linux"),
            c.StartSession(made.session, device, made.user, FAR),
            c.CreateNetwork(made.network, "office"),
            c.CreateConnector(connector, made.network, "gate"),
            c.EnrolConnector(connector, made.connector.key, PIN),
            c.CreateRelay(made.relay, "relay", "relay.example", 443),
            c.EnrolRelay(made.relay, new_identity("relay").key),
            c.CreateResource(made.resource, made.network, "web", "web.internal", WEB),
            c.CreateGrant(made.grant, SubjectKind.USER, made.user, made.resource),
        )
        async with station.store.transact() as db:
            await credentials.set_personal_data(db, made.user, fields={"name": "Ann"}, email="a@b.c", now=1.0)
        yield made


class Agent:
    """An AgentLink whose messages are collected."""

    def __init__(self, link: AgentLink, inbox: "asyncio.Queue[Message]") -> None:
        self.link = link
        self.inbox = inbox

    async def next(self) -> Message:
        async with asyncio.timeout(DEADLINE_S):
            return await self.inbox.get()

    async def lost(self) -> OstiaryError:
        """Waits for the end of the connection."""
        async with asyncio.timeout(DEADLINE_S):
            while self.link.state.connected or self.link.state.error is None:
                await asyncio.sleep(0.01)
        return self.link.state.error


@asynccontextmanager
async def joined(station: Station, identity: Identity, *, revision: int = 0) -> AsyncIterator[Agent]:
    inbox: asyncio.Queue[Message] = asyncio.Queue()
    link = station.link(identity, inbox.put_nowait, pin=PIN if identity.agent.startswith("con_") else None)
    task = asyncio.create_task(link.run())
    try:
        await link.wait_connected(deadline_s=DEADLINE_S)
        yield Agent(link, inbox)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def serving(company: Company) -> AsyncIterator[Agent]:
    """The connector is there and says that it hangs on the relay."""
    async with joined(company.station, company.connector) as connector:
        assert isinstance(await connector.next(), PushConfig)
        connector.link.send(Heartbeat(1, pin=PIN, relays=(company.relay,)))
        async with asyncio.timeout(DEADLINE_S):
            while not (seen := company.station.presence.agent(company.connector.agent)) or not seen.relays:
                await asyncio.sleep(0.01)
        yield connector


def a_record(company: Company, **parts: object) -> ConnectionRecord:
    ids = {
        "flow": new_id("flow"),
        "device": company.laptop.agent,
        "user": company.user,
        "resource": company.resource,
        "network": company.network,
        "connector": company.connector.agent,
        "relay": company.relay,
    }
    return flow_record(**{**ids, "host": "web.internal", "port": 443, "revision": Revision(1), **parts})


# --- coming in -------------------------------------------------------------------------------------------------------


async def test_a_client_is_welcomed_and_gets_its_whitelist(company: Company) -> None:
    async with joined(company.station, company.laptop) as laptop:
        welcome = laptop.link.state.welcome
        assert welcome is not None
        assert (welcome.user, welcome.user_name, welcome.session_expires) == (company.user, "Ann", FAR)
        assert VerificationKeys.from_jwks_untrusted(welcome.jwks).keys.keys() == company.keys.keys.keys()
        pushed = await laptop.next()
        assert isinstance(pushed, PushSnapshot)
        device = DeviceId(company.laptop.agent)
        snapshot = verify_snapshot(
            pushed.token, keys=company.keys, issuer="ctl_test", device=device, now=company.station.clock.wall()
        )
        assert [entry.resource.id for entry in snapshot.acl.entries] == [company.resource]
        seen = company.station.presence.agent(device)
        assert seen is not None
        assert (seen.hostname, seen.software) == ("host", "test")
    async with asyncio.timeout(DEADLINE_S):
        while company.station.presence.agent(device) is not None:
            await asyncio.sleep(0.01)


async def test_a_connector_gets_its_config(company: Company) -> None:
    async with joined(company.station, company.connector) as connector:
        pushed = await connector.next()
        assert isinstance(pushed, PushConfig)
        config = verify_config(
            pushed.token,
            keys=company.keys,
            issuer="ctl_test",
            connector=ConnectorId(company.connector.agent),
            now=company.station.clock.wall(),
        )
        assert [relay.relay for relay in config.relays] == [company.relay]
        connector.link.send(Enforced(1, config.revision, token_digest(pushed.token)))
        async with asyncio.timeout(DEADLINE_S):
            while company.station.hub.enforcement.line(company.connector.agent).revision != config.revision:
                await asyncio.sleep(0.01)
    await company.station.endpoint.journal.round()
    async with company.station.store.read() as db:
        ack = (await acknowledgements.latest(db))[company.connector.agent]
        assert (ack.revision, ack.digest) == (config.revision, token_digest(pushed.token))


async def test_t17_an_agent_that_enforces_something_else_is_not_believed(company: Company) -> None:
    """It says the right revision and the digest of another policy: the change is not true there, and that is on record."""
    async with joined(company.station, company.connector) as connector:
        pushed = await connector.next()
        assert isinstance(pushed, PushConfig)
        for _ in range(2):
            connector.link.send(Enforced(1, company.station.hub.head.position, token_digest("another")))
        async with asyncio.timeout(DEADLINE_S):
            while company.station.endpoint.tally.digests_wrong < 2:
                await asyncio.sleep(0.01)
            while "wrong_digest" not in repr(company.station.store.feed.recent[-1].event):
                await asyncio.sleep(0.01)
        assert company.connector.agent in company.station.hub.enforcement.outstanding(company.station.hub.head.position)
    await company.station.endpoint.journal.round()
    async with company.station.store.read() as db:
        assert await acknowledgements.latest(db) == {}
        newest = await events.page(db, limit=5)
    traces = [item.event for item in newest if isinstance(item.event, AgentMisbehaved)]
    assert traces == [AgentMisbehaved(company.connector.agent, "wrong_digest")]


async def refused(company: Company, authorization: str | None) -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as failed:
        async with company.station.dial(authorization):
            pass
    response = failed.value.response
    return response.status_code, response.headers[REASON_HEADER]


async def test_nobody_comes_in_without_a_valid_assertion(company: Company) -> None:
    good = company.laptop.assertion(jti="once")
    async with company.station.dial(f"Bearer {good}"):
        pass
    stranger = Identity(company.laptop.agent)
    for authorization, reason in (
        (None, "token_malformed"),
        ("Basic YTpi", "token_malformed"),
        ("Bearer x", "token_malformed"),
        (f"Bearer {good}", "token_revoked"),
        (f"Bearer {stranger.assertion()}", "token_key_unknown"),
        (f"Bearer {new_identity('device').assertion()}", "token_key_unknown"),
        (f"Bearer {company.laptop.assertion('ctl_other')}", "token_audience"),
        (f"Bearer {company.laptop.assertion(age_s=200)}", "token_expired"),
    ):
        assert await refused(company, authorization) == (401, reason)
    async with company.station.dial(f"Bearer {company.laptop.assertion('https://ostiary.test')}"):
        pass


async def test_an_agent_that_comes_too_often_is_slowed_down(company: Company) -> None:
    answers = [await knock(company) for _ in range(30)]
    assert answers[0] is None
    last = answers[-1]
    assert last is not None
    assert last.status_code == 429
    assert int(last.headers["Retry-After"]) >= 1


async def test_d10_one_agent_cannot_fill_the_memory_of_assertions(company: Company) -> None:
    company.station.endpoint._replays = ReplayCache(capacity=25)
    for _ in range(30):
        await knock(company)
    async with serving(company):
        pass


async def test_d10_a_flood_of_refusals_does_not_fill_the_log(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failure_log, "BURST", 2)
    company.station.endpoint._refusals = FailureLog()
    with capture_logs() as lines:
        for _ in range(5):
            assert await refused(company, None) == (401, "token_malformed")
        company.station.endpoint._refusals._limiter = FailureLog()._limiter
        assert await refused(company, None) == (401, "token_malformed")
    told = [line.get("omitted") for line in lines if line["event"] == "agent.not_authenticated"]
    assert told == [0, 0, 3]


async def knock(company: Company) -> Response | None:
    """Connects and leaves; returns the refusal, if there was one."""
    try:
        async with company.station.dial(f"Bearer {company.laptop.assertion()}"):
            return None
    except InvalidStatus as failed:
        return failed.response


async def test_lost_standing_is_told_instead_of_a_welcome(company: Company) -> None:
    await company.station.give(c.EndSession(company.session))
    async with company.station.dial(f"Bearer {company.laptop.assertion()}") as raw:
        await say(raw, hello())
        assert await hear(raw) == Revoked("session_ended")
        with pytest.raises(ConnectionClosed):
            await raw.recv()
    await company.station.give(c.RevokeDevice(DeviceId(company.laptop.agent)))
    async with company.station.dial(f"Bearer {company.laptop.assertion()}") as raw:
        await say(raw, hello())
        assert await hear(raw) == Revoked("device_revoked")


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        ('{"type":"heartbeat","clock_ms":1}', "protocol_error"),
        ("nonsense", "protocol_error"),
        (b"binary", "protocol_error"),
        ('{"type":"hello","protocol":0,"software":"old","clock_ms":1}', "version_unsupported"),
    ],
)
async def test_a_wrong_first_message_is_answered_with_the_reason(
    company: Company, first: str | bytes, reason: str
) -> None:
    async with company.station.dial(f"Bearer {company.laptop.assertion()}") as raw:
        await raw.send(first)
        goodbye = await hear(raw)
        assert isinstance(goodbye, Goodbye)
        assert goodbye.reason == reason


async def test_the_newest_connection_wins(company: Company) -> None:
    async with joined(company.station, company.laptop) as first:
        await first.next()
        async with company.station.dial(f"Bearer {company.laptop.assertion()}") as raw:
            await say(raw, hello())
            assert isinstance(await hear(raw), Welcome)
            assert (await first.lost()).reason is Reason.DUPLICATE_AGENT
            assert company.station.hub.is_attached(company.laptop.agent)


# --- asking ----------------------------------------------------------------------------------------------------------


async def test_authorisation_and_access_token(company: Company) -> None:
    now = company.station.clock.wall()
    async with serving(company), joined(company.station, company.laptop) as laptop:
        reply = await laptop.link.request(AuthoriseRequest(laptop.link.next_id(), company.resource))
        assert isinstance(reply, AuthoriseReply)
        assert reply.token is not None
        device = DeviceId(company.laptop.agent)
        found = verify_authorisation(reply.token, keys=company.keys, issuer="ctl_test", device=device, now=now + 1)
        (path,) = found.paths
        assert (path.connector, path.pins, path.relay) == (company.connector.agent, (PIN,), company.relay)
        jwk = company.laptop.key.to_jwk()
        answer = await laptop.link.request(AccessTokenRequest(laptop.link.next_id(), path.connector, jwk))
        assert isinstance(answer, AccessTokenReply)
        assert answer.token is not None
        access = verify_access(
            answer.token, keys=company.keys, issuer="ctl_test", connector=path.connector, now=now + 1
        )
        assert access.grants == (company.grant,)


async def ask(agent: Agent, resource: ResourceId) -> str | None:
    reply = await agent.link.request(AuthoriseRequest(agent.link.next_id(), resource))
    assert isinstance(reply, AuthoriseReply)
    return reply.reason


async def test_what_is_not_permitted_is_refused_with_its_reason(company: Company) -> None:
    async with joined(company.station, company.laptop) as laptop:
        assert await ask(laptop, company.resource) == "no_connector"
        assert await ask(laptop, ResourceId("res_x")) == "no_grant"
        await company.station.give(c.RevokeGrant(company.grant))
        assert await ask(laptop, company.resource) == "no_grant"
        connector = ConnectorId(company.connector.agent)
        for wanted, jwk, reason in (
            (ConnectorId("con_x"), company.laptop.key.to_jwk(), "no_connector"),
            (connector, company.connector.key.to_jwk(), "proof_invalid"),
            (connector, company.laptop.key.to_jwk(), "no_grant"),
        ):
            reply = await laptop.link.request(AccessTokenRequest(laptop.link.next_id(), wanted, jwk))
            assert isinstance(reply, AccessTokenReply)
            assert (reply.token, reply.reason) == (None, reason)


async def test_explanations_name_people(company: Company) -> None:
    async with joined(company.station, company.laptop) as laptop:
        number = laptop.link.next_id()
        reply = await laptop.link.request(ExplainRequest(number, "WEB.internal", "tcp", 443))
        assert isinstance(reply, ExplainReply)
        assert reply.allowed
        assert (reply.resource_name, reply.via, reply.grants) == ("web", ("Ann",), (company.grant,))
        reply = await laptop.link.request(ExplainRequest(laptop.link.next_id(), "10.9.9.9", "udp", 53))
        assert isinstance(reply, ExplainReply)
        assert (reply.allowed, reply.reason, reply.ask) == (False, "not_a_resource", ("Ann",))
        reply = await laptop.link.request(ExplainRequest(laptop.link.next_id(), "a..b", "carrier pigeon", 1))
        assert isinstance(reply, ExplainReply)
        assert reply.reason == "invalid_input"


async def test_heartbeats_are_echoed(company: Company) -> None:
    async with company.station.dial(f"Bearer {company.laptop.assertion()}") as raw:
        await say(raw, hello())
        assert isinstance(await hear(raw), Welcome)
        assert isinstance(await hear(raw), PushSnapshot)
        await say(raw, Heartbeat(clock_ms=123))
        echo = await hear(raw)
        assert isinstance(echo, Heartbeat)
        assert echo.echo_ms == 123


@pytest.mark.parametrize("kind", ["client", "connector"])
async def test_f3_only_clients_are_asked_to_beat_less_often(
    company: Company, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(pace, "HEARTBEATS_PER_S", 1 / 10)
    identity = company.laptop if kind == "client" else company.connector
    async with company.station.dial(f"Bearer {identity.assertion()}") as raw:
        await say(raw, hello())
        await say(raw, Heartbeat(clock_ms=123))
        echo = await hear(raw)
        while not isinstance(echo, Heartbeat):
            echo = await hear(raw)
        assert echo.interval_s == (10.0 if kind == "client" else 0.0)


async def test_unknown_messages_are_answered_with_nothing(company: Company) -> None:
    async with company.station.dial(f"Bearer {company.laptop.assertion()}") as raw:
        await say(raw, hello())
        await hear(raw)
        await hear(raw)
        await raw.send('{"type":"from_the_future","x":1}')
        await say(raw, Heartbeat(clock_ms=5))
        echo = await hear(raw)
        assert isinstance(echo, Heartbeat)


# --- change ----------------------------------------------------------------------------------------------------------


async def test_t36_a_revocation_reaches_connector_and_client(company: Company) -> None:
    async with serving(company) as connector, joined(company.station, company.laptop) as laptop:
        assert isinstance(await laptop.next(), PushSnapshot)
        loop = asyncio.get_running_loop()
        started = loop.time()
        await company.station.give(c.RevokeGrant(company.grant))
        revoke = await connector.next()
        assert isinstance(revoke, Revoke)
        assert loop.time() - started < 1
        assert [cutoff.resource for cutoff in revoke.cutoffs] == [company.resource]
        assert isinstance(await laptop.next(), PushSnapshot)
        assert isinstance(await connector.next(), PushConfig)


async def test_signing_out_ends_the_session_and_the_connection(company: Company) -> None:
    async with joined(company.station, company.laptop) as laptop:
        await laptop.next()
        laptop.link.send(SignOut())
        assert await laptop.next() == Revoked("session_ended")
        assert (await laptop.lost()).reason is Reason.SESSION_ENDED
        assert not company.station.store.feed.state.sessions
    async with company.station.store.read() as db:
        (ended, *_) = await events.page(db, limit=1)
    assert ended.actor == company.laptop.agent


async def test_d4_open_flows_are_judged_on_reconnect(company: Company) -> None:
    device = DeviceId(company.laptop.agent)

    def flow(name: str, resource: str = "", transport: str = "tcp", port: int | None = 443, who: str = "") -> LiveFlow:
        wanted = ResourceId(resource) if resource else company.resource
        return LiveFlow(FlowId(name), DeviceId(who) if who else device, wanted, transport, port)

    flows = (
        flow("good"),
        flow("wrong port", port=80),
        flow("wrong transport", transport="udp"),
        flow("no transport", transport="x"),
        flow("unknown resource", resource="res_x"),
        flow("unknown device", who="dev_x"),
    )
    async with joined(company.station, company.connector) as connector:
        verdict = await connector.link.request(LiveFlows(connector.link.next_id(), flows))
        assert isinstance(verdict, LiveVerdict)
        assert verdict.allowed == ("good",)
        await company.station.give(c.RevokeGrant(company.grant))
        verdict = await connector.link.request(LiveFlows(connector.link.next_id(), flows))
        assert isinstance(verdict, LiveVerdict)
        assert verdict.allowed == ()


# --- records and misbehaviour ----------------------------------------------------------------------------------------


async def test_records_are_stored_once_with_forced_identities(company: Company) -> None:
    async with joined(company.station, company.connector) as connector:
        mine = a_record(company, connector=None, network=None)
        strange = a_record(company, device=DeviceId(new_id("device")))
        for _ in range(2):
            number = connector.link.next_id()
            assert await connector.link.request(Records(number, (mine, strange))) == RecordsAccepted(number)
    async with joined(company.station, company.laptop) as laptop:
        number = laptop.link.next_id()
        denied = a_record(company, reporter="client", connector=None, outcome="no_connector")
        assert await laptop.link.request(Records(number, (denied,))) == RecordsAccepted(number)
    async with company.station.store.read() as db:
        stored = await records.page(db)
    assert [item.record.outcome for item in stored] == ["no_connector", "normal"]
    assert (stored[1].record.connector, stored[1].record.network) == (company.connector.agent, company.network)
    assert [item.agent for item in stored] == [company.laptop.agent, company.connector.agent]


async def misbehaving(company: Company, identity: Identity, message: Message) -> None:
    async with joined(company.station, identity) as agent:
        agent.link.send(message)
        assert (await agent.lost()).reason is Reason.PROTOCOL_ERROR
    async with company.station.store.read() as db:
        (newest,) = await events.page(db, limit=1)
        assert await records.page(db) == []
    assert newest.event == AgentMisbehaved(identity.agent, "spoke_for_another")


async def test_t17_a_connector_speaks_for_itself_only(company: Company) -> None:
    other = a_record(company, connector=ConnectorId(new_id("connector")))
    await misbehaving(company, company.connector, Records(1, (a_record(company), other)))


@pytest.mark.parametrize("parts", [{"network": NetworkId("net_x")}, {"reporter": "client"}])
async def test_t17_identities_in_records_are_checked(company: Company, parts: dict[str, object]) -> None:
    await misbehaving(company, company.connector, Records(1, (a_record(company, **parts),)))


async def test_a_record_of_a_device_that_changed_hands_is_skipped_and_counted(company: Company) -> None:
    """The connector did nothing wrong, and the rest of its batch is as good as ever."""
    async with joined(company.station, company.connector) as connector:
        batch = (a_record(company, user="usr_x"), a_record(company))
        number = connector.link.next_id()
        assert await connector.link.request(Records(number, batch)) == RecordsAccepted(number)
    async with company.station.store.read() as db:
        (stored,) = await records.page(db)
    assert stored.record.user == company.user
    tally = company.station.endpoint.tally
    assert (tally.records_stored, tally.records_skipped) == (1, 1)


async def test_t9_more_records_than_a_message_may_have_end_the_connection(company: Company) -> None:
    many = tuple(a_record(company, reporter="client", connector=None) for _ in range(RECORDS_PER_MESSAGE + 1))
    async with joined(company.station, company.laptop) as laptop:
        laptop.link.send(Records(1, many))
        assert (await laptop.lost()).reason is Reason.LIMIT_EXCEEDED
    async with company.station.store.read() as db:
        assert await records.page(db) == []


async def test_t9_records_beyond_a_clients_rate_are_not_acknowledged(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_intake.RecordIntake, "admits", lambda *_: False)
    mine = a_record(company, reporter="client", connector=None)
    async with joined(company.station, company.laptop) as laptop:
        with pytest.raises(RemoteError) as failed:
            await laptop.link.request(Records(laptop.link.next_id(), (mine,)), deadline_s=0.1)
        assert failed.value.reason is Reason.TIMEOUT
        assert laptop.link.state.connected


async def test_a_restarted_connector_leaves_no_flow_open(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows nothing of its earlier life; what it still reports as open stays open."""
    monkeypatch.setattr(record_intake, "LOST_AFTER_S", 0.0)
    lost, alive = a_record(company), a_record(company)
    async with joined(company.station, company.connector) as connector:
        await connector.link.request(Records(connector.link.next_id(), (), (lost, alive)))
    live = LiveFlow(alive.flow, alive.device, company.resource, "tcp", 443)
    async with joined(company.station, company.connector) as connector:
        connector.link.send(LiveFlows(connector.link.next_id(), (), more=True))
        await connector.link.request(LiveFlows(connector.link.next_id(), (live,)))
        async with asyncio.timeout(DEADLINE_S):
            while not company.station.endpoint.tally.ends_unknown:
                await asyncio.sleep(0.01)
    async with company.station.store.read() as db:
        found = {item.record.flow: (item.open, item.record.outcome) for item in await records.page(db)}
    assert found == {lost.flow: (False, "end_unknown"), alive.flow: (True, "normal")}


async def test_t17_a_client_reports_its_own_flows_only(company: Company) -> None:
    theirs = a_record(company, reporter="client", device=DeviceId(new_id("device")))
    await misbehaving(company, company.laptop, Records(1, (theirs,)))


@pytest.mark.parametrize("kind", ["client", "connector"])
async def test_t17_each_kind_of_agent_has_its_own_messages(company: Company, kind: str) -> None:
    if kind == "client":
        await misbehaving(company, company.laptop, LiveFlows(1, ()))
    else:
        await misbehaving(company, company.connector, AuthoriseRequest(1, company.resource))


async def test_a_silent_agent_is_left(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "AGENT_STALL_S", 0.2)
    async with company.station.dial(f"Bearer {company.laptop.assertion()}") as raw:
        await say(raw, hello())
        messages = [await hear(raw), await hear(raw), await hear(raw)]
        assert isinstance(messages[-1], Goodbye)
        assert messages[-1].reason == "peer_silent"


async def test_an_agent_that_floods_is_left(company: Company) -> None:
    async with company.station.dial(f"Bearer {company.laptop.assertion()}") as raw:
        await say(raw, hello())

        async def flood() -> None:
            with suppress(ConnectionClosed):
                for _ in range(10_000):
                    await say(raw, Enforced(1, Revision(0), ""))

        flooding = asyncio.create_task(flood())
        message = await hear(raw)
        while not isinstance(message, Goodbye):
            message = await hear(raw)
        assert message.reason == "rate_limited"
        await flooding


async def test_a_device_of_a_removed_user_is_told_and_left(company: Company) -> None:
    other = UserId(new_id("user"))
    await company.station.give(c.CreateUser(other, Role.OWNER))
    async with joined(company.station, company.laptop) as laptop:
        await laptop.next()
        await company.station.give(c.RemoveUser(company.user))
        assert await laptop.next() == Revoked("device_revoked")
        error = await laptop.lost()
        assert isinstance(error, RefusedError)
