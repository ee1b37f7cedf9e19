"""Faults: what is left when a program dies, and what goes on."""

import signal
import subprocess
import time

from lab.hosts import IP, NFT
from lab.processes import wait_for
from lab.product import BIN, Product
from lab.story import CURL


def host_settings(product: Product) -> dict[str, str]:
    """Routes, rules, addresses, packet filter and resolver settings of the laptop, as text."""
    laptop = product.lab["laptop"]
    commands = {
        "routes": (IP, "route", "show", "table", "all"),
        "routes6": (IP, "-6", "route", "show", "table", "all"),
        "rules": (IP, "rule", "show"),
        "rules6": (IP, "-6", "rule", "show"),
        "links": (IP, "-o", "link", "show"),
        "nft": (NFT, "list", "ruleset"),
    }
    found = {name: laptop.run(*command).stdout for name, command in commands.items()}
    found["resolv.conf"] = laptop.run("/usr/bin/cat", "/etc/resolv.conf").stdout
    return found


def stop_client(product: Product, how: int) -> None:
    product.lab.stop(product.lab.process("client"), how)


def restart_client(product: Product) -> None:
    product.start_client()
    wait_for("the client to be online", lambda: product.client_status().get("state") == "online", 20)


def test_f14_a_clean_stop_leaves_the_host_as_found(product: Product) -> None:
    stop_client(product, signal.SIGTERM)
    before = host_settings(product)
    assert "ostiary" not in str(before)
    restart_client(product)
    assert "ostiary0" in host_settings(product)["links"]
    stop_client(product, signal.SIGTERM)
    assert host_settings(product) == before
    restart_client(product)


def test_f14_kill_9_then_cleanup_leaves_the_host_byte_equal(product: Product) -> None:
    stop_client(product, signal.SIGTERM)
    before = host_settings(product)
    restart_client(product)
    product.lab["laptop"].run(*CURL, "http://wiki.corp.internal/")
    stop_client(product, signal.SIGKILL)
    product.command("laptop", "client", "ostiaryd", "cleanup")
    assert host_settings(product) == before
    assert "public web" in product.lab["laptop"].run(*CURL, "http://public.example/").stdout
    restart_client(product)


def test_f14_kill_9_then_the_next_start_is_clean_and_works(product: Product) -> None:
    stop_client(product, signal.SIGKILL)
    began = time.monotonic()
    restart_client(product)
    assert time.monotonic() - began < 10
    assert "company wiki" in product.lab["laptop"].run(*CURL, "http://wiki.corp.internal/").stdout
    stop_client(product, signal.SIGTERM)
    assert "ostiary" not in str(host_settings(product))
    restart_client(product)


def test_f16_a_second_daemon_is_refused(product: Product) -> None:
    done = product.lab["laptop"].run(str(BIN / "ostiaryd"), env=product.env("client"), check=False)
    assert done.returncode != 0
    assert "already running" in done.stderr.lower()


def test_f7_with_the_controller_away_flows_go_on_and_new_ones_work(product: Product) -> None:
    laptop = product.lab["laptop"]
    laptop.run(*CURL, "http://wiki.corp.internal/")
    drip = product.lab.daemon("laptop", "drip", "/usr/bin/curl", "-sSN", "http://wiki.corp.internal/drip")
    wait_for("the stream", lambda: "tick" in product.lab.log("drip"))
    product.lab.stop(product.lab.process("controller"), signal.SIGKILL)
    assert "company wiki" in laptop.run(*CURL, "http://wiki.corp.internal/").stdout
    seen = len(product.lab.log("drip"))
    wait_for("the open stream to go on", lambda: len(product.lab.log("drip")) > seen + 200)
    product.serve_controller()
    wait_for("the client to be back", lambda: product.client("status", check=False)["controller"]["connected"], 15)
    assert drip.poll() is None
    product.lab.stop(drip)


def test_f1_a_restarted_connector_serves_again(product: Product) -> None:
    product.lab.stop(product.lab.process("connector"), signal.SIGKILL)
    product.run_connector()
    done: list[subprocess.CompletedProcess[str]] = []

    def served() -> bool:
        done.append(product.lab["laptop"].run(*CURL, "http://wiki.corp.internal/", check=False))
        return "company wiki" in done[-1].stdout

    wait_for("the wiki", served, 60)


def test_f4_a_restarted_relay_serves_again(product: Product) -> None:
    product.lab.stop(product.lab.process("relay"), signal.SIGKILL)
    product.run_relay()

    def served() -> bool:
        done = product.lab["laptop"].run(*CURL, "http://wiki.corp.internal/", check=False)
        return "company wiki" in done.stdout

    wait_for("the wiki", served, 60)
