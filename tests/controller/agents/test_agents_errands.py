"""What agents ask for that changes the log: requests for access, and a connector's next key (C5, F-23, T-10)."""

# ruff: noqa: F811 - a fixture and its name
import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from agent_station import Identity, new_identity
from policy_world import PIN, WEB
from test_agents_endpoint import Agent, Company, company, joined, serving  # noqa: F401 - a fixture

from controller.agents.errands import ANNOUNCE_S
from controller.domain import commands as c
from controller.domain.commands_requests import ApproveAccessRequest, DenyAccessRequest
from controller.domain.connector_keys import pins_of
from controller.domain.decide_requests import OPEN_MAX
from controller.domain.model import PublicKey, Role
from controller.store import access_requests
from protocol.control import (
    AccessTokenReply,
    AccessTokenRequest,
    AuthoriseReply,
    AuthoriseRequest,
    Message,
    PushSnapshot,
)
from protocol.control_keys import AnnounceKey, KeyAnnounced
from protocol.control_requests import AccessRequests, AskedFor, ListRequests, RequestAccess, WithdrawRequest
from protocol.errors import RefusedError
from protocol.ids import AccessRequestId, ConnectorId, DeviceId, GrantId, ResourceId, UserId
from protocol.limits import ACCESS_LIFE_S, CLOCK_LEEWAY_S
from protocol.reasons import Reason
from protocol.tokens.claims import Assertion, Rotation
from protocol.tokens.issue import issue_assertion, issue_rotation
from protocol.tokens.keys import generate_key, pin_of, public_jwk
from protocol.tokens.verify import verify_access, verify_authorisation
from runtime.clock import SystemClock
from runtime.entropy import new_id, token_text


@pytest.fixture
async def laptop(company: Company) -> AsyncIterator[Agent]:
    async with joined(company.station, company.laptop) as agent:
        assert isinstance(await agent.next(), PushSnapshot)
        yield agent


async def ask(agent: Agent, message: Message) -> AccessRequests:
    reply = await agent.link.request(message)
    assert isinstance(reply, AccessRequests)
    return reply


async def request(agent: Agent, target: str, reason: str = "release 4.2", **more: int) -> AskedFor:
    reply = await ask(agent, RequestAccess(agent.link.next_id(), target, reason, **more))
    assert reply.reason is None
    (made,) = reply.requests
    return made


async def refused(agent: Agent, target: str, reason: str = "release 4.2", **more: int) -> str | None:
    return (await ask(agent, RequestAccess(agent.link.next_id(), target, reason, **more))).reason


async def approver_of(company: Company) -> UserId:
    approver = UserId(new_id("user"))
    await company.station.give(c.CreateUser(approver, Role.OWNER))
    return approver


async def test_a_request_that_is_approved_opens_the_resource_without_another_step(
    company: Company, laptop: Agent
) -> None:
    resource, now = ResourceId(new_id("resource")), int(company.station.clock.wall())
    await company.station.give(c.CreateResource(resource, company.network, "db", "db.internal", WEB))
    made = await request(laptop, "DB.internal.", port=443, duration_s=600)
    assert (made.target, made.port, made.status, made.duration_s, made.reason) == (
        "db.internal",
        443,
        "open",
        600,
        "release 4.2",
    )
    assert made.expires > now
    approver = await approver_of(company)
    async with company.station.store.write(actor=approver, request_id="r", now=now) as unit:
        await unit.execute(
            ApproveAccessRequest(AccessRequestId(made.request), approver, GrantId(new_id("grant")), now + 600, now)
        )
        answered = unit.state.access_requests[AccessRequestId(made.request)]
        await access_requests.set_answer(unit.connection, answered, "until ten", unit.now)
    pushed = await laptop.next()
    while not isinstance(pushed, PushSnapshot):
        pushed = await laptop.next()
    (listed,) = (await ask(laptop, ListRequests(laptop.link.next_id()))).requests
    assert (listed.status, listed.answer, listed.granted_until) == ("approved", "until ten", now + 600)
    assert await refused(laptop, "db.internal") == "already_exists"


