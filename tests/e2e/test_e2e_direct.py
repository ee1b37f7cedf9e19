"""The direct path: a laptop in the office needs no relay, from outside it goes by the relay, and strangers get nothing."""

import signal
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from lab.hosts import OFFICE, Lab
from lab.processes import wait_for
from lab.product import Product
from lab.story import CURL

PORT = 7443
WHERE = f"{OFFICE}:{PORT}"
WIKI = "http://wiki.corp.internal/"
_STRANGERS = """
import socket, sys, time
held = []
for _ in range(300):
    sock = socket.socket()
    sock.settimeout(2)
    sock.connect((sys.argv[1], int(sys.argv[2])))
    held.append(sock)
dropped = 0
for sock in held:
    sock.settimeout(0.01)
    try:
        dropped += not sock.recv(1)
    except ConnectionResetError:
        dropped += 1
    except TimeoutError:
        pass
print("dropped", dropped, flush=True)
time.sleep(60)
"""
"""Connections that say nothing: most find no place, the others wait for their deadline."""


@pytest.fixture(scope="module")
def office(product: Product, lab: Lab) -> Iterator[Product]:
    """The laptop on the office's network, and a connector that listens there."""
    lab.enter_office("laptop", "10.20.0.77")
    restart_connector(product, direct_listen=WHERE)
    yield product
    lab.leave_office("laptop")
    restart_connector(product)
    wait_for("the wiki", lambda: "company wiki" in read(product), 20)


def restart_connector(product: Product, **settings: str) -> None:
    product.lab.stop(product.lab.process("connector"), signal.SIGTERM)
    product.run_connector(**settings)


def read(product: Product) -> str:
    return product.lab["laptop"].run(*CURL, WIKI, check=False).stdout


def path(product: Product) -> dict[str, Any]:
    found: dict[str, Any] = product.client("explain", "wiki.corp.internal:80", check=False).get("path", {})
    return found


def test_t53_in_the_office_connections_go_straight_to_the_connector(office: Product) -> None:
    # The connector's address lies in a network that is a resource, too: what is caught there must not be our own dialling.
    wait_for("the direct path", lambda: "company wiki" in read(office) and path(office).get("direct") == WHERE, 30)
    (tunnel,) = [each for each in office.client("status")["tunnels"] if each["path"] == "direct"]
    assert tunnel["bytes_down"] > 0
    assert f"at {WHERE}, without a relay" in office.command(
        "laptop", "client", "ostiary", "ping", "wiki.corp.internal:80"
    )


def test_t25_t26_strangers_at_the_port_get_nothing_and_hold_up_nobody(office: Product) -> None:
    flood = office.lab.daemon("servers", "strangers", sys.executable, "-c", _STRANGERS, OFFICE, str(PORT))
    wait_for("the strangers", lambda: "dropped" in office.lab.log("strangers"), 30)
    assert int(office.lab.log("strangers").split()[1]) >= 300 - 16
    assert "company wiki" in read(office)
    assert path(office)["direct"] == WHERE
    office.lab.stop(flood)


def test_f17_outside_the_office_the_next_connection_goes_by_the_relay(office: Product, lab: Lab) -> None:
    drip = office.lab.daemon("laptop", "direct-drip", "/usr/bin/curl", "-sSN", f"{WIKI}drip")
    wait_for("the stream", lambda: "tick" in office.lab.log("direct-drip"))
    lab.leave_office("laptop")
    wait_for("the wiki", lambda: "company wiki" in read(office), 10)
    assert path(office)["path"] == "relay"
    wait_for("the stream to end", lambda: drip.poll() is not None, 10)
