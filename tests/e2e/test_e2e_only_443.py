"""A network that lets nothing out but TCP to port 443: a relay there is enough, and `netcheck` says what it found."""

import json
import signal
from collections.abc import Iterator

import pytest

from lab.hosts import CLOUD, NFT, RELAY_NAME
from lab.processes import wait_for
from lab.product import BIN, RELAY_PORT, Product
from lab.story import CURL

SOON_S = 30.0
ONLY_443 = f"""
table inet walled {{
    chain out {{
        type filter hook forward priority 0; policy accept;
        iifname "to-laptop" tcp dport 443 accept
        iifname "to-laptop" ip daddr {CLOUD} tcp dport 8443 accept comment "the controller"
        iifname "to-laptop" counter drop
    }}
}}
"""


def ports_attached(product: Product) -> set[int]:
    """The ports of the relays at which the connector is."""
    status = json.loads(product.command("office", "connector", "ostiary-connector", "status", "--json", check=False))
    return {relay["port"] for relay in status["relays"] if relay["attached"]}


@pytest.fixture
def relay_on_443(product: Product) -> Iterator[None]:
    """A second relay beside the first, on the port that every network lets through."""
    lab = product.lab
    made = product.admin("relay", "create", "relay-443", "--fqdn", RELAY_NAME, "--port", "443")
    token = product.secret("relay-443.token", made["enrolment_token"])
    product.command("cloud", "relay-443", "ostiary-relay", "enroll", "--token-file", token)
    process = lab.daemon("cloud", "relay-443", str(BIN / "ostiary-relay"), "run", env=product.env("relay-443"))
    product.wait_health("cloud", "relay-443", "ostiary-relay", "health", "--live")
    wait_for("the connector at both relays", lambda: ports_attached(product) == {443, RELAY_PORT}, SOON_S)
    yield
    product.admin("relay", "delete", "relay-443", "--yes")
    lab.stop(process, signal.SIGKILL)


def test_c12_a_relay_on_443_is_enough_and_netcheck_tells_the_truth(product: Product, relay_on_443: None) -> None:
    laptop, internet = product.lab["laptop"], product.lab["internet"]
    internet.run(NFT, "-f", "-", stdin=ONLY_443)
    try:
        product.client("down", check=False)
        product.client("up", check=False)
        wait_for("the client to be online", lambda: product.client_status().get("state") == "online", SOON_S)
        wait_for(
            "the wiki",
            lambda: "company wiki" in laptop.run(*CURL, "http://wiki.corp.internal/", check=False).stdout,
            SOON_S,
        )
        found = product.client("netcheck", check=False)
        relays = {check["sentence"]: check for check in found["checks"] if check["name"].startswith("relay ")}
        through = relays.pop("port 443 connects, and its certificate is right")
        assert through["status"] == "ok"
        [(sentence, blocked)] = relays.items()
        assert f"{RELAY_NAME}:{RELAY_PORT}" in sentence
        assert (blocked["status"], blocked["reason"]) == ("fail", "relay_unreachable")
        assert not found["ok"], "one of two relays is lost to this network, and that is said"
        # Of UDP nothing is claimed: it is not used, and was not tried.
        [udp] = [check for check in found["checks"] if check["name"] == "udp"]
        assert (udp["status"], "TCP alone" in udp["sentence"]) == ("skipped", True)
        assert "packets 0" not in internet.run(NFT, "list", "table", "inet", "walled").stdout
    finally:
        internet.run(NFT, "delete", "table", "inet", "walled")
    wait_for("the client to be online", lambda: product.client_status().get("state") == "online", SOON_S)
