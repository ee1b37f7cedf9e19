"""The whole API against its own document, by schemathesis: no crash, and no answer that the document does not announce (T-12, T-74).

Each operation is asked with input that fits its schema and with input that does not, about things that exist and things that do not.
The seed is fixed; one controller serves all, so what earlier requests leave behind is odd input to later ones.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
import requests
import schemathesis

# Imported here because schemathesis does it late: pytest rewrites it, and Python 3.11 cannot parse in two threads at a time.
import schemathesis.specs.openapi.schemas
from api_world import ALL_SCOPES, OPERATIONS, Company, Operation, company, moment
from controller_api import URL, running
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

EXAMPLES: Final = 3
"""Requests per operation and way of asking; three ways."""
DEADLINE_S: Final = 30
CONFORMS: Final = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


class Server:
    """The application in a loop of its own, so that schemathesis, which is synchronous, can ask it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._context = running(folder)
        self.world: Company
        self.session: httpx2.AsyncClient
        self.token: httpx2.AsyncClient
        self.schema: Any

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Runs ``work`` in the application's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(DEADLINE_S)

    def start(self) -> None:
        self._thread.start()
        self.run(self._fill())
        self.schema = schemathesis.openapi.from_dict(self.run(self._document()))

    def stop(self) -> None:
        self.run(self._context.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE_S)
        self._loop.close()

    async def _fill(self) -> None:
        self.world = await company(await self._context.__aenter__())
        expires = self.world.controller.clock.wall() + 300 * 86_400
        ask = {"name": "schemathesis", "scopes": ALL_SCOPES, "expires_at": moment(expires)}
        made = (await self.world.owner.post("/api/v1/api-tokens", json=ask)).json()
        self.token = self.world.controller.person(made["secret"])
        self.session = await self.world.controller.owner()

    async def _document(self) -> Any:
        return (await self.world.controller.http.get("/api/v1/openapi.json")).json()

    def ask(self, operation: Operation, case: Case) -> httpx2.Response:
        """Sends one case as the owner: through his API token, or his session where no token does."""
        prepared = requests.Request(**_known(case.as_transport_kwargs(base_url=URL))).prepare()
        return self.run(self._send(operation, prepared))  # type: ignore[no-any-return]

    async def _send(self, operation: Operation, prepared: requests.PreparedRequest) -> httpx2.Response:
        controller = self.world.controller
        # Fewer attempts than the limits: those are tested elsewhere.
        controller.clock.advance(30)
        if not operation.needs_sign_in:
            http = controller.http
        elif operation.scopes:
            http = self.token
        else:
            http = self.session
            if (await http.get("/api/v1/me")).status_code == 401:
                http.headers["Authorization"] = f"Bearer {await controller.sign_in()}"
        headers = {name: value for name, value in prepared.headers.items() if name.lower() != "authorization"}
        body = prepared.body.encode() if isinstance(prepared.body, str) else prepared.body
        assert prepared.method is not None
        assert prepared.url is not None
        return await http.request(prepared.method, prepared.url, headers=headers, content=body)


def _known(sent: dict[str, Any]) -> dict[str, Any]:
    wanted = ("method", "url", "headers", "files", "data", "params", "auth", "cookies", "json")
    return {name: value for name, value in sent.items() if name in wanted}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("conformance"))
    made.start()
    yield made
    made.stop()


def _ways(server: Server, operation: Operation) -> Iterator[Any]:
    """The strategies: what fits, what fits about existing things, what does not fit."""
    asked = server.schema[operation.path][operation.method]
    yield asked.as_strategy()
    if operation.names_something:
        # By hand: distrusting the key that signs stops everything on purpose, a provider would be dialled.
        ids = {
            name: value
            for name, value in server.world.ids.items()
            if name in operation.parameters and name not in ("kid", "provider")
        }
        yield asked.as_strategy(path_parameters=ids)
    if operation.names_something or operation.document.get("requestBody") or operation.document.get("parameters"):
        yield asked.as_strategy(GenerationMode.NEGATIVE)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_t12_every_answer_is_as_the_document_says(server: Server, operation: Operation) -> None:
    checks = CONFORMS if operation.id == "health_ready" else [not_a_server_error, *CONFORMS]
    for strategy in _ways(server, operation):

        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(strategy)
        def each(case: Case) -> None:
            case.validate_response(server.ask(operation, case), checks=checks)

        each()
