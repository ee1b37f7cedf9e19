"""docker/sidecar.yaml as written: an application beside a client, with a TUN device or without any capability.

On an engine it runs in ``test_compose_engine.py``: the long way under ``make soak``; the demo's client and its application are such a pair, too.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from client.daemon.forwards import parse_forward
from lab.engine import ROOT, compose_binary
from lab.processes import Host, LabError


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The file as compose understands it."""
    token: Path = tmp_path_factory.mktemp("sidecar") / "token"
    token.write_text("otk_test")
    try:
        compose = compose_binary()
    except LabError as error:
        pytest.skip(f"compose cannot be had here: {str(error).splitlines()[-1]}")
    command = (
        str(compose),
        "-f",
        str(ROOT / "docker/sidecar.yaml"),
        "--profile",
        "rootless",
        "config",
        "--format",
        "json",
    )
    value: dict[str, Any] = json.loads(Host("here").run(*command, env={"TOKEN_FILE": str(token)}).stdout)["services"]
    return value


@pytest.mark.parametrize(("client", "app"), [("client", "app"), ("client-rootless", "app-rootless")])
def test_the_application_shares_the_clients_network_and_waits_for_it(
    sidecar: dict[str, Any], client: str, app: str
) -> None:
    assert sidecar[app]["network_mode"] == f"service:{client}"
    assert sidecar[app]["depends_on"][client]["condition"] == "service_healthy"
    assert sidecar[app]["depends_on"][client]["restart"] is True
    assert not sidecar[client].get("ports")


def test_the_client_has_one_capability_and_the_rootless_one_none(sidecar: dict[str, Any]) -> None:
    for client in ("client", "client-rootless"):
        assert sidecar[client]["cap_drop"] == ["ALL"]
        assert sidecar[client]["security_opt"] == ["no-new-privileges:true"]
        assert sidecar[client]["secrets"] == [{"source": "enrolment", "target": "/enrolment/token"}]
        assert not any("TOKEN" in name for name in sidecar[client]["environment"])
    assert sidecar["client"]["cap_add"] == ["NET_ADMIN"]
    assert sidecar["client"]["devices"][0]["source"] == "/dev/net/tun"
    rootless = sidecar["client-rootless"]
    assert "cap_add" not in rootless
    assert "devices" not in rootless
    assert "user" not in rootless
    assert rootless["read_only"] is True
    assert parse_forward(rootless["environment"]["OSTIARY_FORWARDS"]).listen == 15432


def test_an_identity_outlives_the_container(sidecar: dict[str, Any]) -> None:
    for client in ("client", "client-rootless"):
        [volume] = sidecar[client]["volumes"]
        assert volume["type"] == "volume"
        assert sidecar[client]["environment"]["OSTIARY_STATE_DIR"].startswith(volume["target"])
