"""Two OpenID Connect providers that others wrote, run as processes of their own on loopback ports.

``node``: npm's oidc-provider, a certified implementation; installed by npm into a temporary folder. ``python``: PyPI's
oidc-provider-mock. ``Browser`` walks through the one's and the other's login as a person would.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx2

NPM_PACKAGE = "oidc-provider@9"
INSTALL_DEADLINE_S = 120
START_DEADLINE_S = 30
SECRET = "a secret: with+odd/signs & 100%"
CLIENT = "ostiary"

_SCRIPT = """
import { readFileSync } from 'node:fs';
import { generateKeyPairSync } from 'node:crypto';
import * as oidc from 'oidc-provider';
const { port, redirect, accounts, secret, client, alg } = JSON.parse(process.argv[2]);
const jwk = (type, options, more) => ({
  ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }), use: 'sig', ...more,
});
const stamp = String(Date.now());
const provider = new oidc.Provider(`http://127.0.0.1:${port}`, {
  clients: [{
    client_id: client, client_secret: secret, redirect_uris: [redirect], grant_types: ['authorization_code'],
    response_types: ['code'], token_endpoint_auth_method: 'client_secret_basic', id_token_signed_response_alg: alg,
  }],
  jwks: { keys: [
    jwk('rsa', { modulusLength: 2048 }, { kid: `rsa-${stamp}`, alg: 'RS256' }),
    jwk('ec', { namedCurve: 'P-256' }, { kid: `ec-${stamp}`, alg: 'ES256' }),
  ] },
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'], groups: ['groups'] },
  findAccount: (ctx, id) => ({
    accountId: id,
    claims: () => ({ sub: id, ...JSON.parse(readFileSync(accounts, 'utf8'))[id] }),
  }),
  cookies: { keys: ['only for this run'] },
});
provider.listen(port, '127.0.0.1');
"""


@dataclass
class RealProvider:
    """A running provider. ``issuer`` is its URL."""

    kind: str
    port: int
    folder: Path
    people: dict[str, dict[str, Any]] = field(default_factory=dict)
    redirect: str = ""
    alg: str = "RS256"
    _process: "subprocess.Popen[bytes] | None" = None

    @property
    def issuer(self) -> str:
        """As it writes it into its tokens."""
        return f"http://127.0.0.1:{self.port}"

    def know(self, subject: str, **claims: Any) -> None:
        """Gives somebody an account, or changes it; the Python one learns of it when it starts."""
        self.people[subject] = claims
        (self.folder / "accounts.json").write_text(json.dumps(self.people))

    def start(self) -> None:
        """Runs it, with fresh keys, until it answers."""
        command = self._node() if self.kind == "node" else self._python()
        with (self.folder / f"{self.kind}.log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, env={**os.environ})
        deadline = time.monotonic() + START_DEADLINE_S
        while time.monotonic() < deadline:
            assert self._process.poll() is None, (self.folder / f"{self.kind}.log").read_text()
            try:
                # A client of HTTP loads all authorities of the system first: as much work as the provider's own start.
                socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
            except OSError:
                time.sleep(0.05)
                continue
            answer = httpx2.get(f"{self.issuer}/.well-known/openid-configuration", timeout=START_DEADLINE_S)
            assert answer.json()["issuer"] == self.issuer
            return
        raise AssertionError("the provider did not start in time")

    def stop(self) -> None:
        """Ends it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def _node(self) -> list[str]:
        settings = {
            "port": self.port,
            "redirect": self.redirect,
            "accounts": str(self.folder / "accounts.json"),
            "secret": SECRET,
            "client": CLIENT,
            "alg": self.alg,
        }
        script = self.folder / "provider.mjs"
        script.write_text(_SCRIPT)
        return [shutil.which("node") or "node", str(script), json.dumps(settings)]

    def _python(self) -> list[str]:
        users = (json.dumps({"sub": subject, **claims}) for subject, claims in self.people.items())
        known = [part for user in users for part in ("--user-claims", user)]
        return [sys.executable, "-m", "oidc_provider_mock", "--port", str(self.port), "--require-nonce", "true", *known]


def install_node_provider(folder: Path) -> str:
    """Installs npm's oidc-provider into ``folder``; returns why that is not possible, or nothing."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return "node and npm are not on this machine: npm's oidc-provider was not run"
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent", NPM_PACKAGE]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_DEADLINE_S)
    except subprocess.TimeoutExpired:
        return f"npm did not install {NPM_PACKAGE} in time"
    return "" if done.returncode == 0 else f"npm cannot install {NPM_PACKAGE}: {done.stderr[-200:]}"


@contextmanager
def provider(kind: str, folder: Path) -> Iterator[RealProvider]:
    """A provider on a port of its own, not started yet; ended afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    made = RealProvider(kind, port, folder)
    try:
        yield made
    finally:
        made.stop()


class Browser:
    """A person at a provider: follows redirects, fills in the forms, and stops at the way back."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._http = httpx2.AsyncClient(timeout=10)

    async def log_in(self, url: str, subject: str) -> str:
        """Returns the URL of the controller to which the provider sends the browser back."""
        answer = await self._http.get(url)
        for _ in range(20):
            if answer.is_redirect:
                target = urljoin(str(answer.url), answer.headers["location"])
                if not target.startswith("http://127.0.0.1:"):
                    return target
                answer = await self._http.get(target)
                continue
            assert answer.status_code == 200, answer.text
            answer = await self._submit(answer, subject)
        raise AssertionError("the provider does not come to an end")

    async def _submit(self, answer: httpx2.Response, subject: str) -> httpx2.Response:
        if self._kind == "python":
            return await self._http.post(str(answer.url), data={"sub": subject})
        action = re.search(r'action="([^"]+)"', answer.text)
        prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
        assert action is not None, answer.text
        assert prompt is not None, answer.text
        form = {"prompt": prompt[1], "login": subject, "password": "anything"}
        return await self._http.post(urljoin(str(answer.url), unescape(action[1])), data=form)

    async def close(self) -> None:
        """Closes its connections."""
        await self._http.aclose()
