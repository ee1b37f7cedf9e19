"""Unmodified programs on the laptop reach what they may, and only that."""

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.hosts import SERVERS
from lab.product import Product
from lab.servers import RUNUSER
from lab.services import BLOCK
from lab.story import CURL, Story

GIB = 1 << 30


def test_public_internet_bypasses_untouched(story: Story) -> None:
    story.public_bypass()


def test_dig_sees_synthetic_addresses_and_the_offices_records(story: Story) -> None:
    story.dig()


def test_curl_by_name(story: Story) -> None:
    story.curl_by_name()


def test_curl_over_ipv6_by_name_and_address(story: Story) -> None:
    story.curl_over_ipv6()


def test_a_name_that_has_only_ipv6_addresses_in_the_office(product: Product) -> None:
    body = product.lab["laptop"].run(*CURL, "-4", "http://six.corp.internal/").stdout
    assert "company wiki" in body


def test_a_wildcard_resource_and_a_name_that_does_not_exist_in_it(product: Product) -> None:
    laptop = product.lab["laptop"]
    assert "company wiki" in laptop.run(*CURL, "http://app.dev.corp.internal/").stdout
    out = laptop.run("/usr/bin/dig", "+timeout=5", "nothing.dev.corp.internal", "A").stdout
    assert "NXDOMAIN" in out


@pytest.mark.parametrize("host", ["db.corp.internal", SERVERS["db"]])
def test_psql_by_name_and_by_address_in_a_cidr(story: Story, host: str) -> None:
    story.psql(host)


@pytest.mark.parametrize("host", ["shell.corp.internal", SERVERS["shell"]])
def test_ssh_by_name_and_by_address_in_a_cidr(story: Story, host: str) -> None:
    story.ssh(host)


def test_udp_echo(story: Story) -> None:
    story.udp_echo()


def test_ping(story: Story) -> None:
    story.ping()


def test_iperf3_both_ways(product: Product) -> None:
    for option in ("-P4", "-R"):
        out = (
            product.lab["laptop"]
            .run("/usr/bin/iperf3", "-c", "bench.corp.internal", "-t", "1", "-J", option, deadline=40)
            .stdout
        )
        assert json.loads(out)["end"]["sum_received"]["bytes"] > 10_000_000


@pytest.mark.timeout(300)
def test_one_gibibyte_down_with_equal_hashes(product: Product) -> None:
    laptop = product.lab["laptop"]
    expected = _blob_hash(GIB)
    out = laptop.run(
        "/bin/sh", "-c", f"curl -sS http://wiki.corp.internal/blob?bytes={GIB} | sha256sum", deadline=200
    ).stdout
    assert out.split()[0] == expected


@pytest.mark.timeout(300)
def test_one_gibibyte_up_with_equal_hashes(product: Product, tmp_path: Path) -> None:
    source = tmp_path / "blob"
    with source.open("wb") as sink:
        for _ in range(GIB // len(BLOCK)):
            sink.write(BLOCK)
    out = (
        product.lab["laptop"]
        .run("/usr/bin/curl", "-sS", "-T", str(source), "http://wiki.corp.internal/upload", deadline=200)
        .stdout
    )
    source.unlink()
    assert out.strip() == _blob_hash(GIB)


def test_c20_a_refused_port_fails_at_once_with_its_reason(story: Story) -> None:
    story.refused_address()


def test_a_name_without_a_grant_does_not_exist(story: Story) -> None:
    story.invisible_name()


def test_c20_connect_to_a_dead_host_fails_truthfully(story: Story) -> None:
    story.dead_host()


def test_c20_a_closed_port_is_refused_by_the_resource_itself(product: Product) -> None:
    began = time.monotonic()
    done = product.lab["laptop"].run(*CURL, "http://bench.corp.internal:9/", check=False)
    assert done.returncode == 7
    assert time.monotonic() - began < 2


def test_the_connection_is_recorded_with_user_device_resource_and_revision(product: Product) -> None:
    product.lab["laptop"].run(*CURL, "http://wiki.corp.internal/recorded")
    from lab.processes import wait_for

    def recorded() -> bool:
        items = product.admin("connection", "list")["items"]
        return any(
            item["host"] == "wiki.corp.internal" and item["outcome"] == "normal" and item["grants"] for item in items
        )

    wait_for("the record", recorded, 60)


def test_a_denial_is_recorded_once(product: Product) -> None:
    from lab.processes import wait_for

    address = SERVERS["dns"]
    done = product.lab["laptop"].run(*CURL, f"http://{address}:8123/", check=False)
    assert done.returncode == 7

    def denials() -> list[object]:
        items = product.admin("connection", "list", "--denied")["items"]
        return [item for item in items if item["port"] == 8123]

    wait_for("the denial's record", denials, 60)
    (record,) = product.admin("connection", "list", "--denied")["items"][:1]
    assert record["outcome"] == "port_not_allowed"
    assert record["port"] == 8123
    assert len(denials()) == 1


def test_t22_the_relays_packets_hold_no_plaintext_and_no_names(story: Story) -> None:
    story.start_capture()
    story.psql("db.corp.internal")
    story.product.lab["laptop"].run(*CURL, "http://wiki.corp.internal/blob?bytes=300000", "-o", "/dev/null")
    story.relay_capture()


def _blob_hash(size: int) -> str:
    digest = hashlib.sha256()
    for _ in range(size // len(BLOCK)):
        digest.update(BLOCK)
    return digest.hexdigest()


def test_another_run_of_pytest_takes_nothing_from_the_database(product: Product, tmp_path: Path) -> None:
    """It did: the database ended with its next checkpoint, and every test of it failed."""
    (tmp_path / "test_other.py").write_text("def test_other(tmp_path): pass\n")
    other = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path))
    subprocess.run(other, check=True, capture_output=True, cwd=tmp_path, env={**os.environ, "PYTEST_ADDOPTS": ""})
    look = (RUNUSER, "-u", "postgres", "--", "/usr/bin/stat", str(product.lab.folder / "postgres" / "cluster"))
    assert product.lab["servers"].run(*look).returncode == 0
