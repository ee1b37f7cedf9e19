"""The HTTP proxy through which this process reaches controller and relays: CONNECT (RFC 9110 section 9.3.6), then TLS as ever.

A company that lets nothing out but through its proxy sees two hosts and TLS; certificates, pins and proofs are checked end to
end as without it, so the proxy is trusted with nothing. It is a property of the process, like its resolver: ``use`` says once
at start which one, and ``runtime.sockets.connect_socket`` asks ``proxy_for``. Names are resolved by the proxy, because hosts
behind one often cannot. Basic credentials (RFC 7617) come from a file, or from the environment's URL as other programs take
them; they are never shown.
"""

import asyncio
import base64
import ipaddress
import os
import re
import socket
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from protocol.errors import LocalError, RefusedError, RemoteError
from protocol.reasons import Reason
from protocol.version import SOFTWARE
from runtime.files import read_limited

HELP: Final = (
    "HTTP proxy by which controller and relays are reached: http://HOST:PORT, or `off`. "
    "Default: HTTPS_PROXY, but for NO_PROXY, of the environment."
)
LOGIN_FILE_HELP: Final = "File with USER:PASSWORD for the proxy; nobody else may read it."
OFF: Final = "off"
_LOGIN_MAX_BYTES: Final = 4096
_HEAD_MAX_BYTES: Final = 16 * 1024
_DEFAULT_PORT: Final = 80


@dataclass(frozen=True, slots=True)
class UpstreamProxy:
    """One proxy. ``spared`` are the destinations that are reached without it, as NO_PROXY writes them."""

    host: str
    port: int
    login: str | None = field(default=None, repr=False)
    spared: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{_bracketed(self.host)}:{self.port}"

    def serves(self, host: str, port: int) -> bool:
        """Tells whether ``host`` is to be reached through this proxy; this host itself never is."""
        return not _is_loopback(host) and not any(_spares(item, host.lower().rstrip("."), port) for item in self.spared)


_current: UpstreamProxy | None = None


def use(proxy: UpstreamProxy | None) -> None:
    """From here on this process goes through ``proxy``; None goes straight. Call once, at start."""
    global _current
    _current = proxy


def current() -> UpstreamProxy | None:
    """Returns the proxy in use."""
    return _current


def proxy_for(host: str, port: int) -> UpstreamProxy | None:
    """Returns the proxy on the way to ``host``, None for the straight way."""
    proxy = _current
    return proxy if proxy is not None and proxy.serves(host, port) else None


def choose(setting: str | None, login_file: Path | None, env: Mapping[str, str] | None = None) -> UpstreamProxy | None:
    """Returns the proxy that the settings name, for every host but this one, or else the environment's, but for its NO_PROXY.

    Args:
        setting: a URL, ``off``, or None for the environment's.
        login_file: holds USER:PASSWORD; counts for either.
        env: ``os.environ`` by default.

    Raises:
        LocalError: CONFIG_INVALID, naming the setting or variable.
    """
    environment = os.environ if env is None else env
    if setting == OFF:
        return None
    login = None if login_file is None else _read_login(login_file)
    if setting is not None:
        # A NO_PROXY that happens to be there takes nothing back of what somebody has written down here.
        proxy = _parse(setting, "upstream_proxy", ())
        if proxy.login is not None:
            raise _invalid("upstream_proxy holds a password: put USER:PASSWORD into upstream_proxy_login_file")
    else:
        name, text = _variable(environment, "HTTPS_PROXY")
        if not text:
            return None
        spared = _variable(environment, "NO_PROXY")[1]
        proxy = _parse(text, name, tuple(entry.strip().lower() for entry in spared.split(",") if entry.strip()))
    return proxy if login is None else replace(proxy, login=login)


