"""The connector's resolver: coalesces, caches, reloads, and fails fast (T-33, F-34)."""

import asyncio
import ipaddress
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import dns.message
import dns.rcode
import pytest
from fake_dns import FakeDns, fake_dns

from connector import resolver as module
from connector.resolver import Resolved, Resolver
from protocol.errors import RemoteError
from protocol.reasons import Reason
from runtime.clock import ManualClock
from runtime.tasks import TaskScope, cancel_and_wait

FOUR, SIX = ipaddress.ip_address("10.0.0.5"), ipaddress.ip_address("2001:db8::5")


@asynccontextmanager
async def resolving() -> AsyncIterator[tuple[FakeDns, Resolver, ManualClock]]:
    clock = ManualClock()
    async with fake_dns() as server:
        server.zone[("db.corp", "A")] = ["10.0.0.5"]
        server.zone[("db.corp", "AAAA")] = ["2001:db8::5"]
        yield server, Resolver(clock, [("127.0.0.1", server.port)], hosts_file=Path("/nonexistent")), clock


async def test_both_families_in_one_answer() -> None:
    async with resolving() as (server, resolver, _):
        assert await resolver.resolve("db.corp") == Resolved((FOUR, SIX), 300, dns.rcode.NOERROR)
        assert sorted(server.asked) == [("db.corp", "A"), ("db.corp", "AAAA")]
        assert resolver.servers() == ("127.0.0.1",)


async def test_answers_are_kept_for_their_ttl_and_not_longer_than_our_own() -> None:
    async with resolving() as (server, resolver, clock):
        server.ttl = 10
        await resolver.resolve("db.corp")
        clock.advance(9)
        await resolver.resolve("db.corp")
        assert len(server.asked) == 2
        clock.advance(2)
        await resolver.resolve("db.corp")
        assert len(server.asked) == 4
        server.ttl = 100_000
        clock.advance(20)
        await resolver.resolve("db.corp")
        clock.advance(module.CACHE_TTL_MAX_S + 1)
        await resolver.resolve("db.corp")
        assert len(server.asked) == 8


async def test_t33_a_ttl_of_zero_is_not_kept() -> None:
    async with resolving() as (server, resolver, _):
        server.ttl = 0
        await resolver.resolve("db.corp")
        await resolver.resolve("db.corp")
        assert len(server.asked) == 4


async def test_equal_questions_are_asked_once() -> None:
    async with resolving() as (server, resolver, _):
        answers = await asyncio.gather(*(resolver.resolve("db.corp") for _ in range(50)))
        assert len(set(answers)) == 1
        assert len(server.asked) == 2


async def test_whoever_waits_does_not_suffer_from_a_cancelled_asker() -> None:
    async with resolving() as (server, resolver, _), TaskScope("test") as scope:
        server.silent = True
        first = scope.spawn(resolver.resolve("db.corp"), name="first")
        async with asyncio.timeout(60):
            while not server.asked:
                await asyncio.sleep(0.01)
        second = scope.spawn(resolver.resolve("db.corp"), name="second")
        await asyncio.sleep(0)
        server.silent = False
        await cancel_and_wait(first)
        assert (await second).addresses == (FOUR, SIX)


async def test_one_family_that_fails_does_not_hide_the_other() -> None:
    async with resolving() as (server, resolver, _):
        server.zone[("four.corp", "A")] = ["10.0.0.5"]
        assert (await resolver.resolve("four.corp")).addresses == (FOUR,)


async def test_nothing_there_and_nothing_of_that_kind() -> None:
    async with resolving() as (server, resolver, _):
        server.zone[("mail.corp", "MX")] = ["10 mx.corp."]
        assert (await resolver.resolve("none.corp")).rcode == dns.rcode.NXDOMAIN
        assert (await resolver.resolve("mail.corp")).rcode == dns.rcode.NOERROR


async def test_f34_a_failing_resolver_is_not_believed_for_long() -> None:
    async with resolving() as (server, resolver, _):
        server.failing = True
        assert (await resolver.resolve("db.corp")).rcode == dns.rcode.SERVFAIL
        server.failing = False
        assert (await resolver.resolve("db.corp")).addresses == (FOUR, SIX)


async def test_f34_a_silent_resolver_is_given_up_within_three_seconds() -> None:
    async with resolving() as (server, resolver, _):
        server.silent = True
        began = time.monotonic()
        assert (await resolver.resolve("db.corp")).rcode == dns.rcode.SERVFAIL
        assert time.monotonic() - began < 3.0
        with pytest.raises(RemoteError) as caught:
            await resolver.forward(dns.message.make_query("db.corp.", "TXT"))
        assert caught.value.reason is Reason.RESOLVER_FAILED


async def test_a_second_resolver_answers_for_a_dead_one() -> None:
    async with fake_dns() as dead, fake_dns() as alive:
        dead.silent = True
        alive.zone[("db.corp", "A")] = ["10.0.0.5"]
        alive.zone[("db.corp", "TXT")] = ["x"]
        servers = [("127.0.0.1", dead.port), ("127.0.0.1", alive.port)]
        resolver = Resolver(ManualClock(), servers, hosts_file=Path("/nonexistent"))
        assert (await resolver.resolve("db.corp")).addresses == (FOUR,)
        assert (await resolver.forward(dns.message.make_query("db.corp.", "TXT"))).answer


async def test_resolv_conf_is_read_again_when_it_changes(tmp_path: Path) -> None:
    clock, conf = ManualClock(), tmp_path / "resolv.conf"
    conf.write_text("nameserver 192.0.2.1\noptions edns0\nsearch evil.example\n")
    resolver = Resolver(clock, resolv_conf=conf, hosts_file=Path("/nonexistent"))
    assert resolver.servers() == ("192.0.2.1",)
    conf.write_text("nameserver 192.0.2.2\nnameserver 2001:db8::53\n")
    assert resolver.servers() == ("192.0.2.1",)
    clock.advance(module.RELOAD_CHECK_S + 1)
    assert resolver.servers() == ("192.0.2.2", "2001:db8::53")


@pytest.mark.parametrize("text", [None, "", "rubbish\n", "nameserver not-an-address\n"])
async def test_without_resolvers_nothing_resolves_and_nothing_crashes(tmp_path: Path, text: str | None) -> None:
    conf = tmp_path / "resolv.conf"
    if text is not None:
        conf.write_text(text)
    resolver = Resolver(ManualClock(), resolv_conf=conf, hosts_file=Path("/nonexistent"))
    result = await resolver.resolve("db.corp")
    assert result.addresses == ()
    with pytest.raises(RemoteError) as caught:
        result.usable("db.corp")
    assert caught.value.reason is Reason.RESOLVER_FAILED


async def test_the_hosts_file_comes_first(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text(
        "# comment\n10.0.0.7 Db.Corp db # ours\n::1 localhost\nrubbish line\n10.0.0.8 db.corp *.bad\nfe80::1%eth0 zone\n"
    )
    clock = ManualClock()
    async with fake_dns() as server:
        resolver = Resolver(clock, [("127.0.0.1", server.port)], hosts_file=hosts)
        found = await resolver.resolve("db.corp")
        assert [str(address) for address in found.addresses] == ["10.0.0.7", "10.0.0.8"]
        assert server.asked == []
        hosts.write_text("")
        clock.advance(module.RELOAD_CHECK_S + 1)
        assert (await resolver.resolve("db.corp")).rcode == dns.rcode.NXDOMAIN
