"""Names on a real host: every kind of question, what the wire shows of it, and strict DNS with a dead daemon (C9, C18)."""

import signal
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.processes import wait_for
from lab.product import Product
from lab.story import CURL

TYPES = ("A", "AAAA", "HTTPS", "SVCB", "ANY", "TXT", "MX", "SRV", "CNAME", "NS", "SOA", "PTR", "CAA", "TLSA", "DS")
NAMES = (
    "wiki.corp.internal",
    "WiKi.cOrP.InTeRnAl.",
    "app.dev.corp.internal",
    "nothing.dev.corp.internal",
    "_8443._https.wiki.corp.internal",
    "_http._tcp.db.corp.internal",
    "10.0.20.10.in-addr.arpa",
)
SECRETS = (b"\x04corp\x08internal", b"\x0220\x0210\x07in-addr\x04arpa")
"""As they stand in questions: suffix of the resources' names, and of their addresses in reverse."""
CONTROL = b"\x06public\x07example"


class Capture:
    """What passes the laptop's uplink to and from name servers."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def holds(self, wire: bytes) -> bool:
        """Whether a packet holds these bytes, in upper or lower case."""
        data = self.path.read_bytes().lower() if self.path.exists() else b""
        return wire in data

    def count(self) -> int:
        """How many packets there are."""
        data = self.path.read_bytes()
        found, at = 0, 24
        while at + 16 <= len(data):
            at += 16 + struct.unpack_from("<I", data, at + 8)[0]
            found += 1
        return found


@contextmanager
def capture(product: Product, path: Path) -> Iterator[Capture]:
    """Captures until the block ends; a question of our own about a public name shows that it works."""
    laptop = product.lab["laptop"]
    process = laptop.start(
        *(
            "/usr/bin/tcpdump",
            "-i",
            "uplink",
            "-p",
            "-U",
            "-s",
            "0",
            "-Z",
            "root",
            "-w",
            str(path),
            "port 53 or port 853",
        ),
        log=path.with_suffix(".log"),
    )
    product.lab.adopt("tcpdump", process)
    found = Capture(path)

    def control() -> bool:
        laptop.run("/usr/bin/dig", "+tries=1", "+time=1", "@203.0.113.53", "public.example", check=False)
        return found.holds(CONTROL)

    try:
        wait_for("the capture", control, 60)
        yield found
        before = found.count()
        laptop.run("/usr/bin/dig", "+tries=1", "+time=5", "@203.0.113.53", "end.public.example", check=False)
        # What was captured before this question is in the file when the question is.
        wait_for("the end of the capture", lambda: found.count() > before and found.holds(b"\x03end" + CONTROL), 20)
    finally:
        product.lab.stop(process, signal.SIGTERM)


def dig(product: Product, *words: str) -> str:
    """One dig with any number of questions."""
    return product.lab["laptop"].run("/usr/bin/dig", "+tries=1", "+time=8", *words, check=False, deadline=120).stdout


def works(product: Product, *command: str) -> None:
    """The lab's hosts give a name server two seconds and one try, which a busy machine may miss."""
    laptop = product.lab["laptop"]
    wait_for(" ".join(command), lambda: laptop.run(*command, check=False).returncode == 0, 20)


def test_t54_no_question_about_a_resource_leaves_the_host(product: Product, tmp_path: Path) -> None:
    laptop = product.lab["laptop"]
    with capture(product, tmp_path / "dns.pcap") as captured:
        for transport in ("+notcp", "+tcp"):
            questions = [word for name in NAMES for kind in TYPES for word in (name, kind)]
            out = dig(product, transport, "+noall", "+comments", "+ignore", *questions)
            assert out.count("->>HEADER<<-") == len(NAMES) * len(TYPES)
            assert "connection timed out" not in out
        works(product, "getent", "ahosts", "wiki.corp.internal")
        works(product, *CURL, "http://wiki.corp.internal/")
        laptop.run("getent", "hosts", "10.20.0.10", check=False)
        works(product, "getent", "ahosts", "public.example")
        for secret in SECRETS:
            assert not captured.holds(secret)
        assert captured.holds(CONTROL)


