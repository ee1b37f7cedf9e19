"""Odd input to every operation: a refusal, never a crash (T-12, T-74)."""

import asyncio
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from controller_api import Controller, running
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.api.document import build_api

DOCUMENT = build_api().openapi()
OPERATIONS = [
    (document["operationId"], method.upper(), path, document)
    for path, methods in DOCUMENT["paths"].items()
    for method, document in methods.items()
]

TEXT = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            "",
            "0",
            "-1",
            "null",
            "\x00",
            "\u202e",
            "\ud800",
            "../../etc/passwd",
            "' OR 1=1 --",
            "%s{}",
            "x" * 300,
            "1e999",
        ]
    ),
)
SCALAR = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXT,
)
JSON = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))


def _schema(document: dict[str, Any]) -> dict[str, Any]:
    content = document.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return {}
    schema: dict[str, Any] = DOCUMENT["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
    return schema


def _bodies(document: dict[str, Any]) -> st.SearchStrategy[Any]:
    """A right body with some members replaced by nonsense, or nonsense altogether."""
    schema = _schema(document)
    if not schema:
        return st.none()
    example: dict[str, Any] = schema["examples"][0]
    members = sorted({*example, *schema["properties"]})
    broken = st.dictionaries(st.sampled_from(members), JSON, min_size=1, max_size=2).map(lambda new: {**example, **new})
    return st.one_of(broken, JSON)


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, str, dict[str, str], dict[str, str], Any]:
    name, method, path, document = draw(st.sampled_from(OPERATIONS))
    url = re.sub(r"\{\w+\}", lambda _: quote(draw(TEXT).encode("utf-8", "replace"), safe="") or "x", path)
    query = {
        parameter["name"]: draw(TEXT).encode("utf-8", "replace").decode()
        for parameter in document.get("parameters", ())
        if parameter["in"] == "query" and draw(st.booleans())
    }
    headers = {
        parameter["name"]: draw(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20))
        for parameter in document.get("parameters", ())
        if parameter["in"] == "header" and draw(st.booleans())
    }
    return name, method, url, query, headers, draw(_bodies(document))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def test_t12_no_input_makes_a_500(folder: Path) -> None:
    """One controller for all examples: state that they leave behind is odd input to the next ones."""

    async def all_examples() -> None:
        async with running(folder) as controller:
            owner = await controller.owner()
            loop = asyncio.get_running_loop()

            @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
            @given(requests())
            def one(request: tuple[str, str, str, dict[str, str], dict[str, str], Any]) -> None:
                asyncio.run_coroutine_threadsafe(_send(controller, owner, request), loop).result(30)

            await asyncio.to_thread(one)

    asyncio.run(all_examples())


async def _send(controller: Controller, http: Any, request: tuple[Any, ...]) -> None:
    name, method, url, query, headers, body = request
    if name in ("end_session", "rotate_keys", "distrust_key"):
        url = url.replace("current", "x")
    # Fewer keys and attempts than the limits: those are tested elsewhere.
    controller.clock.advance(30)
    import json

    content = json.dumps(body).encode() if body is not None else None
    answer = await http.request(
        method, url, params=query, content=content, headers={**headers, "Content-Type": "application/json"}
    )
    if answer.status_code == 401 and name != "create_session":
        http.headers["Authorization"] = f"Bearer {await controller.sign_in()}"
    allowed = (503,) if name == "health_ready" else ()
    assert answer.status_code < 500 or answer.status_code in allowed, f"{name}: {answer.text}"
    assert "\r" not in answer.headers.get("x-request-id", "")
