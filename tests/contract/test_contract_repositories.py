"""The repositories beside the log, on both databases."""

from contextlib import suppress
from dataclasses import replace

import pytest
from flow_records import flow_record
from policy_world import START, fresh_id

from controller.store import (
    Store,
    credentials,
    device_codes,
    enrolments,
    idempotency,
    records,
    secrets,
    web_sessions,
)
from controller.store.device_codes import DeviceCode
from controller.store.records import RecordFilter
from protocol.control import ConnectionRecord
from protocol.errors import RefusedError
from protocol.ids import UserId
from protocol.reasons import Reason

NOW = float(START)
USER = UserId("usr_one")


async def test_a_password_hash_is_set_replaced_and_deleted(store: Store) -> None:
    async with store.transact() as db:
        assert await credentials.get_password_hash(db, USER) is None
        await credentials.set_password_hash(db, USER, "one", NOW)
        await credentials.set_password_hash(db, USER, "two", NOW)
    async with store.read() as db:
        assert await credentials.get_password_hash(db, USER) == "two"
    async with store.transact() as db:
        await credentials.delete_password(db, USER)
        assert await credentials.get_password_hash(db, USER) is None


async def test_an_account_is_found_by_its_address_whatever_its_case(store: Store) -> None:
    async with store.transact() as db:
        await credentials.set_personal_data(db, USER, email="Ann@Example.com ", fields={"name": "Ann"}, now=NOW)
        assert await credentials.find_by_email(db, "ANN@example.COM") == USER
        assert await credentials.find_by_email(db, "bob@example.com") is None
        found = await credentials.get_personal_data(db, USER)
        assert found is not None
        assert (found.email, found.name) == ("ann@example.com", "Ann")
        with pytest.raises(RefusedError) as refused:
            await credentials.set_personal_data(db, "usr_two", email="ann@EXAMPLE.com", fields={}, now=NOW)
        assert refused.value.reason is Reason.ALREADY_EXISTS
        await credentials.set_personal_data(db, USER, email="ann@example.com", fields={}, now=NOW)
        await credentials.set_personal_data(db, "dev_one", fields={"name": "laptop"}, now=NOW)
        await credentials.set_personal_data(db, "dev_two", fields={}, now=NOW)
        many = await credentials.get_many(db, [USER, "dev_one", "dev_two", "usr_none"])
        assert {subject: person.name for subject, person in many.items()} == {
            USER: "ann@example.com",
            "dev_one": "laptop",
            "dev_two": "dev_two",
        }


async def test_personal_data_can_be_erased(store: Store) -> None:
    async with store.transact() as db:
        await credentials.set_personal_data(db, USER, email="ann@example.com", fields={"name": "Ann"}, now=NOW)
        await credentials.erase_personal_data(db, USER)
        assert await credentials.get_personal_data(db, USER) is None
        await credentials.set_personal_data(db, "usr_two", email="ann@example.com", fields={}, now=NOW)


async def taken(store: Store, secret_hash: str, now: float, kind: str | None = None) -> str:
    async with store.transact() as db:
        try:
            return (await enrolments.take(db, secret_hash, now, kind=kind)).target
        except RefusedError as error:
            return error.reason.code


async def test_an_enrolment_is_taken_in_time_once_and_for_its_kind(store: Store) -> None:
    async with store.transact() as db:
        for number in range(3):
            await enrolments.create(
                db, f"hash{number}", kind="relay", target=f"rel_{number}", expires=NOW + 60, now=NOW
            )
    assert await taken(store, "nothing", NOW) == "enrolment_invalid"
    assert await taken(store, "hash0", NOW, "connector") == "enrolment_invalid"
    assert await taken(store, "hash0", NOW, "relay") == "rel_0"
    assert await taken(store, "hash0", NOW) == "enrolment_used"
    assert await taken(store, "hash1", NOW + 60) == "enrolment_expired"
    async with store.transact() as db:
        await enrolments.revoke_all(db, "rel_2")
        await enrolments.revoke_all(db, "rel_0")
    assert await taken(store, "hash2", NOW) == "enrolment_invalid"
    assert await taken(store, "hash0", NOW) == "enrolment_used"
    async with store.transact() as db:
        await enrolments.purge(db, NOW + 61)
    assert await taken(store, "hash0", NOW) == "enrolment_invalid"


