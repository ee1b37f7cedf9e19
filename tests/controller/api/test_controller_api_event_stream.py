"""The event stream: what it tells, to whom, from where on, and when it ends (T-10, T-12)."""

import asyncio

import pytest
from controller_api import Controller, code_of
from event_reader import reading

from controller.api import event_stream
from controller.api.event_stream import PresenceWatch, Streams
from controller.api.presence import AgentPresence, Nobody
from controller.domain.state import PolicyState
from protocol.errors import RefusedError
from runtime.clock import ManualClock

PATH = "/api/v1/events/stream"


@pytest.fixture(autouse=True)
def quick(controller: Controller) -> None:
    controller.services.streams.turn_s = 0.01


class SomePresence(Nobody):
    """Everybody whom the test says is there."""

    def __init__(self) -> None:
        self.online: dict[str, AgentPresence] = {}

    def agent(self, agent: str) -> AgentPresence:
        return self.online.get(agent, AgentPresence(online=False))


async def test_changes_come_with_their_position_as_id(controller: Controller) -> None:
    token = await controller.sign_in()
    owner = controller.person(token)
    async with reading(controller, token) as stream:
        hello = await stream.until("hello")
        assert hello == {"position": controller.services.state.position, "resumed": False}
        network = (await owner.post("/api/v1/networks", json={"name": "secret name"})).json()["id"]
        change = await stream.until("change")
        assert stream.status == 200
        assert (change["kind"], change["ids"]) == ("network.created", [network])
        assert stream.frames[-1][2] == str(change["position"]) == str(controller.services.state.position)
    assert "secret" not in stream.body
    assert len(controller.services.streams) == 0, "its place is free"


async def test_a_reader_goes_on_where_he_was(controller: Controller) -> None:
    token = await controller.sign_in()
    owner = controller.person(token)
    before = controller.services.state.position
    for name in ("one", "two"):
        await owner.post("/api/v1/networks", json={"name": name})
    async with reading(controller, token, **{"last-event-id": str(before + 1)}) as stream:
        assert (await stream.until("change"))["position"] == before + 2
        assert stream.named("hello") == [{"position": before + 1, "resumed": True}]
    async with reading(controller, token, **{"last-event-id": "999999"}) as stream:
        hello = await stream.until("hello")
        assert hello == {"position": before + 2, "resumed": False}, "a position of another log"
    assert (await owner.get(PATH, headers={"Last-Event-ID": "x"})).status_code == 422


async def test_t10_a_member_hears_of_his_own_only(controller: Controller) -> None:
    grace = await controller.add_user("grace@corp.example")
    owner = await controller.owner()
    async with reading(controller, grace.token) as stream:
        await stream.until("hello")
        network = (await owner.post("/api/v1/networks", json={"name": "office"})).json()["id"]
        ports = {"tcp": ["443"]}
        asked = {"network": network, "name": "wiki", "address": "wiki.internal", "ports": ports}
        resource = (await owner.post("/api/v1/resources", json=asked)).json()["id"]
        grant = {"subject_kind": "user", "subject": grace.id, "resource": resource}
        await owner.post("/api/v1/grants", json=grant)
        await stream.until("change")
    assert [item["ids"] for item in stream.named("change")] == [[grace.id]]
    assert network not in stream.body
    assert resource not in stream.body


async def test_t10_the_stream_ends_with_the_session(controller: Controller) -> None:
    token = await controller.sign_in()
    other = controller.person(await controller.sign_in())
    async with reading(controller, token) as stream:
        await stream.until("hello")
        await other.delete("/api/v1/sessions", params={"user": "me"})
        end = await stream.until("end")
        assert end["code"] == "sign_in_required"
        await asyncio.wait_for(stream.ended.wait(), 5)
    again = await controller.person(token).get(PATH)
    assert again.status_code == 401


@pytest.mark.parametrize("seconds", [4 * 3600 + 1, 12 * 3600 + 1], ids=["not used", "too old"])
async def test_t10_a_stream_keeps_no_session_alive(controller: Controller, seconds: int) -> None:
    token = await controller.sign_in()
    async with reading(controller, token) as stream:
        await stream.until("hello")
        controller.clock.advance(seconds)
        assert (await stream.until("end"))["code"] == "sign_in_required"


async def test_t10_a_disabled_account_hears_nothing_more(controller: Controller) -> None:
    auditor = await controller.add_user("auditor@corp.example", role="auditor")
    owner = await controller.owner()
    async with reading(controller, auditor.token) as stream:
        await stream.until("hello")
        await owner.patch(f"/api/v1/users/{auditor.id}", json={"disabled": True})
        await stream.until("end")
    assert stream.named("change") == []


