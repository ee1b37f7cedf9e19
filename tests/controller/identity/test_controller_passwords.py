"""Passwords: argon2id, constant work, bounded."""

import asyncio
from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import VerifyMismatchError

from controller.identity import passwords as module
from controller.identity.passwords import Passwords, _decoy, check_new_password, generate_password
from protocol.errors import RefusedError
from protocol.reasons import Reason

CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    made = Passwords(CHEAP)
    yield made
    made.close()


async def test_the_right_password_matches_and_no_other(passwords: Passwords) -> None:
    stored = await passwords.hash("a quiet lighthouse")
    assert stored.startswith("$argon2id$")
    assert await passwords.verify(stored, "a quiet lighthouse")
    assert not await passwords.verify(stored, "a quiet lighthousE")
    assert not await passwords.verify(stored, "x" * 100_000)
    assert await passwords.hash("a quiet lighthouse") != stored


async def test_no_account_and_a_damaged_hash_are_just_wrong(passwords: Passwords) -> None:
    assert not await passwords.verify(None, "whatever")
    assert not await passwords.verify("not a hash", "whatever")


async def test_an_unknown_account_takes_a_verification_too(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    original = PasswordHasher.verify

    def spy(self: PasswordHasher, stored: str, password: str) -> bool:
        seen.append(stored)
        return original(self, stored, password)

    monkeypatch.setattr(PasswordHasher, "verify", spy)
    await passwords.verify(None, "whatever")
    assert len(seen) == 1
    assert seen[0].startswith("$argon2id$")


@pytest.mark.parametrize("hasher", [PasswordHasher(), PasswordHasher(2, 128, 1, hash_len=24, salt_len=12)])
def test_what_stands_for_an_unknown_account_is_verified_like_a_real_hash(hasher: PasswordHasher) -> None:
    """A malformed one would be refused at once, and tell by that which accounts there are."""
    assert extract_parameters(_decoy(hasher)) == extract_parameters(hasher.hash("x"))
    with pytest.raises(VerifyMismatchError):
        hasher.verify(_decoy(hasher), "x")


async def test_parameters_that_changed_ask_for_a_new_hash(passwords: Passwords) -> None:
    stored = await passwords.hash("a quiet lighthouse")
    assert not passwords.needs_rehash(stored)
    stronger = Passwords(PasswordHasher(time_cost=2, memory_cost=64, parallelism=1))
    assert stronger.needs_rehash(stored)
    stronger.close()


async def test_d10_a_flood_is_refused_instead_of_queued(passwords: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUEUE_MAX", 3)
    stored = await passwords.hash("a quiet lighthouse")
    results = await asyncio.gather(
        *(passwords.verify(stored, "a quiet lighthouse") for _ in range(10)), return_exceptions=True
    )
    refused = [item for item in results if isinstance(item, RefusedError)]
    assert len(refused) == 7
    assert {item.reason for item in refused} == {Reason.UNAVAILABLE}
    assert results.count(True) == 3


@pytest.mark.parametrize(
    "password", ["", "short", "x" * 12, "abababababababab", "y" * 300, "ada.lovelace@corp.example", "ADA.LOVELACE"]
)
def test_bad_passwords_are_refused(password: str) -> None:
    with pytest.raises(RefusedError) as refused:
        check_new_password(password, email="ada.lovelace@corp.example")
    assert refused.value.reason is Reason.INVALID_INPUT
    assert not password or password not in refused.value.detail


def test_good_ones_pass_and_generated_ones_are_good() -> None:
    check_new_password("a quiet lighthouse", email="ada@corp.example")
    made = {generate_password() for _ in range(50)}
    assert len(made) == 50
    for password in made:
        check_new_password(password)