async def test_t10_the_answer_does_not_tell_whether_it_exists(company: Company, laptop: Agent) -> None:
    resource = ResourceId(new_id("resource"))
    await company.station.give(c.CreateResource(resource, company.network, "db", "*.db.internal", WEB))
    there, nowhere = await request(laptop, "a.db.internal"), await request(laptop, "a.no.internal")
    same = replace(nowhere, request=there.request, target=there.target, asked=there.asked, expires=there.expires)
    assert same == there


async def test_asking_again_is_the_same_request_and_withdrawing_ends_it(company: Company, laptop: Agent) -> None:
    first, second = await request(laptop, "db.internal"), await request(laptop, "db.internal", "other words")
    assert second == first
    (gone,) = (await ask(laptop, WithdrawRequest(laptop.link.next_id(), first.request))).requests
    assert gone.status == "withdrawn"
    assert (await request(laptop, "db.internal")).request != first.request
    unknown = await ask(laptop, WithdrawRequest(laptop.link.next_id(), new_id("access_request")))
    assert unknown.reason == "not_found"


@pytest.mark.parametrize(
    ("target", "reason", "more", "code"),
    [
        ("db.internal", "  ", {}, "invalid_input"),
        ("db.internal", "x" * 1001, {}, "invalid_input"),
        ("db.internal", "r", {"port": 70_000}, "invalid_input"),
        ("db.internal", "r", {"duration_s": 1}, "invalid_input"),
        ("", "r", {}, "invalid_input"),
    ],
)
async def test_bad_input_is_refused(laptop: Agent, target: str, reason: str, more: dict[str, int], code: str) -> None:
    assert await refused(laptop, target, reason, **more) == code


async def test_t26_a_device_cannot_fill_the_log_with_requests(laptop: Agent) -> None:
    codes = [await refused(laptop, f"host{number}.internal") for number in range(OPEN_MAX + 1)]
    assert codes == [None] * OPEN_MAX + ["limit_exceeded"]
    more = [await refused(laptop, "db.internal") for _ in range(20)]
    assert more[-1] == "rate_limited"


async def test_t16_the_asker_does_not_answer_himself(company: Company, laptop: Agent) -> None:
    made = await request(laptop, "db.internal")
    now = int(company.station.clock.wall())
    async with company.station.store.write(actor=company.user, request_id="r", now=now) as unit:
        with pytest.raises(RefusedError) as failed:
            await unit.execute(DenyAccessRequest(AccessRequestId(made.request), company.user, now))
    assert failed.value.reason is Reason.FORBIDDEN


# --- keys of connectors ----------------------------------------------------------------------------------------------


class NextKey:
    """A key that a connector may announce, and what it says about it."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.private = generate_key()
        self.pin = pin_of(self.private.public_key())

    def statement(self, *, agent: str = "", key: object = None, audience: str = "ctl_test") -> str:
        now = int(SystemClock().wall())
        name = agent or self.identity.agent
        claims = Rotation(name, audience, token_text(16), public_jwk(self.private), now, now + 60)
        return issue_rotation(claims, key or self.identity._private)  # type: ignore[arg-type]

    def proof(self, *, key: object = None) -> str:
        now = int(SystemClock().wall())
        claims = Assertion(self.identity.agent, "ctl_test", token_text(16), now, now + 60)
        return issue_assertion(claims, key or self.private)  # type: ignore[arg-type]

    def after(self) -> Identity:
        """The connector as it says who it is with this key."""
        identity = Identity(self.identity.agent)
        identity._private = self.private
        identity.key = PublicKey.from_jwk(public_jwk(self.private))
        return identity


async def announce(agent: Agent, statement: str, proof: str) -> KeyAnnounced:
    reply = await agent.link.request(AnnounceKey(agent.link.next_id(), statement, proof))
    assert isinstance(reply, KeyAnnounced)
    return reply


async def pins_told(company: Company, laptop: Agent) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The pins of the authorisation's path, and of the access token."""
    now = company.station.clock.wall()
    reply = await laptop.link.request(AuthoriseRequest(laptop.link.next_id(), company.resource))
    assert isinstance(reply, AuthoriseReply)
    assert reply.token is not None, reply.reason
    device, connector = DeviceId(company.laptop.agent), ConnectorId(company.connector.agent)
    found = verify_authorisation(reply.token, keys=company.keys, issuer="ctl_test", device=device, now=now + 1)
    jwk = company.laptop.key.to_jwk()
    answer = await laptop.link.request(AccessTokenRequest(laptop.link.next_id(), connector, jwk))
    assert isinstance(answer, AccessTokenReply)
    assert answer.token is not None
    access = verify_access(answer.token, keys=company.keys, issuer="ctl_test", connector=connector, now=now + 1)
    return found.paths[0].pins, access.pins


