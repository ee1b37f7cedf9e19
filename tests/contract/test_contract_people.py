"""Second factors, identities and how sessions were authenticated, on both databases (D7, T-2)."""

import asyncio

import pytest
from policy_world import START

from controller.domain.authentication import Authentication
from controller.store import Store, identities, second_factors, web_sessions
from protocol.errors import RefusedError
from protocol.ids import UserId
from protocol.reasons import Reason

NOW = float(START)
USER, OTHER = UserId("usr_one"), UserId("usr_two")
ISSUER = "https://id.corp.example"
HOW = Authentication(START, START + 1, "password+totp")


async def test_a_second_factor_is_begun_confirmed_and_removed(store: Store) -> None:
    async with store.transact() as db:
        assert await second_factors.find(db, USER) is None
        await second_factors.begin(db, USER, b"one", NOW)
        await second_factors.begin(db, USER, b"two", NOW)
        found = await second_factors.find(db, USER)
        assert found is not None
        assert (found.sealed, found.confirmed_at, found.last_step) == (b"two", None, None)
        await second_factors.confirm(db, USER, NOW + 5)
        await second_factors.set_recovery_codes(db, USER, ["a", "b"], NOW)
        confirmed = await second_factors.find(db, USER)
        assert confirmed is not None
        assert confirmed.confirmed_at == NOW + 5
        await second_factors.remove(db, USER)
        assert await second_factors.find(db, USER) is None
        assert await second_factors.count_recovery_codes(db, USER) == 0


async def test_d7_a_step_and_a_recovery_code_are_spent_once_whatever_runs_in_parallel(store: Store) -> None:
    async with store.transact() as db:
        await second_factors.begin(db, USER, b"one", NOW)
        await second_factors.set_recovery_codes(db, USER, ["a", "b"], NOW)

    async def step(number: int) -> bool:
        async with store.transact() as db:
            return await second_factors.spend_step(db, USER, number)

    async def recovery() -> bool:
        async with store.transact() as db:
            return await second_factors.spend_recovery_code(db, USER, "a")

    assert sorted(await asyncio.gather(*(step(7) for _ in range(5)))) == [False] * 4 + [True]
    assert [await step(number) for number in (6, 7, 8, 8)] == [False, False, True, False]
    assert sorted(await asyncio.gather(*(recovery() for _ in range(5)))) == [False] * 4 + [True]
    async with store.read() as db:
        assert await second_factors.count_recovery_codes(db, USER) == 1
        assert await second_factors.count_recovery_codes(db, OTHER) == 0


async def test_t2_an_identity_is_one_persons_and_is_compared_exactly(store: Store) -> None:
    async with store.transact() as db:
        await identities.link(db, ISSUER, "Sub", USER, NOW)
        assert await identities.find(db, ISSUER, "Sub") == USER
        for issuer, subject in ((ISSUER + "/", "Sub"), (ISSUER, "sub"), (ISSUER, "Sub ")):
            assert await identities.find(db, issuer, subject) is None
    with pytest.raises(RefusedError) as refused:
        async with store.transact() as db:
            await identities.link(db, ISSUER, "Sub", OTHER, NOW)
    assert refused.value.reason is Reason.ALREADY_EXISTS
    async with store.transact() as db:
        await identities.seen(db, ISSUER, "Sub", NOW + 9)
        (found,) = await identities.list_of(db, USER)
        assert (found.subject, found.seen_at) == ("Sub", NOW + 9)
        assert await identities.unlink(db, OTHER, ISSUER) is False
        assert await identities.unlink(db, USER, ISSUER) is True
        assert await identities.list_of(db, USER) == []


async def test_a_session_remembers_how_it_was_authenticated(store: Store) -> None:
    async with store.transact() as db:
        await web_sessions.create(db, "h1", user=USER, expires=NOW + 60, label="{}", now=NOW, how=HOW)
        await web_sessions.create(db, "h2", user=USER, expires=NOW + 60, label="{}", now=NOW)
        await web_sessions.create(db, "h3", user=OTHER, expires=NOW + 60, label="{}", now=NOW)
        first, second = await web_sessions.find(db, "h1", NOW), await web_sessions.find(db, "h2", NOW)
        assert first is not None
        assert second is not None
        assert (first.how, second.how) == (HOW, Authentication(START, None, "password"))
        await web_sessions.note(db, "h2", HOW)
        assert {item.how for item in await web_sessions.list_of(db, USER, NOW)} == {HOW}
        assert [item.hash for item in await web_sessions.list_of(db, None, NOW)] == ["h1", "h2", "h3"]
        assert await web_sessions.revoke_all(db, USER, NOW, but="h2") == 1
        assert [item.hash for item in await web_sessions.list_of(db, None, NOW)] == ["h2", "h3"]


async def test_a_session_remembers_that_nobody_said_when(store: Store) -> None:
    how = Authentication(START, START, "oidc:https://idp.example+mfa", dated=False)
    async with store.transact() as db:
        await web_sessions.create(db, "h1", user=USER, expires=NOW + 60, label="{}", now=START, how=how)
        found = await web_sessions.find(db, "h1", START)
        assert found is not None
        assert found.how == how
