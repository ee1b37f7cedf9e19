"""A destination is tested from where a connector is (T-32, T-9)."""

from typing import Any

import pytest
from controller_api import Controller, code_of

from protocol.control_tests import DestinationTested
from protocol.errors import LocalError
from protocol.reasons import Reason


class Connectors:
    """Connectors that answer what the test says."""

    def __init__(self, answer: DestinationTested | LocalError | None) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str, int]] = []

    async def ask(self, connector: str, host: str, port: int) -> DestinationTested | None:
        self.asked.append((connector, host, port))
        if isinstance(self.answer, LocalError):
            raise self.answer
        return self.answer


async def ready(controller: Controller, answer: DestinationTested | LocalError | None) -> tuple[Any, str, Connectors]:
    connector = await controller.add_connector()
    owner = await controller.owner()
    network = (await owner.get(f"/api/v1/connectors/{connector}")).json()["network"]
    wiki = {"network": network, "name": "wiki", "address": "wiki.internal", "ports": {"tcp": ["443"]}}
    assert (await owner.post("/api/v1/resources", json=wiki)).status_code == 201
    connectors = controller.services.destination_tests = Connectors(answer)
    return owner, f"/api/v1/connectors/{connector}/test", connectors


async def test_t9_what_happened_is_told_and_the_order_is_in_the_log(controller: Controller) -> None:
    told = DestinationTested(1, None, ("10.0.0.5", "10.0.0.6"), "10.0.0.5", 1500, 800)
    owner, path, connectors = await ready(controller, told)
    shown = (await owner.post(path, json={"host": "WIKI.internal.", "port": 443})).json()
    assert (shown["connected"], shown["address"], shown["connect_ms"]) == (True, "10.0.0.5", 0.8)
    assert (shown["addresses"], shown["supported"], shown["reason"]) == (["10.0.0.5", "10.0.0.6"], True, None)
    assert connectors.asked[0][1:] == ("wiki.internal", 443)
    (event,) = (await owner.get("/api/v1/events", params={"type": "connector.test_ordered"})).json()["items"]
    assert (event["data"]["host"], event["data"]["port"]) == ("wiki.internal", 443)


@pytest.mark.parametrize(
    ("answer", "supported", "reason"),
    [
        (DestinationTested(1, "connection_refused"), True, "connection_refused"),
        (DestinationTested(1, "a_reason_of_tomorrow"), True, "internal"),
        (None, False, "version_unsupported"),
    ],
)
async def test_failures_come_with_their_sentence(
    controller: Controller, answer: DestinationTested | None, supported: bool, reason: str
) -> None:
    owner, path, _ = await ready(controller, answer)
    shown = (await owner.post(path, json={"host": "wiki.internal", "port": 443})).json()
    assert (shown["connected"], shown["supported"], shown["reason"]) == (False, supported, reason)
    assert shown["sentence"]


async def test_t32_what_is_no_resource_is_not_even_asked_for(controller: Controller) -> None:
    owner, path, connectors = await ready(controller, DestinationTested(1))
    for host, port in (("other.internal", 443), ("wiki.internal", 22), ("127.0.0.1", 443)):
        refused = await owner.post(path, json={"host": host, "port": port})
        assert (refused.status_code, code_of(refused)) == (403, "forbidden")
    assert (await owner.post(path, json={"host": "no host!", "port": 443})).status_code == 422
    assert connectors.asked == []


async def test_one_that_is_away_is_unavailable_and_tries_are_limited(controller: Controller) -> None:
    owner, path, _ = await ready(controller, LocalError(Reason.UNAVAILABLE, "away"))
    statuses = [(await owner.post(path, json={"host": "wiki.internal", "port": 443})).status_code for _ in range(11)]
    assert statuses == [503] * 10 + [429]
