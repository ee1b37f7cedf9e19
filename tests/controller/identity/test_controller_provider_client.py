"""A provider that is slow, dead, hostile or inside our own network harms nobody else (T-13, T-14, T-15, F-32)."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator

import pytest
from rogue_provider import CLIENT, RogueProvider, claims, flow, rogue_provider, rsa_key, sign

from controller.identity import provider_client
from controller.identity.provider_client import CONCURRENT_MAX, KEYS_COOLDOWN_S, ProviderClient, provider_context
from protocol.errors import LocalError, RefusedError
from protocol.reasons import Reason
from runtime.clock import ManualClock


@pytest.fixture
async def rogue() -> AsyncIterator[RogueProvider]:
    async with rogue_provider() as made:
        yield made


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def client(clock: ManualClock, *, loopback: bool = True) -> ProviderClient:
    return ProviderClient(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), clock, loopback=loopback, host_roots=False)


async def redeem(made: ProviderClient, rogue: RogueProvider, clock: ManualClock, *wants: str) -> dict[str, object]:
    left = flow(rogue.issuer, now=clock.wall())
    key = rogue.keys[-1]
    rogue.token = {"access_token": "at", "id_token": sign(claims(left, now=clock.wall()), key), **rogue.token}
    return await made.redeem(left, code="c", client_id=CLIENT, client_secret="s", wants=wants)


async def reason_of(coroutine: object) -> Reason:
    with pytest.raises(RefusedError) as failed:
        await coroutine  # type: ignore[misc]
    return failed.value.reason


async def test_documents_and_keys_are_fetched_once(rogue: RogueProvider, clock: ManualClock) -> None:
    made = client(clock)
    for _ in range(3):
        rogue.token = {}
        assert (await redeem(made, rogue, clock))["sub"] == "248289761001"
    assert rogue.asked == {"/.well-known/openid-configuration": 1, "/keys": 1, "/token": 3}


async def test_userinfo_fills_in_and_never_overrules(rogue: RogueProvider, clock: ManualClock) -> None:
    rogue.userinfo = {"sub": "248289761001", "email": "a@b.example", "iss": "https://evil.example"}
    found = await redeem(client(clock), rogue, clock, "email")
    assert (found["email"], found["iss"]) == ("a@b.example", rogue.issuer)
    rogue.token, rogue.userinfo = {}, {"sub": "somebody else", "email": "a@b.example"}
    assert await reason_of(redeem(client(clock), rogue, clock, "email")) is Reason.IDENTITY_REFUSED


async def test_t14_floods_of_unknown_keys_cause_one_fetch_in_a_while(rogue: RogueProvider, clock: ManualClock) -> None:
    made = client(clock)
    await redeem(made, rogue, clock)
    stranger = rsa_key("unknown")
    for _ in range(50):
        left = flow(rogue.issuer, now=clock.wall())
        rogue.token = {"id_token": sign(claims(left, now=clock.wall()), stranger)}
        assert await reason_of(redeem(made, rogue, clock)) is Reason.IDENTITY_REFUSED
    assert rogue.asked["/keys"] == 1, "keys were fetched a moment ago"
    clock.advance(KEYS_COOLDOWN_S)
    for _ in range(50):
        await reason_of(redeem(made, rogue, clock))
    assert rogue.asked["/keys"] == 2
    rogue.token = {}
    assert await redeem(made, rogue, clock), "good tokens are unaffected"
    clock.advance(KEYS_COOLDOWN_S)
    rogue.keys.append(rsa_key("k2"))
    rogue.token = {}
    assert await redeem(made, rogue, clock), "a key that is really new is found"


async def test_t14_old_keys_stay_when_new_ones_cannot_be_had(rogue: RogueProvider, clock: ManualClock) -> None:
    made = client(clock)
    await redeem(made, rogue, clock)
    clock.advance(7200)
    rogue.token = {}
    rogue.answers["/keys"] = b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"
    assert await redeem(made, rogue, clock)


async def test_t13_a_provider_that_never_answers_is_given_up_and_left_alone(
    rogue: RogueProvider, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_client, "DEADLINE_S", 0.2)
    made = client(clock)
    rogue.hang = True
    assert await reason_of(made.metadata(rogue.issuer)) is Reason.IDENTITY_PROVIDER_UNREACHABLE
    assert await reason_of(made.metadata(rogue.issuer)) is Reason.IDENTITY_PROVIDER_UNREACHABLE
    assert sum(rogue.asked.values()) == 1, "the second one did not wait for it again"
    clock.advance(provider_client.FAILED_FOR_S)
    rogue.hang = False
    assert (await made.metadata(rogue.issuer)).issuer == rogue.issuer


async def test_t13_only_so_many_wait_for_one_provider(
    rogue: RogueProvider, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_client, "DEADLINE_S", 0.3)
    made = client(clock)
    await redeem(made, rogue, clock)
    rogue.hang = True
    answers = await asyncio.gather(
        *(redeem(made, rogue, clock) for _ in range(CONCURRENT_MAX * 3)), return_exceptions=True
    )
    assert all(isinstance(one, RefusedError) for one in answers)
    assert rogue.asked["/token"] == 1 + CONCURRENT_MAX


@pytest.mark.parametrize(
    "issuer",
    [
        "https://127.0.0.1:1",
        "https://localhost:1",
        "https://[::1]:1",
        "https://169.254.169.254",
        "https://[::ffff:169.254.169.254]",
        "https://[64:ff9b::a9fe:a9fe]",
        "https://[fd00:ec2::254]",
        "https://0.0.0.0",
        "https://2130706433",
        "http://127.0.0.1:1",
    ],
)
async def test_t15_nothing_inside_is_ever_asked(
    issuer: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dial(*_: object, **__: object) -> None:
        raise AssertionError("a connection was attempted")

    monkeypatch.setattr("runtime.sockets.connect_one", dial)
    with pytest.raises(RefusedError):
        await client(clock, loopback=False).metadata(issuer)


async def test_t15_a_name_that_leads_inside_is_refused_whatever_else_it_leads_to(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolve(*_: object, **__: object) -> list[object]:
        return [(2, 1, 6, "", (address, 443)) for address in ("203.0.113.7", "169.254.169.254")]

    async def dial(*_: object, **__: object) -> None:
        raise AssertionError("a connection was attempted")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    monkeypatch.setattr("runtime.sockets.connect_one", dial)
    with pytest.raises(RefusedError) as failed:
        await client(clock, loopback=False).metadata("https://rebound.example")
    assert "169.254.169.254" not in failed.value.detail


async def test_t15_redirects_are_not_followed(rogue: RogueProvider, clock: ManualClock) -> None:
    async with rogue_provider() as other:
        moved = f"HTTP/1.1 302 Found\r\nLocation: {other.issuer}/.well-known/openid-configuration\r\n"
        rogue.answers["/.well-known/openid-configuration"] = f"{moved}Content-Length: 0\r\n\r\n".encode()
        assert await reason_of(client(clock).metadata(rogue.issuer)) is Reason.IDENTITY_REFUSED
        assert not other.asked


async def test_t12_an_endless_answer_is_cut_off(rogue: RogueProvider, clock: ManualClock) -> None:
    huge = b'{"a":"' + b"x" * (provider_client.METADATA_MAX_BYTES + 1) + b'"}'
    rogue.answers["/.well-known/openid-configuration"] = (
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(huge) + huge
    )
    assert await reason_of(client(clock).metadata(rogue.issuer)) is Reason.IDENTITY_PROVIDER_UNREACHABLE


@pytest.mark.parametrize("answer", [{}, {"id_token": 7}, {"error": "invalid_grant"}])
async def test_an_answer_without_an_id_token_is_none(
    answer: dict[str, object], rogue: RogueProvider, clock: ManualClock
) -> None:
    rogue.token = {"id_token": None, **answer}
    assert await reason_of(redeem(client(clock), rogue, clock)) is Reason.IDENTITY_REFUSED


def test_a_file_without_certificates_is_named(tmp_path: object) -> None:
    from pathlib import Path

    empty = Path(str(tmp_path)) / "empty.pem"
    empty.write_text("")
    with pytest.raises(LocalError) as failed:
        provider_context(empty)
    assert failed.value.reason is Reason.CONFIG_INVALID
    assert provider_context(None).verify_mode is ssl.CERT_REQUIRED


async def test_the_hosts_roots_are_read_once_before_the_first_request(rogue: RogueProvider, clock: ManualClock) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asking = ProviderClient(context, clock, loopback=True)
    assert context.cert_store_stats()["x509"] == 0
    await asyncio.gather(*(asking.metadata(rogue.issuer) for _ in range(3)))
    assert context.cert_store_stats() == ssl.create_default_context().cert_store_stats()


async def test_what_keeps_a_provider_away_is_told_in_words(clock: ManualClock) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(RefusedError, match="there is no connection to its host"):
            await client(clock).metadata(f"http://127.0.0.1:{nobody.getsockname()[1]}")
