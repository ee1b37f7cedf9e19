"""When the host's resolver settings are taken, followed, given back or left closed; and what people are told of it."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import dns.message
import pytest
from client_policy import WALL, entry, index, snapshot

from client.core.addresses import plan_addresses
from client.core.classify import Classifier
from client.core.dns_guard import withheld_patterns
from client.core.synthetic import SyntheticPool
from client.daemon import host_dns
from client.daemon.accounts import ACTIVE_FILE, FOLDER
from client.daemon.dns_verbs import dns_verbs
from client.daemon.host_dns import HostDns
from client.daemon.policy import Policy
from client.daemon.settings import ClientSettings
from client.host.journal import Journal
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.clock import SystemClock
from runtime.files import StateDir
from runtime.status_socket import Peer
from runtime.tasks import TaskScope

NAME, CLOSED = "wiki.internal", "closed.internal"


class FakeSettings:
    """The host's resolver: what it was told last."""

    name, explanation, splits, server = "test", "because", True, "100.96.0.1"

    def __init__(self) -> None:
        self.domains: tuple[str, ...] | None = None
        self.taken_away = False
        self.search: tuple[str, ...] = ()

    def apply(self, domains: Iterable[str]) -> None:
        self.domains = tuple(domains)

    update = apply

    def repair(self) -> bool:
        taken, self.taken_away = self.taken_away, False
        return taken

    def upstreams(self) -> tuple[str, ...]:
        return ("192.0.2.53",)

    def searches(self) -> tuple[str, ...]:
        return self.search

    def restore(self) -> None:
        self.domains = None


class FakeServer:
    """Decides, and never listens."""

    def __init__(self, address: object, decider: Any, *_: object, **__: object) -> None:
        self._decider = decider

    async def start(self) -> None: ...

    def stop(self) -> None: ...

    def answered_by(self, query: bytes) -> str:
        return type(self._decider.decide(query, 1.0, tcp=True)).__name__

    async def answer(self, query: bytes, *, tcp: bool) -> bytes:
        decision = self._decider.decide(query, 1.0, tcp=tcp)
        return bytes(getattr(decision, "data", dns.message.make_response(dns.message.from_wire(query)).to_wire()))


class FakePolicy:
    """A whitelist with one name, and one that is withheld; ``current`` None: nobody is signed in."""

    def __init__(self) -> None:
        self.current: Any = replace(snapshot(entry(NAME)), withheld=withheld_patterns([CLOSED]))

    def domains(self) -> tuple[str, ...]:
        return () if self.current is None else (NAME,)

    def routes(self) -> tuple[object, ...]:
        return ()


class World:
    def __init__(self, folder: Path, scope: TaskScope, *, strict: bool) -> None:
        self.settings = FakeSettings()
        self.policy = FakePolicy()
        options = ClientSettings(state_dir=folder / "state", runtime_dir=folder, strict_dns=strict)
        StateDir(options.state_dir).ensure()
        self.dns = HostDns(options, Journal(folder / "journal"), SystemClock(), scope, spared=frozenset)

    async def follow(self, *, active: bool = True) -> None:
        await self.dns.follow(cast(Policy, self.policy), active=active)


@asynccontextmanager
async def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, strict: bool = False) -> AsyncIterator[World]:
    async with TaskScope("test") as scope:
        world = World(tmp_path, scope, strict=strict)
        monkeypatch.setattr(host_dns, "choose_resolver_settings", lambda *_, **__: world.settings)
        monkeypatch.setattr(host_dns, "DnsServer", FakeServer)
        plan = plan_addresses([])
        classifier = Classifier(SyntheticPool(plan))
        classifier.set_clock(0.0, WALL)
        classifier.use(index(entry(NAME)))
        await world.dns.prepare()
        nothing = cast(Any, object())
        await world.dns.start(plan, nothing, classifier, SyntheticPool(plan), nothing, nothing)
        yield world
        await world.dns.stop()


async def test_names_and_the_pools_reverse_zones_come_here_while_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with host(tmp_path, monkeypatch) as world:
        assert world.dns.status()["mode"] == "off"
        await world.follow()
        assert world.settings.domains is not None
        assert {NAME, "96.100.in-addr.arpa"} <= set(world.settings.domains)
        assert CLOSED not in world.settings.domains
        assert (world.dns.status()["mode"], world.dns.status()["strict"]) == ("test", "off")
        await world.follow(active=False)
        assert world.settings.domains is None
        await world.follow()
    assert world.settings.domains is None


async def test_t55_strict_dns_stays_closed_when_down_and_when_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with host(tmp_path, monkeypatch, strict=True) as world:
        await world.follow()
        world.policy.current = None
        await world.follow(active=False)
        assert world.settings.domains is not None
        assert {NAME, CLOSED} <= set(world.settings.domains)
        assert (await world.dns.query(CLOSED, "TXT"))["rcode"] == "SERVFAIL"
    assert world.settings.domains is not None


async def test_t55_search_domains_are_closed_behind_every_name_and_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with host(tmp_path, monkeypatch, strict=True) as world:
        world.settings.search = ("office.example",)
        await world.follow()
        made_up = {f"{NAME}.office.example", f"{CLOSED}.office.example"}
        assert made_up <= set(world.settings.domains or ())
        assert world.dns.describe()["searches"] == ["office.example"]
        assert (await world.dns.query(f"{NAME}.office.example", "A"))["rcode"] == "NXDOMAIN"
        # The host is in another network now, and its DHCP server has told it so.
        world.settings.search = ("cafe.example",)
        await world.dns.repair()
        assert f"{NAME}.cafe.example" in (world.settings.domains or ())
        assert not made_up & set(world.settings.domains or ())
        await world.dns.set_strict(False)
        assert world.dns.describe()["searches"] == []
        assert f"{NAME}.cafe.example" not in (world.settings.domains or ())


