"""The console as the controller serves it: one page, assets that never change, and nothing else (T-12, T-72)."""

import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.responses import PlainTextResponse

from controller.api.console import HOW_TO_BUILD, Console

PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
INDEX = '<!doctype html><meta name="csp-nonce" content=""><div id="root"></div>'


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """A build as Vite writes it, and a file beside it that is nobody's business."""
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / ".vite").mkdir()
    (folder / "index.html").write_text(INDEX)
    (folder / "icon.svg").write_text("<svg/>")
    (folder / "assets/index-abc.js").write_text("plain")
    (folder / "assets/index-abc.js.gz").write_text("gzipped")
    (folder / "assets/index-abc.js.br").write_text("brotli")
    (folder / "assets/small.css").write_text("css")
    (folder / ".vite/manifest.json").write_text("{}")
    (tmp_path / "secret").write_text("secret")
    return folder


def client(build: Path | None) -> httpx2.AsyncClient:
    otherwise = PlainTextResponse("nothing here", 404)
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(Console(otherwise, build)), base_url="https://c.example")


@pytest.fixture
async def http(build: Path) -> AsyncIterator[httpx2.AsyncClient]:
    async with client(build) as opened:
        yield opened


async def test_t72_every_page_has_a_nonce_of_its_own_and_no_inline_script(http: httpx2.AsyncClient) -> None:
    nonces = set()
    for path in ("/", "/resources", "/resources/res_x", "/sign-in"):
        answer = await http.get(path, headers=PAGE)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-cache"
        policy = answer.headers["content-security-policy"]
        found = re.search(r"style-src 'self' 'nonce-([\w-]{24})'", policy)
        assert found is not None
        assert f'content="{found[1]}"' in answer.text
        assert "frame-ancestors 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        nonces.add(found[1])
    assert len(nonces) == 4


@pytest.mark.parametrize(
    ("accepted", "coding", "text"),
    [
        ("gzip, deflate, br", "br", "brotli"),
        ("gzip", "gzip", "gzipped"),
        ("br;q=0, gzip;q=0.5", "gzip", "gzipped"),
        ("identity", None, "plain"),
        ("", None, "plain"),
    ],
)
async def test_assets_come_compressed_and_never_change(
    build: Path, accepted: str, coding: str | None, text: str
) -> None:
    status, headers, body = await raw(build, "/assets/index-abc.js", {"accept-encoding": accepted})
    assert (status, body) == (200, text)
    assert headers.get("content-encoding") == coding
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    assert headers["vary"] == "Accept-Encoding"
    assert headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize("accept", [PAGE["Accept"], "*/*"])
@pytest.mark.parametrize(
    "path",
    [
        "/assets/none.js",
        "/assets/index-abc.js.br",
        "/assets/../../secret",
        "/assets//index-abc.js",
        "/api/v1/nothing",
        "/api/../../secret",
        "/device/nothing",
        "/healthz/nothing",
        "/.well-known/nothing",
    ],
)
async def test_t72_only_what_the_build_lists_is_served(build: Path, path: str, accept: str) -> None:
    status, _, body = await raw(build, path, {"accept": accept})
    assert (status, body) == (404, "nothing here")


@pytest.mark.parametrize("path", ["/.vite/manifest.json", "/../secret", "/index.html", "/v1/users"])
async def test_programs_get_no_page(build: Path, path: str) -> None:
    status, _, body = await raw(build, path, {"accept": "application/json"})
    assert (status, body) == (404, "nothing here")
    status, _, body = await raw(build, path, {"accept": PAGE["Accept"]})
    assert (status, body.startswith("<!doctype html>")) == (200, True)


async def test_writes_get_no_page(http: httpx2.AsyncClient) -> None:
    assert (await http.post("/", headers=PAGE)).status_code == 404
    assert (await http.head("/", headers=PAGE)).status_code == 200


async def test_without_a_build_it_says_how_to_make_one() -> None:
    async with client(None) as http:
        answer = await http.get("/", headers=PAGE)
    assert answer.status_code == 503
    assert HOW_TO_BUILD.split("`")[1] in answer.text
    assert "script-src" not in answer.headers["content-security-policy"]


async def raw(build: Path, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], str]:
    """Asks for exactly this path; clients tidy up dots before they send."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": path, "headers": pairs}
    await Console(PlainTextResponse("nothing here", 404), build)(scope, receive, send)
    told = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], told, b"".join(message.get("body", b"") for message in sent[1:]).decode()


async def test_an_upgrade_below_a_running_controller_takes_nothing_from_open_pages(build: Path) -> None:
    async with client(build) as http:
        shutil.rmtree(build)
        page = await http.get("/resources", headers=PAGE)
        asset = await http.get("/assets/small.css")
    assert (page.status_code, asset.status_code, asset.text) == (200, 200, "css")