async def connect_through(sock: socket.socket, proxy: UpstreamProxy, host: str, port: int) -> None:
    """Asks the proxy, to which ``sock`` is connected, for a tunnel to ``host``; the caller sets the deadline.

    Raises:
        RefusedError: PROXY_REFUSED, PROXY_LOGIN_REQUIRED; the detail says what the proxy answered.
        RemoteError: PROXY_UNREACHABLE, when it hangs up or speaks no HTTP.
    """
    loop = asyncio.get_running_loop()
    target = f"{_bracketed(host)}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", f"User-Agent: ostiary/{SOFTWARE}"]
    if proxy.login is not None:
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(proxy.login.encode()).decode()}")
    head = bytearray()
    try:
        await loop.sock_sendall(sock, ("\r\n".join(lines) + "\r\n\r\n").encode())
        # The other end speaks only when it was spoken to (TLS), so that nothing of it can follow the head.
        while b"\r\n\r\n" not in head:
            data = await loop.sock_recv(sock, 4096)
            if not data or len(head) > _HEAD_MAX_BYTES:
                raise RemoteError(Reason.PROXY_UNREACHABLE, f"{proxy} ended the connection without an answer")
            head += data
            if not b"HTTP/1.".startswith(head[:7]):
                raise RemoteError(Reason.PROXY_UNREACHABLE, f"what answers at {proxy} is no HTTP proxy")
    except OSError as exc:
        raise RemoteError(Reason.PROXY_UNREACHABLE, f"{proxy}: {exc.strerror or exc}") from exc
    _judge(bytes(head), proxy, target)


def _judge(head: bytes, proxy: UpstreamProxy, target: str) -> None:
    first, *rest = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    status = int(words[1]) if len(words) > 1 and re.fullmatch("[1-9][0-9]{2}", words[1]) else 0
    if 200 <= status < 300:
        return
    said = f"{proxy} answered {status} to CONNECT {target}" + (f" ({words[2][:80]})" if len(words) > 2 else "")
    if status != 407:
        raise RefusedError(Reason.PROXY_REFUSED, said)
    headers = [line.partition(":") for line in rest]
    schemes = {value.strip().split(" ")[0] for name, _, value in headers if name.lower() == "proxy-authenticate"}
    if schemes and "basic" not in {scheme.lower() for scheme in schemes}:
        raise RefusedError(
            Reason.PROXY_REFUSED, f"{proxy} wants {' or '.join(sorted(schemes))[:80]}; Ostiary speaks Basic"
        )
    wrong = "" if proxy.login is None else ": the user name or password is wrong"
    raise RefusedError(Reason.PROXY_LOGIN_REQUIRED, f"{proxy} answered 407{wrong}")


def _parse(text: str, name: str, spared: tuple[str, ...]) -> UpstreamProxy:
    """Takes a proxy's URL apart. No text of it is repeated: it may hold a password."""
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname, parts.port
        user, password = parts.username, parts.password
    except ValueError as exc:
        raise _invalid(f"{name} is not http://HOST:PORT") from exc
    if parts.scheme != "http":
        raise _invalid(f"{name}: a proxy that is spoken to by {parts.scheme[:10]} is not supported, only by http")
    if not host or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise _invalid(f"{name} is not http://HOST:PORT")
    login = None if user is None else f"{unquote(user)}:{unquote(password or '')}"
    return UpstreamProxy(host, port or _DEFAULT_PORT, login, spared)


def _read_login(path: Path) -> str:
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise _invalid(f"upstream_proxy_login_file {path}: others may read it; chmod it to 600")
        text = read_limited(path, _LOGIN_MAX_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise _invalid(f"upstream_proxy_login_file {path}: {exc}") from exc
    except LocalError as exc:
        raise _invalid(exc.detail) from exc
    if ":" not in text or set(text) & {"\r", "\n"}:
        raise _invalid(f"upstream_proxy_login_file {path}: one line USER:PASSWORD is wanted")
    return text


def _variable(env: Mapping[str, str], name: str) -> tuple[str, str]:
    """Both spellings are in use; the lower-case one counts first, as with curl."""
    for spelling in (name.lower(), name):
        if env.get(spelling):
            return spelling, env[spelling]
    return name, ""


def _spares(entry: str, host: str, port: int) -> bool:
    """Tells whether an entry of NO_PROXY names ``host``: `*`, a name and all below it, an address, a network; `:PORT` at the end."""
    if entry == "*":
        return True
    name, colon, number = entry.rpartition(":")
    if colon and re.fullmatch("[0-9]{1,5}", number) and (":" not in name or name.endswith("]")):
        if int(number) != port:
            return False
        entry = name
    entry = entry.removeprefix("[").removesuffix("]")
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        entry = entry.removeprefix("*").removeprefix(".").rstrip(".")
        return bool(entry) and (host == entry or host.endswith("." + entry))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _invalid(detail: str) -> LocalError:
    return LocalError(Reason.CONFIG_INVALID, detail)
