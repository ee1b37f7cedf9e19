"""The controller asks for a test: by the connector's own config, and told as it was (T-31 to T-33)."""

from pathlib import Path

import pytest
from connector_lab import echo_server, port_of
from connector_world import acl, entry
from test_connector_daemon import staged

from connector.destination_tests import AT_ONCE
from protocol.control import Hello
from protocol.control_tests import DestinationTested, TestDestination


async def test_a_destination_of_the_config_is_dialled(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage, await echo_server() as server:
        assert (await stage.controller.wait_for(Hello)).tests
        await stage.enforce(stage.config())
        await stage.controller.push(TestDestination(7, "127.0.0.1", port_of(server)))
        told = await stage.controller.wait_for(DestinationTested)
        assert (told.test, told.reason, told.address, told.addresses) == (7, None, "127.0.0.1", ("127.0.0.1",))
        assert told.connect_us is not None
        port = port_of(server)
    async with staged(tmp_path / "again") as stage:
        await stage.enforce(stage.config())
        await stage.controller.push(TestDestination(8, "127.0.0.1", port))
        assert (await stage.controller.wait_for(DestinationTested)).reason == "connection_refused"


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("192.0.2.1", "connector_not_allowed"),
        ("wiki.internal", "connector_not_allowed"),
        ("no host!", "invalid_input"),
    ],
)
async def test_t32_what_the_config_does_not_serve_is_not_dialled(tmp_path: Path, host: str, reason: str) -> None:
    async with staged(tmp_path) as stage:
        await stage.enforce(stage.config())
        await stage.controller.push(TestDestination(1, host, 443))
        told = await stage.controller.wait_for(DestinationTested)
        assert (told.reason, told.addresses, told.resolve_us) == (reason, (), None)


async def test_t32_the_egress_rules_hold_for_tests_too(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.enforce(stage.config(acl(entry("127.0.0.0/8")), egress_allow=()))
        await stage.controller.push(TestDestination(1, "127.0.0.1", 443))
        assert (await stage.controller.wait_for(DestinationTested)).reason == "egress_forbidden"


async def test_without_a_config_there_is_no_test(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.controller.push(TestDestination(1, "127.0.0.1", 443))
        assert (await stage.controller.wait_for(DestinationTested)).reason == "unavailable"


async def test_d10_few_at_once(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.enforce(stage.config())
        for number in range(AT_ONCE + 1):
            await stage.controller.push(TestDestination(number, "127.0.0.1", 1))
        answers = [await stage.controller.wait_for(DestinationTested, nth=number) for number in range(1, AT_ONCE + 2)]
        assert {answer.test for answer in answers} == set(range(AT_ONCE + 1))
        assert {answer.reason for answer in answers} <= {"connection_refused", "limit_exceeded"}
