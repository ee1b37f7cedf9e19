"""A download outlives its tokens, the connector's key and certificate, and the sign-in that it began with; it ends when the policy
says so, and says why (C5, C15, C24)."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lab.processes import wait_for
from lab.product import BIN, Product

ACCESS_TOKEN_S = 10
SIGN_IN_S = 20
"""Of which a sign-in takes about three; the rest is for machines under load."""
KEY_WAIT_S = ACCESS_TOKEN_S + 1
"""All hosts have one clock: a second is enough for what is on its way."""
URL = "http://wiki.corp.internal/drip"


@pytest.fixture
def short_lives(product: Product) -> Iterator[Product]:
    """The controller with short lives, and a sign-in that has one; afterwards both are as they were."""
    restart_controller(
        product,
        {
            "OSTIARY_ACCESS_TOKEN_S": str(ACCESS_TOKEN_S),
            "OSTIARY_SIGN_IN_DAYS": str(SIGN_IN_S / 86_400),
            "OSTIARY_CONNECTOR_KEY_WAIT_S": str(KEY_WAIT_S),
        },
    )
    # Its way back must not be taken out of the short sign-in.
    wait_for("the client to be back", lambda: is_connected(product), 60)
    yield product
    restart_controller(product, {})
    sign_in(product, "login")
    wait_for("the client to be back", lambda: is_connected(product), 60)


def is_connected(product: Product) -> bool:
    return bool(product.client_status().get("controller", {}).get("connected"))


def restart_controller(product: Product, env: dict[str, str]) -> None:
    lab = product.lab
    lab.stop(lab.process("controller"), signal.SIGTERM)
    command = (str(BIN / "ostiary-controller"), "serve")
    lab.daemon("cloud", "controller", *command, env={**product.env("controller"), **env})
    product.wait_health("cloud", "controller", "ostiary-controller", "health", "--ready", deadline=60)


def sign_in(product: Product, verb: str, *options: str) -> None:
    """`ostiary login` or `auth`, approved on the page."""
    lab = product.lab
    log = lab.folder / f"{verb}.log"
    log.unlink(missing_ok=True)
    command = (str(BIN / "ostiary"), verb, "--no-browser", "--timeout", "60s", *options)
    process = lab["laptop"].start(*command, log=log, env=product.env("client"))
    lab.adopt(verb, process)
    code = re.compile(r"user_code=([A-Z0-9-]+)")
    wait_for("the code", lambda: code.search(lab.log(verb)) or process.poll() is not None, 30)
    found = code.search(lab.log(verb))
    assert found is not None, lab.log(verb)
    product.approve(found[1])
    assert process.wait(60) == 0, lab.log(verb)


def check(product: Product, within: str) -> "subprocess.CompletedProcess[str]":
    command = (str(BIN / "ostiary"), "auth", "--check", "--within", within, "--json")
    return product.lab["laptop"].run(*command, env=product.env("client"), check=False)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("to_the_end", [False, pytest.param(True, marks=pytest.mark.soak)])
def test_f23_c15_c24_a_download_outlives_tokens_key_and_sign_in(short_lives: Product, to_the_end: bool) -> None:
    product, lab = short_lives, short_lives.lab
    sign_in(product, "login")
    first_end = int(product.client("status", check=False)["session_expires"])
    (lab.folder / "outliving.log").unlink(missing_ok=True)
    download = lab.daemon("laptop", "outliving", "/usr/bin/curl", "-sSN", URL)
    wait_for("the download", lambda: "tick" in lab.log("outliving"), 20)
    (first,) = product.client("status", check=False)["tunnels"]
    began = first["since"]
    former_pin = connector_key(product, "rotate-key")["pin"]
    assert check(product, "0s").returncode == 0
    assert check(product, "1h").returncode == 4
    sign_in(product, "auth", "--within", "1h")
    second_end = int(product.client("status", check=False)["session_expires"])
    assert second_end > first_end
    tokens: set[float] = set()
    warned: list[Any] = []

    def beyond_the_first_end() -> bool:
        status = product.client("status", check=False)
        tokens.update(item["access_expires"] for item in status["tunnels"])
        warned.extend(item for item in status["warnings"] if item["reason"] == "sign_in_ending")
        return (time.time() > first_end + 1 and bool(warned)) or download.poll() is not None

    wait_for("the first sign-in's end", beyond_the_first_end, 60)
    assert download.poll() is None
    assert len(tokens) >= 2
    # The connector shows another certificate; the download goes on where it is, what is new goes over another tunnel.
    wait_for("the new key", lambda: connector_key(product, "status")["pin"] != former_pin, 60)
    fetch = lab["laptop"].run("/usr/bin/curl", "-sS", "-m", "20", "http://wiki.corp.internal/", check=False)
    assert fetch.returncode == 0, fetch.stderr
    assert download.poll() is None
    tunnels = product.client("status", check=False)["tunnels"]
    assert min(item["since"] for item in tunnels) == pytest.approx(began, abs=1.0)
    assert any(item["since"] > began + 2 for item in tunnels)
    assert warned[0]["next"].startswith("Run `ostiary auth`")
    if not to_the_end:
        lab.stop(download)
        return
    # Nobody extends it again: that ends it, and is said.
    wait_for("the download's end", lambda: download.poll() is not None, 60)
    assert time.time() >= second_end - 2
    assert download.returncode in (18, 56)
    status = product.client("status", check=False)
    assert status["state"] == "sign_in_required"
    (cut,) = [item for item in status["denials"] if item["host"] == "wiki.corp.internal"][:1]
    assert cut["reason"] == "session_ended"
    assert json.loads(check(product, "1h").stdout)["due"] is True


def connector_key(product: Product, verb: str) -> Any:
    """What the connector says of its key."""
    said = json.loads(product.command("office", "connector", "ostiary-connector", verb, "--json"))
    return said["key"] if verb == "status" else said
