"""The commands that people use, as installed, against the whole product: what they claim is what is so."""

import json
import tarfile

import pytest

from lab.processes import wait_for
from lab.product import BIN, Product

WIKI = "wiki.corp.internal:80"


def ostiary(product: Product, *argv: str) -> tuple[int, str, str]:
    """Runs the command on the laptop; returns code, output, errors."""
    done = product.lab["laptop"].run(str(BIN / "ostiary"), *argv, env=product.env("client"), check=False, deadline=90.0)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.timeout(120)
def test_ready_means_that_the_connector_has_answered(product: Product) -> None:
    status = product.client("status")
    (network,) = status["networks"]
    assert (status["health"], network["state"], network["connector_name"]) == ("ready", "reachable", "office-1")
    assert ostiary(product, "status", "--check", "ready")[0] == 0
    assert ostiary(product, "wait", "--for", "resource", WIKI, "--timeout", "60s")[0] == 0


@pytest.mark.timeout(120)
def test_ping_goes_through_to_the_resource_and_events_tell_of_it(product: Product) -> None:
    found = product.client("ping", WIKI)
    assert found["ok"]
    assert [step["name"] for step in found["steps"]][-3:] == ["relay", "connector", "resource"]
    code, out, _ = ostiary(product, "ping", "wiki.corp.internal:1")
    assert (code, out.splitlines()[-1]) == (8, "next: Ask an administrator to add the port.")
    product.lab["laptop"].run("/usr/bin/curl", "-sS", "-m", "10", f"http://{WIKI.partition(':')[0]}:8099/", check=False)

    def told() -> list[str]:
        lines = ostiary(product, "events", "--json", "-n", "50")[1].splitlines()
        return [item["kind"] for item in map(json.loads, lines) if item.get("host") == "wiki.corp.internal"]

    wait_for("the events", lambda: {"allowed", "denied"} <= set(told()), 20)


@pytest.mark.timeout(180)
def test_netcheck_and_a_report_that_names_nobody(product: Product) -> None:
    checks = {item["name"]: item["status"] for item in product.client("netcheck")["checks"]}
    assert (checks["controller"], checks[f"relay {product.relay_name}"], checks["clock"]) == ("ok", "ok", "ok")
    path = product.lab.folder / "report.tar.gz"
    made = product.client("report", "--anonymise", "-o", str(path))
    assert made["missing"] == {}
    with tarfile.open(path) as archive:
        files = [archive.extractfile(member) for member in archive.getmembers()]
        everything = b"".join(file.read() for file in files if file is not None).decode()
    assert not any(name in everything for name in ("corp.internal", "Grace", "office-1", product.relay_name, "eyJ"))