async def test_a_heartbeat_comes_when_nothing_happens(controller: Controller) -> None:
    token = await controller.sign_in()
    async with reading(controller, token) as stream:
        await stream.until("hello")
        controller.clock.advance(event_stream.HEARTBEAT_S)
        await stream.until_text(": heartbeat\n\n")


async def test_presence_is_told_as_it_is_now(controller: Controller) -> None:
    connector = await controller.add_connector()
    presence = SomePresence()
    controller.services.presence = presence
    token = await controller.sign_in()
    grace = await controller.add_user("grace@corp.example")
    async with reading(controller, token) as stream, reading(controller, grace.token) as members:
        await stream.until("hello")
        await members.until("hello")
        presence.online[connector] = AgentPresence(online=True, since=5.0, relays=("rel_1",))
        controller.clock.advance(1)
        told = await stream.until("presence")
        assert told == {"id": connector, "kind": "connector", "online": True, "since": 5.0, "relays": ["rel_1"]}
        del presence.online[connector]
        controller.clock.advance(1)
        assert (await stream.until("presence", 2))["online"] is False
    assert members.named("presence") == [], "members do not read connectors"


def test_several_changes_of_presence_become_one() -> None:
    clock, presence = ManualClock(), SomePresence()
    watch = PresenceWatch(clock, 1.0)
    state = PolicyState()
    assert watch.look(state, presence) == 0
    assert list(watch.behind(0)) == []
    assert watch.look(state, presence) == 0, "it looks once per turn"


async def test_t12_a_slow_reader_is_told_to_load_anew(controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "BATCH_MAX", 3)
    token = await controller.sign_in()
    owner = controller.person(token)
    async with reading(controller, token) as stream:
        await stream.until("hello")
        stream.taking.clear()
        for number in range(6):
            await owner.post("/api/v1/networks", json={"name": f"n{number}"})
        stream.taking.set()
        resync = await stream.until("resync")
        assert resync["position"] == controller.services.state.position
        await asyncio.wait_for(stream.ended.wait(), 5)


async def test_t12_who_takes_nothing_loses_the_stream(controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "SEND_S", 0.05)
    token = await controller.sign_in()
    owner = controller.person(token)
    async with reading(controller, token) as stream:
        await stream.until("hello")
        stream.taking.clear()
        await owner.post("/api/v1/networks", json={"name": "n"})
        await asyncio.wait_for(stream.ended.wait(), 5)
    assert len(controller.services.streams) == 0


async def test_t12_streams_are_bounded(controller: Controller) -> None:
    controller.services.streams.per_session = 1
    controller.services.streams.total_max = 2
    tokens = [await controller.sign_in() for _ in range(3)]
    async with reading(controller, tokens[0]) as first, reading(controller, tokens[1]) as second:
        await first.until("hello")
        await second.until("hello")
        for token in (tokens[0], tokens[2]):
            refused = await controller.person(token).get(PATH)
            assert (refused.status_code, code_of(refused)) == (429, "limit_exceeded")
    assert (await controller.person(tokens[2]).get(PATH)).status_code == 200


async def test_t12_one_person_cannot_have_the_streams_of_all(controller: Controller) -> None:
    controller.services.streams.per_person = 2
    grace = await controller.add_user("grace@corp.example")
    tokens = [grace.token, *[await controller.sign_in(grace.email, grace.password) for _ in range(2)]]
    async with reading(controller, tokens[0]) as first, reading(controller, tokens[1]) as second:
        await first.until("hello")
        await second.until("hello")
        refused = await controller.person(tokens[2]).get(PATH)
        assert (refused.status_code, code_of(refused)) == (429, "limit_exceeded")
        async with reading(controller, await controller.sign_in()) as other:
            await other.until("hello")


async def test_streams_end_with_the_process(controller: Controller) -> None:
    token = await controller.sign_in()
    async with reading(controller, token) as stream:
        await stream.until("hello")
        controller.services.streams.closing = True
        assert (await stream.until("end"))["code"] == "shutting_down"
    assert (await controller.person(token).get(PATH)).status_code == 503


def test_a_place_is_given_back_once() -> None:
    streams = Streams(ManualClock(), per_session=1)
    give_back = streams.take("ada", "session")
    give_back()
    give_back()
    streams.take("ada", "session")
    with pytest.raises(RefusedError):
        streams.take("ada", "session")