def test_c18_records_of_all_kinds_and_the_addresses_in_reverse(product: Product) -> None:
    address = dig(product, "+short", "wiki.corp.internal", "A").strip()
    assert address.startswith("100.")
    assert dig(product, "+short", "-x", address).strip() == "wiki.corp.internal."
    six = dig(product, "+short", "wiki.corp.internal", "AAAA").strip()
    assert dig(product, "+short", "-x", six).strip() == "wiki.corp.internal."
    assert "the company wiki" in dig(product, "+short", "wiki.corp.internal", "TXT")
    assert "ANSWER: 0" in dig(product, "wiki.corp.internal", "HTTPS")
    assert "NXDOMAIN" in dig(product, "use-application-dns.net")
    # Spelt as it was asked (0x20), and without EDNS.
    assert "WiKi.CoRp.InTeRnAl." in dig(product, "+noedns", "WiKi.CoRp.InTeRnAl", "A")


def test_dns_commands_tell_how_questions_come_and_who_answers(product: Product) -> None:
    said = product.client("dns", "status")
    assert (said["mode"], said["splits"], said["strict"]) == ("resolv.conf", False, False)
    assert said["upstreams"] == ["203.0.113.53"]
    assert product.client("status")["dns"]["mode"] == "resolv.conf"
    answer = product.client("dns", "query", "wiki.corp.internal", "--type", "TXT")
    assert answer["answered_by"] == "connector"
    assert "company wiki" in answer["answers"][0]
    assert product.client("dns", "query", "public.example")["answered_by"] == "upstream"
    assert product.client("dns", "reset")["known_names"] == 0
    assert product.client("dns", "query", "wiki.corp.internal")["answers"]


def host_file(product: Product) -> Path:
    """What the laptop's programs read as /etc/resolv.conf."""
    return Path("/etc/netns") / product.lab["laptop"].argv([])[3] / "resolv.conf"


@pytest.fixture
def strict(product: Product, tmp_path: Path) -> Iterator[Product]:
    """The client with strict DNS, on a host with a search domain; afterwards as it was."""
    config = tmp_path / "client.toml"
    config.write_text("strict_dns = true\n")
    product.lab.stop(product.lab.process("client"), signal.SIGTERM)
    resolv_conf = host_file(product)
    original = resolv_conf.read_text()
    resolv_conf.write_text(f"{original}search office.example\n")
    product.start_client("--config", str(config))
    wait_for("the client to be online", lambda: product.client_status().get("state") == "online", 20)
    yield product
    product.lab.stop(product.lab.process("client"), signal.SIGTERM)
    product.command("laptop", "client", "ostiaryd", "cleanup", "--all")
    resolv_conf.write_text(original)
    product.start_client()
    product.client("up", check=False)
    wait_for("the client to be online", lambda: product.client_status().get("state") == "online", 20)


def test_t55_strict_dns_keeps_names_on_the_host_with_the_daemon_dead(strict: Product, tmp_path: Path) -> None:
    product, laptop = strict, strict.lab["laptop"]
    product.admin("policy", "create", "nobody", "--source", "192.0.2.99/32")
    product.admin(
        "resource", "create", "closed", "--network", "office", "--address", "closed.corp.internal", "--tcp", "80"
    )
    product.admin("grant", "create", "--to", "group:engineers", "--resource", "closed", "--policy", "nobody")
    resolv_conf = host_file(product)
    assert product.client("dns", "status")["searches"] == ["office.example"]
    try:
        with capture(product, tmp_path / "strict.pcap") as captured:
            # Granted, its condition not met: it is on no whitelist, and all the same nobody else hears of it.
            wait_for("the withheld name", lambda: "SERVFAIL" in dig(product, "closed.corp.internal"), 20)
            said = product.client("dns", "query", "closed.corp.internal", check=False)
            assert "strict dns" in said["why"][0].lower()
            works(product, *CURL, "http://wiki.corp.internal/")
            product.client("down", check=False)
            assert "SERVFAIL" in dig(product, "wiki.corp.internal")
            # The C library then asks for the name with the search domain behind it.
            for name in ("wiki.corp.internal", "closed.corp.internal"):
                assert laptop.run("getent", "ahosts", name, check=False).returncode != 0
            works(product, "getent", "ahosts", "public.example")
            product.client("up", check=False)
            product.lab.stop(product.lab.process("client"), signal.SIGKILL)
            for name in ("wiki.corp.internal", "closed.corp.internal"):
                assert "status: NOERROR" not in dig(product, name)
                assert laptop.run("getent", "ahosts", name, check=False).returncode != 0
            product.command("laptop", "client", "ostiaryd", "cleanup")
            assert "ostiary" in resolv_conf.read_text()
            for secret in SECRETS:
                assert not captured.holds(secret)
        product.command("laptop", "client", "ostiaryd", "cleanup", "--all")
        assert "ostiary" not in resolv_conf.read_text()
        works(product, "getent", "ahosts", "public.example")
    finally:
        product.admin("resource", "delete", "closed", "--yes")