async def test_t55_the_next_start_is_closed_before_anybody_has_signed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with host(tmp_path, monkeypatch, strict=True) as world:
        await world.follow()
    async with host(tmp_path, monkeypatch, strict=True) as world:
        world.policy.current = None
        await world.follow(active=False)
        assert CLOSED in (world.settings.domains or ())
        assert world.dns.describe()["guarded"] == 2


async def test_t55_a_switch_opens_nothing_of_the_old_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with host(tmp_path, monkeypatch, strict=True) as world:
        await world.follow()
        acme = StateDir(tmp_path / "state" / FOLDER / "acme")
        acme.ensure()
        StateDir(tmp_path / "state").write_json(ACTIVE_FILE, {"account": "acme"})
        world.policy.current = replace(snapshot(entry("shop.acme")), withheld=())
        await world.follow()
        assert {NAME, CLOSED, "shop.acme"} <= set(world.settings.domains or ())
        assert (await world.dns.query(CLOSED, "TXT"))["rcode"] == "SERVFAIL"


async def test_settings_that_were_taken_away_are_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with host(tmp_path, monkeypatch) as world:
        assert not await world.dns.repair()
        await world.follow()
        world.settings.taken_away = True
        assert await world.dns.repair()
        assert world.dns.describe()["upstreams"] == ["192.0.2.53"]


async def test_only_root_forgets_what_strict_dns_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def emit(_event: object) -> None: ...

    async with host(tmp_path, monkeypatch, strict=True) as world:
        await world.follow()
        verbs = dns_verbs(world.dns)
        user, root = (Peer(pid=1, uid=uid, gid=uid) for uid in (1000, 0))
        with pytest.raises(LocalError) as caught:
            await verbs["dns_reset"]({"forget": True}, user, emit)
        assert caught.value.reason is Reason.NEEDS_ROOT
        # What the whitelist in force holds and withholds is guarded again at once.
        assert (await verbs["dns_reset"]({"forget": True}, root, emit))["guarded"] == 2
        world.policy.current = None
        assert (await verbs["dns_reset"]({"forget": False}, user, emit))["guarded"] == 2
        assert (await verbs["dns_reset"]({"forget": True}, root, emit))["guarded"] == 0


@pytest.mark.parametrize("args", [{}, {"name": ""}, {"name": 5}, {"name": "a..b"}, {"name": NAME, "type": "NOPE"}])
async def test_a_question_that_makes_no_sense_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: dict[str, Any]
) -> None:
    async def emit(_event: object) -> None: ...

    async with host(tmp_path, monkeypatch) as world:
        with pytest.raises(LocalError) as caught:
            await dns_verbs(world.dns)["dns_query"](args, Peer(pid=1, uid=0, gid=0), emit)
        assert caught.value.reason is Reason.INVALID_INPUT


async def test_t55_strict_dns_is_turned_on_and_off_while_the_host_asks_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[dict[str, Any]] = []
    async with host(tmp_path, monkeypatch) as world:

        def choosing(journal: Journal, *rest: Any, **how: Any) -> Any:
            made.append({"journal": journal, "servers": rest[1], **how})
            return world.settings

        monkeypatch.setattr(host_dns, "choose_resolver_settings", choosing)
        await world.follow()
        await world.dns.set_strict(True)
        await world.dns.set_strict(True)
        assert (world.dns.describe()["strict"], world.dns.describe()["guarded"]) == (True, 2)
        world.policy.current = None
        await world.follow(active=False)
        assert world.settings.domains is not None, "names stay closed while the client is down"
        await world.dns.set_strict(False)
        assert world.dns.describe()["guarded"] == 0
        assert world.dns.status()["mode"] == "off", "the host's settings are its own again"
    assert [item["strict"] for item in made] == [False, True]
    assert made[0]["journal"] is not made[1]["journal"], "what is to stay closed is not what a clean-up takes back"
    assert made[0]["servers"] != made[1]["servers"], "the address of strict DNS outlives the device"


async def test_strict_dns_that_cannot_be_turned_on_leaves_all_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with host(tmp_path, monkeypatch) as world:

        def refusing(*_: Any, strict: bool) -> Any:
            if strict:
                raise LocalError(Reason.DNS_SETUP_FAILED, "no link")
            return world.settings

        monkeypatch.setattr(host_dns, "choose_resolver_settings", refusing)
        await world.follow()
        with pytest.raises(LocalError, match="no link"):
            await world.dns.set_strict(True)
        assert (world.dns.strict, world.dns.status()["mode"]) == (False, "test")


async def test_a_question_says_whether_the_client_is_up_and_why_it_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with host(tmp_path, monkeypatch, strict=True) as world:
        await world.follow()
        answer = await world.dns.query(CLOSED, "TXT")
        assert (answer["up"], answer["reason"]) == (True, "name_withheld")
        assert (await world.dns.query("elsewhere.example", "A"))["reason"] is None
        await world.follow(active=False)
        assert (await world.dns.query("elsewhere.example", "A"))["up"] is False