async def test_f23_a_key_is_announced_with_both_proofs_and_named_before_it_is_used(
    company: Company, laptop: Agent
) -> None:
    following = NextKey(company.connector)
    async with serving(company) as connector:
        assert await pins_told(company, laptop) == ((PIN,), (PIN,))
        reply = await announce(connector, following.statement(), following.proof())
        assert reply.reason is None
        assert reply.wait_s == ANNOUNCE_S >= ACCESS_LIFE_S + CLOCK_LEEWAY_S
        both = (PIN, following.pin)
        assert await pins_told(company, laptop) == (both, both)
        again = await announce(connector, following.statement(), following.proof())
        assert again.reason is None
    async with serving(replace(company, connector=following.after())):
        turned = (following.pin, PIN)
        assert await pins_told(company, laptop) == (turned, turned)
    async with joined_or_refused(company, company.connector) as reason:
        assert reason is Reason.TOKEN_KEY_UNKNOWN
    state = company.station.store.feed.state
    connector_now = state.connectors[ConnectorId(company.connector.agent)]
    assert pins_of(connector_now, connector_now.former_until) == (following.pin,)


class joined_or_refused:  # noqa: N801 - a context manager
    """Tries to attach; gives the reason of the refusal, None when it was let in."""

    def __init__(self, company: Company, identity: Identity) -> None:
        self._link = company.station.link(identity, lambda _: None, pin=PIN)

    async def __aenter__(self) -> Reason | None:
        self._task = asyncio.create_task(self._link.run())
        async with asyncio.timeout(60):
            while not self._link.state.connected and self._link.state.error is None:
                await asyncio.sleep(0.01)
        return None if self._link.state.connected else self._link.state.error.reason  # type: ignore[union-attr]

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])


async def test_f23_t61_a_key_without_both_proofs_is_not_taken(company: Company) -> None:
    following, stranger = NextKey(company.connector), generate_key()
    other = NextKey(new_identity("connector"))
    async with serving(company) as connector:
        attempts = {
            "statement by another key": (following.statement(key=stranger), following.proof()),
            "statement by the new key": (following.statement(key=following.private), following.proof()),
            "proof by the old key": (following.statement(), following.proof(key=company.connector._private)),
            "proof for another key": (following.statement(), other.proof()),
            "about another connector": (following.statement(agent=other.identity.agent), following.proof()),
            "for another controller": (following.statement(audience="https://else.example"), following.proof()),
            "nonsense": ("a.b.c", "d.e.f"),
        }
        for what, (statement, proof) in attempts.items():
            reply = await announce(connector, statement, proof)
            assert reply.reason is not None, what
            assert reply.reason.startswith("token_"), what
    state = company.station.store.feed.state
    assert state.connectors[ConnectorId(company.connector.agent)].next_key is None


async def test_f23_a_client_announces_no_key(company: Company, laptop: Agent) -> None:
    following = NextKey(company.laptop)
    laptop.link.send(AnnounceKey(1, following.statement(), following.proof()))
    assert (await laptop.lost()).reason is Reason.PROTOCOL_ERROR
