"""Requests for access over both databases: one transaction for the event and its texts, which can be erased (T-9, T-10)."""

import pytest
from log_checks import verify_chain
from policy_world import START
from store_steps import give, unit_of

from controller.domain import commands as c
from controller.domain.commands_requests import DenyAccessRequest
from controller.domain.model import Role, SubjectKind
from controller.domain.request_model import RequestStatus
from controller.store import Store, access_requests, erasure
from controller.store.access_requests import RequestTexts, clean_text
from protocol.acl.model import PortRange, Ports
from protocol.errors import RefusedError
from protocol.ids import GrantId, NetworkId, ResourceId, UserId
from protocol.reasons import Reason
from runtime.entropy import new_id

WEB = Ports(tcp=(PortRange(443, 443),))


async def asker_of(store: Store) -> UserId:
    user = UserId(new_id("user"))
    await give(store, c.CreateUser(user, Role.MEMBER))
    return user


async def test_asking_writes_event_and_texts_together(store: Store) -> None:
    user = await asker_of(store)
    async with unit_of(store, actor=user) as unit:
        made = await access_requests.ask(unit, user=user, target="DB.corp", reason="  release\n4.2\x1b[31m ", port=443)
        again = await access_requests.ask(unit, user=user, target="db.corp.", reason="other", port=443)
    assert again.id == made.id
    assert store.feed.state.access_requests[made.id] == made
    async with store.read() as connection:
        texts = await access_requests.get_texts(connection, (made.id,))
    assert texts == {made.id: RequestTexts("release 4.2[31m", "")}


async def test_a_refusal_leaves_nothing(store: Store) -> None:
    user = await asker_of(store)
    position = store.feed.head.position
    with pytest.raises(RefusedError) as failed:
        async with unit_of(store, actor=user) as unit:
            await access_requests.ask(unit, user=user, target="db.corp", reason="r", duration_s=1)
    assert failed.value.reason is Reason.INVALID_INPUT
    assert store.feed.head.position == position


async def test_what_one_has_already_is_said(store: Store) -> None:
    user, network, resource = await asker_of(store), NetworkId(new_id("network")), ResourceId(new_id("resource"))
    await give(
        store,
        c.CreateNetwork(network, network),
        c.CreateResource(resource, network, "db", "*.corp", WEB),
        c.CreateGrant(GrantId(new_id("grant")), SubjectKind.USER, user, resource),
    )
    async with unit_of(store, actor=user) as unit:
        with pytest.raises(RefusedError) as failed:
            await access_requests.ask(unit, user=user, target="a.corp", reason="r")
    assert failed.value.reason is Reason.ALREADY_EXISTS


async def test_texts_of_one_user_are_erased_and_the_log_stays_whole(store: Store) -> None:
    user, other, approver = await asker_of(store), await asker_of(store), UserId(new_id("user"))
    await give(store, c.CreateUser(approver, Role.OWNER))
    made = {}
    for who in (user, other):
        async with unit_of(store, actor=who) as unit:
            made[who] = (await access_requests.ask(unit, user=who, target="db.corp", reason="because")).id
    async with unit_of(store, actor=approver) as unit:
        item = unit.state.access_requests[made[user]]
        await unit.execute(DenyAccessRequest(item.id, approver, START))
        await access_requests.set_answer(unit.connection, item, "no", unit.now)
    async with store.transact() as connection:
        assert (await access_requests.get_texts(connection, made.values()))[made[user]] == RequestTexts("because", "no")
        await erasure.erase(connection, user)
        left = await access_requests.get_texts(connection, made.values())
    assert left == {made[other]: RequestTexts("because", "")}
    assert store.feed.state.access_requests[made[user]].answer is RequestStatus.DENIED
    assert not (await verify_chain(store)).faults


async def test_old_texts_are_purged(store: Store) -> None:
    user = await asker_of(store)
    async with unit_of(store, actor=user) as unit:
        made = await access_requests.ask(unit, user=user, target="db.corp", reason="because")
    async with store.transact() as connection:
        await access_requests.purge(connection, START)
        assert await access_requests.get_texts(connection, (made.id,))
        await access_requests.purge(connection, START + 1)
        assert not await access_requests.get_texts(connection, (made.id,))


def test_t74_texts_are_one_printable_line() -> None:
    assert clean_text("a\u202eb\x00 c\r\nd\u2028e", "reason") == "ab c d e"
    with pytest.raises(RefusedError, match="reason: at most"):
        clean_text("x" * 1001, "reason")