async def new_code(store: Store, name: str = "code", user_code: str = "ABCD-EFGH") -> None:
    async with store.transact() as db:
        await device_codes.create(
            db,
            name,
            user_code=user_code,
            jwk={"kty": "EC"},
            device_name="laptop",
            platform="linux",
            interval_s=2,
            expires=NOW + 60,
            now=NOW,
        )


async def take_code(store: Store, now: float = NOW) -> DeviceCode | str:
    async with store.transact() as db:
        try:
            return await device_codes.take(db, "code", now)
        except RefusedError as error:
            return error.reason.code


async def test_a_device_code_is_approved_and_taken_once(store: Store) -> None:
    await new_code(store)
    assert await take_code(store) == "authorization_pending"
    async with store.transact() as db:
        shown = await device_codes.find_by_user_code(db, "ABCD-EFGH")
        assert shown is not None
        assert (shown.status, shown.device_name, shown.jwk) == ("pending", "laptop", {"kty": "EC"})
        assert (await device_codes.approve(db, "ABCD-EFGH", USER, NOW)).user == USER
        with pytest.raises(RefusedError):
            await device_codes.deny(db, "ABCD-EFGH", NOW)
    code = await take_code(store)
    assert isinstance(code, DeviceCode)
    assert (code.user, code.status) == (USER, "taken")
    assert await take_code(store) == "sign_in_expired"


async def test_a_device_code_is_denied_or_expires(store: Store) -> None:
    await new_code(store)
    async with store.transact() as db:
        await device_codes.deny(db, "ABCD-EFGH", NOW)
        with pytest.raises(RefusedError) as refused:
            await device_codes.approve(db, "ABCD-EFGH", USER, NOW)
        assert refused.value.reason is Reason.SIGN_IN_EXPIRED
    assert await take_code(store) == "sign_in_denied"
    assert await take_code(store, NOW + 60) == "sign_in_expired"
    with pytest.raises(RefusedError) as refused:
        await new_code(store, "other")
    assert refused.value.reason is Reason.ALREADY_EXISTS
    async with store.transact() as db:
        with pytest.raises(RefusedError):
            await device_codes.approve(db, "ABCD-EFGH", USER, NOW + 60)
        assert await device_codes.find_by_user_code(db, "NONE") is None


async def test_a_poll_that_comes_too_early_makes_the_interval_longer(store: Store) -> None:
    await new_code(store)
    async with store.transact() as db:
        first = await device_codes.poll(db, "code", NOW)
        assert not device_codes.too_early(first, NOW)
        second = await device_codes.poll(db, "code", NOW + 1)
        assert device_codes.too_early(second, NOW + 1)
        third = await device_codes.poll(db, "code", NOW + 4)
        assert third.interval_s == 2 + device_codes.SLOW_DOWN_S
        assert device_codes.too_early(third, NOW + 4)
        for unknown, now in (("nothing", NOW), ("code", NOW + 60)):
            with pytest.raises(RefusedError) as refused:
                await device_codes.poll(db, unknown, now)
            assert refused.value.reason is Reason.SIGN_IN_EXPIRED


async def test_a_web_session_lives_until_it_expires_or_is_revoked(store: Store) -> None:
    async with store.transact() as db:
        for number in range(3):
            await web_sessions.create(
                db, f"hash{number}", user=USER, expires=NOW + 60, label="console", now=NOW + number, scopes=("read",)
            )
        await web_sessions.create(db, "other", user=UserId("usr_two"), expires=NOW + 60, label="x", now=NOW)
        found = await web_sessions.find(db, "hash0", NOW)
        assert found is not None
        assert (found.user, found.label, found.scopes) == (USER, "console", ("read",))
        assert await web_sessions.find(db, "hash0", NOW + 60) is None
        assert await web_sessions.find(db, "nothing", NOW) is None
        assert [one.hash for one in await web_sessions.list_of(db, USER, NOW)] == ["hash0", "hash1", "hash2"]
        assert not await web_sessions.revoke(db, "hash0", NOW, user=UserId("usr_two"))
        assert await web_sessions.revoke(db, "hash0", NOW)
        assert not await web_sessions.revoke(db, "hash0", NOW)
        assert await web_sessions.find(db, "hash0", NOW) is None
        await web_sessions.revoke_all(db, USER, NOW)
        assert await web_sessions.list_of(db, USER, NOW) == []
        other = await web_sessions.find(db, "other", NOW)
        assert other is not None
        assert other.scopes == ()
        await web_sessions.purge(db, NOW + 61)
        assert await web_sessions.find(db, "other", NOW) is None


