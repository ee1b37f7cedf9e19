"""API tokens beside the log, on both databases."""

import pytest
from policy_world import FAR, START, fresh_id
from sqlalchemy.exc import IntegrityError
from store_steps import give, unit_of

from controller.domain import commands as c
from controller.domain import commands_tokens as t
from controller.domain.model import Role
from controller.store import Store, api_tokens
from protocol.errors import RefusedError
from protocol.ids import ApiTokenId, NetworkId, UserId
from protocol.reasons import Reason

NOW = float(START)
ANN, BEN = UserId("usr_ann"), UserId("usr_ben")


async def three(store: Store) -> list[ApiTokenId]:
    """Two tokens of Ann's and one of Ben's."""
    made = [ApiTokenId(fresh_id("api_token")) for _ in range(3)]
    async with store.transact() as db:
        for number, (token, owner) in enumerate(zip(made, (ANN, ANN, BEN), strict=True)):
            await api_tokens.create(db, token, f"hash{number}", owner=owner, hint="ost_api_AbCd", expires=NOW + 60)
    return made


async def test_a_token_is_found_by_its_hash_until_it_ends(store: Store) -> None:
    first, second, third = await three(store)
    async with store.transact() as db:
        found = await api_tokens.find(db, "hash0", NOW)
        assert found is not None
        assert (found.id, found.owner, found.hint, found.last_used_at) == (first, ANN, "ost_api_AbCd", None)
        assert await api_tokens.find(db, "nothing", NOW) is None
        assert await api_tokens.find(db, "hash0", NOW + 60) is None
        await api_tokens.revoke(db, first, NOW)
        assert await api_tokens.find(db, "hash0", NOW) is None
        await api_tokens.revoke_all(db, ANN, NOW)
        assert await api_tokens.find(db, "hash1", NOW) is None
        other = await api_tokens.find(db, "hash2", NOW)
        assert other is not None
        assert other.id == third
        assert set(await api_tokens.ids_of(db, ANN)) == {first, second}


async def test_the_last_use_is_kept(store: Store) -> None:
    first, second, _ = await three(store)
    async with store.transact() as db:
        await api_tokens.note_use(db, first, NOW + 5)
        found = await api_tokens.get_many(db, [first, second, ApiTokenId("apt_x")])
        assert {token: row.last_used_at for token, row in found.items()} == {first: NOW + 5, second: None}
        assert await api_tokens.get_many(db, []) == {}


async def test_no_two_tokens_have_one_secret(store: Store) -> None:
    await three(store)
    with pytest.raises(IntegrityError):
        async with store.transact() as db:
            await api_tokens.create(
                db, ApiTokenId(fresh_id("api_token")), "hash0", owner=BEN, hint="", expires=NOW + 60
            )


async def test_t16_a_token_revoked_before_the_write_writes_nothing(store: Store) -> None:
    """The permission is asked again inside the transaction, behind whatever was committed before it."""
    owner, token = UserId(fresh_id("user")), ApiTokenId(fresh_id("api_token"))
    await give(store, c.CreateUser(owner, Role.OWNER))
    await give(store, t.CreateApiToken(token, owner, ("networks:write",), FAR), actor=owner)
    await give(store, c.CreateNetwork(NetworkId(fresh_id("network")), "one"), actor=token)
    await give(store, t.RevokeApiToken(token), actor=owner)
    before = store.feed.head.position
    async with unit_of(store, actor=token) as unit:
        with pytest.raises(RefusedError) as refused:
            await unit.execute(c.CreateNetwork(NetworkId(fresh_id("network")), "two"))
    assert refused.value.reason is Reason.FORBIDDEN
    assert store.feed.head.position == before
