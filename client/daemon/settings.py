"""The client daemon's settings: flags, environment, ``/etc/ostiary/client.toml`` (see ``runtime.settings``)."""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Final

from client.core.addresses import POOL_V6, POOLS_V4
from client.host import SOCKET_MARK
from protocol.errors import LocalError
from protocol.limits import UDP_IDLE_MAX_S, UDP_IDLE_MIN_S, UDP_IDLE_S
from protocol.reasons import Reason
from runtime import settings as loader
from runtime import upstream_proxy as proxies
from runtime.metrics import HELP as METRICS_HELP

COMPONENT: Final = "client"
STATE_DIR: Final = Path("/var/lib/ostiary/client")
RUNTIME_DIR: Final = Path("/run/ostiary")
SOCKET_NAME: Final = "ostiary.sock"


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """One value per process."""

    state_dir: Path = field(
        default_factory=lambda: _own_directory("XDG_STATE_HOME", ".local/state", "ostiary/client") or STATE_DIR,
        metadata={"help": "Identity, key and the last snapshot."},
    )
    runtime_dir: Path = field(
        default_factory=lambda: _own_directory("XDG_RUNTIME_DIR", None, "ostiary") or RUNTIME_DIR,
        metadata={"help": "Directory of the control socket."},
    )
    mode: str = field(
        default="tun",
        metadata={
            "help": "tun: every program on the host; proxy: SOCKS5 and HTTP CONNECT.",
            "choices": ("tun", "proxy"),
        },
    )
    pool_v4: str | None = field(default=None, metadata={"help": "IPv4 pool of synthetic addresses; chosen by default."})
    pool_v6: str | None = field(default=None, metadata={"help": "IPv6 pool of synthetic addresses, or `off`."})
    strict_dns: bool = field(
        default=False,
        metadata={"help": "Names of resources never reach another resolver, not even while the daemon is dead."},
    )
    mtu: int = field(default=65_500, metadata={"help": "MTU of the TUN device.", "min": 1280, "max": 65_535})
    udp_idle_s: float = field(
        default=UDP_IDLE_S,
        metadata={
            "help": "A UDP association ends after this many seconds without a datagram in either direction.",
            "min": UDP_IDLE_MIN_S,
            "max": UDP_IDLE_MAX_S,
        },
    )
    proxy_listen: str = field(default="127.0.0.1:1055", metadata={"help": "Where the proxy mode listens."})
    upstream_proxy: str | None = field(default=None, metadata={"help": proxies.HELP})
    upstream_proxy_login_file: Path | None = field(default=None, metadata={"help": proxies.LOGIN_FILE_HELP})
    group: str = field(default="ostiary", metadata={"help": "Members of this group may use the daemon."})
    forwards: tuple[str, ...] = field(
        default=(), metadata={"help": "Ports of 127.0.0.1 that lead to resources, each as PORT=HOST:PORT."}
    )
    guard: bool = field(
        default=True, metadata={"help": "Keep a small process that puts the host's settings back when we are killed."}
    )
    metrics_listen: str | None = field(default=None, metadata={"help": METRICS_HELP})
    log_level: str = field(
        default="info", metadata={"help": "Verbosity.", "choices": ("debug", "info", "warning", "error")}
    )
    log_json: bool | None = field(default=None, metadata={"help": "JSON lines; default: unless on a terminal."})

    @property
    def socket(self) -> Path:
        """The control socket."""
        return self.runtime_dir / SOCKET_NAME

    @property
    def mark(self) -> int | None:
        """SO_MARK of our own sockets; proxy mode has no routes to keep clear of."""
        return SOCKET_MARK if self.mode == "tun" else None

    def pools(self) -> tuple[tuple[IPv4Network, ...], IPv6Network | None]:
        """Returns the IPv4 candidates and the IPv6 pool. Raises LocalError(CONFIG_INVALID)."""
        try:
            v4 = POOLS_V4 if self.pool_v4 is None else (IPv4Network(self.pool_v4),)
            if self.pool_v6 is None:
                return v4, POOL_V6
            return v4, None if self.pool_v6 == "off" else IPv6Network(self.pool_v6)
        except ValueError as exc:
            raise LocalError(Reason.CONFIG_INVALID, f"address pool: {exc}") from exc

    def proxy_address(self) -> tuple[str, int]:
        """Returns host and port of the proxy. Raises LocalError(CONFIG_INVALID): only loopback (T-50)."""
        host, _, port = self.proxy_listen.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        try:
            loopback = ipaddress.ip_address(host).is_loopback
            number = int(port)
        except ValueError as exc:
            raise LocalError(Reason.CONFIG_INVALID, f"proxy_listen {self.proxy_listen!r} is no ADDRESS:PORT") from exc
        if not loopback or not 0 <= number <= 65535:
            raise LocalError(Reason.CONFIG_INVALID, f"proxy_listen {self.proxy_listen!r} is not on loopback")
        return host, number


def load_settings(
    *, config_file: Path | None, overrides: Mapping[str, object], env: Mapping[str, str] | None = None
) -> ClientSettings:
    """Loads and checks the settings. Raises LocalError(CONFIG_INVALID)."""
    settings = loader.load(ClientSettings, component=COMPONENT, config_file=config_file, env=env, overrides=overrides)
    settings.pools()
    settings.proxy_address()
    return settings


def state_directory(*, config_file: Path | None, overrides: Mapping[str, object]) -> Path:
    """Returns where the state is, also when other settings are wrong."""
    found = loader.read_one("state_dir", component=COMPONENT, config_file=config_file, overrides=overrides)
    return ClientSettings().state_dir if found is None else Path(found)


def _own_directory(variable: str, below_home: str | None, name: str) -> Path | None:
    """A daemon without root keeps its files where its user may write (XDG base directories); None for root."""
    if os.geteuid() == 0:
        return None
    base = os.environ.get(variable)
    if not base and below_home is not None and os.environ.get("HOME"):
        base = f"{os.environ['HOME']}/{below_home}"
    return Path(base) / name if base else None
