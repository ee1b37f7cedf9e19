"""Connectors are asked to dial a destination, and only their own answers count (T-17)."""

# ruff: noqa: F811 - a fixture and its name
import asyncio

import pytest
from agent_station import hear, hello, say
from test_agents_endpoint import Company, company, joined  # noqa: F401 - a fixture

from controller.agents.destination_tests import PER_CONNECTOR, DestinationTests
from protocol.control import Hello, Message, PushConfig, Welcome
from protocol.control_tests import DestinationTested, TestDestination
from protocol.errors import LocalError, RefusedError
from protocol.reasons import Reason


async def test_a_connector_answers_over_its_link(company: Company) -> None:
    tests, connector = company.station.endpoint.tests, company.connector
    async with company.station.dial(f"Bearer {connector.assertion()}") as socket:
        first = hello()
        await say(socket, Hello(first.protocol, first.software, first.clock_ms, tests=True))
        assert isinstance(await hear(socket), Welcome)
        assert isinstance(await hear(socket), PushConfig)
        asking = asyncio.create_task(tests.ask(connector.agent, "web.internal", 443))
        order = await hear(socket)
        assert isinstance(order, TestDestination)
        assert (order.host, order.port) == ("web.internal", 443)
        await say(socket, DestinationTested(order.test + 1, addresses=("192.0.2.1",)))
        answer = DestinationTested(
            order.test, addresses=("10.0.0.1",), address="10.0.0.1", resolve_us=1000, connect_us=2000
        )
        await say(socket, answer)
        assert await asking == answer


async def test_one_that_is_too_old_is_not_asked(company: Company) -> None:
    async with joined(company.station, company.connector) as connector:
        assert isinstance(await connector.next(), PushConfig)
        assert await company.station.endpoint.tests.ask(company.connector.agent, "web.internal", 443) is None


async def test_one_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(LocalError) as refused:
        await DestinationTests().ask("con_1", "web.internal", 443)
    assert refused.value.reason is Reason.UNAVAILABLE


async def test_t17_the_answer_of_another_connector_is_nothing() -> None:
    tests, sent = DestinationTests(), list[Message]()
    line = tests.attach("con_1", sent.append, able=True)
    tests.attach("con_2", sent.append, able=True)
    asking = asyncio.create_task(tests.ask("con_1", "web.internal", 443))
    await asyncio.sleep(0)
    (order,) = sent
    assert isinstance(order, TestDestination)
    tests.answered("con_2", DestinationTested(order.test))
    assert not asking.done()
    tests.detach("con_1", line)
    with pytest.raises(LocalError) as gone:
        await asking
    assert gone.value.reason is Reason.UNAVAILABLE


async def test_who_does_not_answer_is_not_waited_for() -> None:
    tests = DestinationTests(deadline_s=0.01)
    tests.attach("con_1", lambda _: None, able=True)
    with pytest.raises(LocalError) as late:
        await tests.ask("con_1", "web.internal", 443)
    assert late.value.reason is Reason.UNAVAILABLE


async def test_d10_few_tests_at_once() -> None:
    tests, sent = DestinationTests(), list[Message]()
    tests.attach("con_1", sent.append, able=True)
    asking = [asyncio.create_task(tests.ask("con_1", "web.internal", 443)) for _ in range(PER_CONNECTOR)]
    await asyncio.sleep(0)
    with pytest.raises(RefusedError) as full:
        await tests.ask("con_1", "web.internal", 443)
    assert full.value.reason is Reason.LIMIT_EXCEEDED
    for order in sent:
        assert isinstance(order, TestDestination)
        tests.answered("con_1", DestinationTested(order.test))
    assert len(await asyncio.gather(*asking)) == PER_CONNECTOR
