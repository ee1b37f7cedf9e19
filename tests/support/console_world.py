"""A real controller process with the built console, and a browser that drives it.

The controller listens on loopback with the certificate of its own CA, which the browser is told to take; nothing else is
different from production. The browser is Debian's Chromium, told what to do by Playwright.
"""

import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from playwright.sync_api import Error as PlaywrightError

ROOT: Final = Path(__file__).parents[2]
BUILD: Final = ROOT / "console" / "dist"
AXE: Final = ROOT / "console" / "node_modules" / "axe-core" / "axe.min.js"
CONTROLLER: Final = (sys.executable, "-c", "from controller.cli.main import main; main()")
CHROMIUM: Final = shutil.which("chromium") or ""
OWNER: Final = "ada@corp.example"
PASSWORD: Final = "correct horse battery staple"
START_S: Final = 60.0
EXPECT_MS: Final = 30_000
"""A guard against hanging: what is waited for comes within a second where the machine has nothing else to do."""
WHY_NOT: Final = (
    "needs chromium: make host-tools"
    if not CHROMIUM
    else "needs the console: make console"
    if not (BUILD / "index.html").is_file()
    else ""
)


@dataclass
class World:
    """A controller at ``url``; ``token`` is the owner's session of the API."""

    url: str
    folder: Path
    environment: dict[str, str]
    process: "subprocess.Popen[bytes] | None" = None
    token: str = ""
    program: tuple[str, ...] = CONTROLLER
    """How `ostiary-controller` is run."""
    run_in: Path = ROOT
    ca_pin: str = ""
    ids: dict[str, str] = field(default_factory=dict)

    def command(self, *argv: str) -> str:
        """Runs `ostiary-controller` and returns its standard output."""
        done = subprocess.run(
            [*self.program, *argv],
            cwd=self.run_in,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=START_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self) -> None:
        """Starts `serve` and waits until it answers."""
        with (self.folder / "controller.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.program, "serve"],
                cwd=self.run_in,
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + START_S
        while time.monotonic() < end and self.process.poll() is None:
            with contextlib.suppress(OSError):
                self.ask("GET", "/healthz/ready", signed=False)
                return
            time.sleep(0.05)
        raise AssertionError((self.folder / "controller.log").read_text()[-4000:])

    def stop(self) -> None:
        """Ends it as an operator would."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(START_S)
            self.process = None

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, signed: bool = True) -> Any:
        """One request to the API. Raises OSError, HTTPError among them."""
        headers = {"Content-Type": "application/json"}
        if signed:
            headers["Authorization"] = f"Bearer {self.token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=10, context=unverified()) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def sign_in(self) -> None:
        """Gets the owner a session of the API."""
        body = {"email": OWNER, "password": PASSWORD}
        self.token = self.ask("POST", "/api/v1/sessions", body, signed=False)["token"]

    def make(self, kind: str, **body: Any) -> str:
        """Makes something; returns its id and keeps it under its name."""
        made: str = self.ask("POST", f"/api/v1/{kind}", body)["id"]
        self.ids[body.get("name", kind)] = made
        return made


@contextlib.contextmanager
def running(
    folder: Path,
    *,
    with_owner: bool = True,
    program: tuple[str, ...] = CONTROLLER,
    run_in: Path = ROOT,
    settings: Mapping[str, str] | None = None,
) -> Iterator[World]:
    """A controller of its own below ``folder``, with these variables besides; ends with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # `localhost` is the host name for which passkeys work without a certificate that the browser trusts.
    url = f"https://localhost:{port}"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("OSTIARY_")},
        "OSTIARY_STATE_DIR": str(folder / "state"),
        "OSTIARY_RUNTIME_DIR": str(folder / "run"),
        "OSTIARY_LISTEN_HOST": "127.0.0.1",
        "OSTIARY_LISTEN_PORT": str(port),
        "NO_COLOR": "1",
        **(settings or {}),
    }
    world = World(url, folder, environment, program=program, run_in=run_in)
    folder.mkdir(exist_ok=True)
    password = folder / "password"
    password.write_text(PASSWORD)
    password.chmod(0o600)
    owner = ("--owner", OWNER, "--owner-name", "Ada", "--password-file", str(password))
    made = world.command("init", "--public-url", url, *(owner if with_owner else ("--without-owner",)), "--json")
    world.ca_pin = json.loads(made)["ca_pin"]
    try:
        world.start()
        if with_owner:
            world.sign_in()
        yield world
    finally:
        world.stop()


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Debian's Chromium without a window."""
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    expect.set_options(timeout=EXPECT_MS)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        try:
            yield opened
        finally:
            opened.close()


@contextlib.contextmanager
def visiting(browser: Browser, world: World, **options: Any) -> Iterator[Page]:
    """A page in a profile of its own. Afterwards there was no script error and nothing that the content policy forbade."""
    context: BrowserContext = browser.new_context(base_url=world.url, ignore_https_errors=True, **options)
    context.set_default_timeout(EXPECT_MS)
    complaints: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(f"script error: {error}"))
    page.on("console", lambda line: complaints.append(line.text) if "Content Security Policy" in line.text else None)
    try:
        yield page
    except BaseException:
        # pytest keeps the folders of the last runs.
        with contextlib.suppress(PlaywrightError):
            page.screenshot(path=world.folder / "failed.png", full_page=True)
        raise
    finally:
        context.close()
    assert complaints == []


def sign_in(page: Page, email: str = OWNER, password: str = PASSWORD) -> None:
    """Signs in on the page that is open."""
    page.get_by_label("E-mail address").fill(email)
    page.locator('input[autocomplete="current-password"]').fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()


def violations(page: Page, *, rules: str | None = None) -> list[str]:
    """What axe finds on the page, as it is now (WCAG 2.2 A and AA, and axe's best practices); ``rules``: that one only."""
    if not page.evaluate("() => 'axe' in window"):
        # Evaluated through the debugger: the content policy lets no foreign script in, and shall not.
        page.evaluate(AXE.read_text())
    options = {"resultTypes": ["violations"], **({"runOnly": [rules]} if rules else {})}
    found = page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{item['id']}: {item['help']}: " + "; ".join(node["html"][:160] for node in item["nodes"][:3])
        for item in found["violations"]
    ]


def unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