async def test_sealed_secrets_are_kept_by_name(store: Store) -> None:
    async with store.transact() as db:
        await secrets.put(db, "signing_key:a", b"\x00\xff", NOW)
        await secrets.put(db, "signing_key:b", b"b", NOW)
        await secrets.put(db, "signing%key", b"c", NOW)
        await secrets.put(db, "signing_key:b", b"bb", NOW)
        assert await secrets.get(db, "signing_key:a") == b"\x00\xff"
        assert await secrets.get(db, "signing_key:b") == b"bb"
        assert await secrets.get(db, "nothing") is None
        await secrets.delete(db, "signing_key:a")
        assert await secrets.get(db, "signing_key:a") is None
        assert await secrets.get(db, "signing_key:b") == b"bb"


def record(**parts: object) -> ConnectionRecord:
    ids = {
        "flow": fresh_id("flow"),
        "device": "dev_one",
        "user": USER,
        "resource": "res_one",
        "network": "net_one",
        "connector": "con_one",
    }
    return flow_record(**{**ids, "bytes_up": 2**40, "bytes_down": 0, "grants": ("gra_one", "gra_two"), **parts})


async def test_records_are_stored_once_however_often_they_are_sent(store: Store) -> None:
    one, two = record(), record(port=None, resource=None, grants=())
    async with store.transact() as db:
        await records.append(db, "con_one", [one, two])
    async with store.transact() as db:
        await records.append(db, "con_one", [two, one])
        await records.append(db, "con_one", [])
        stored = await records.page(db)
        assert {item.record for item in stored} == {one, two}
        assert len(stored) == 2


async def test_a_flow_id_used_again_hides_nothing(store: Store) -> None:
    one = record()
    async with store.transact() as db:
        await records.append(db, "con_one", [one, replace(one, started_ms=1500, host="other.internal")])
        await records.append(db, "con_two", [one])
        assert len(await records.page(db)) == 3


async def test_records_are_paged_and_filtered(store: Store) -> None:
    many = [record(ended_ms=number, outcome="no_grant" if number % 2 else "normal") for number in range(6)]
    async with store.transact() as db:
        for one in many:
            await records.append(db, "con_one", [one])
        first = await records.page(db, limit=4)
        rest = await records.page(db, before=first[-1].id, limit=4)
        assert [item.record.ended_ms for item in (*first, *rest)] == [5, 4, 3, 2, 1, 0]

        async def ends(where: RecordFilter) -> list[int]:
            return [item.record.ended_ms for item in await records.page(db, where=where)]

        assert await ends(RecordFilter(denied=True)) == [5, 3, 1]
        assert await ends(RecordFilter(denied=False, since_ms=2, until_ms=4)) == [2]
        assert await ends(RecordFilter(outcome="no_grant", user=USER, device="dev_one")) == [5, 3, 1]
        assert await ends(RecordFilter(resource="res_two")) == []
        await records.purge(db, 3)
        assert await ends(RecordFilter(network="net_one", connector="con_one")) == [5, 4, 3]


async def test_the_first_answer_to_a_request_stays(store: Store) -> None:
    async with store.transact() as db:
        assert await idempotency.get(db, USER, "key") is None
        await idempotency.put(db, USER, "key", request_hash="h", status=201, body="{}", now=NOW)
        await idempotency.put(db, USER, "key", request_hash="i", status=500, body="x", now=NOW + 1)
        answer = await idempotency.get(db, USER, "key")
        assert answer is not None
        assert (answer.request_hash, answer.status, answer.body, answer.created_at) == ("h", 201, "{}", NOW)
        assert await idempotency.get(db, "usr_two", "key") is None
        await idempotency.purge(db, NOW + 1)
        assert await idempotency.get(db, USER, "key") is None


async def test_a_transaction_that_raises_leaves_nothing(store: Store) -> None:
    with suppress(ZeroDivisionError):
        async with store.transact() as db:
            await secrets.put(db, "name", b"x", NOW)
            raise ZeroDivisionError
    async with store.read() as db:
        assert await secrets.get(db, "name") is None
