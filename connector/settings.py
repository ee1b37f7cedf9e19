"""The connector's settings: what ``run`` and ``check-config`` read."""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from protocol.acl.model import IPAddress
from protocol.direct import DirectAddress, parse_direct_untrusted, parse_endpoint
from protocol.errors import LocalError, RemoteProtocolError
from protocol.limits import (
    DIRECT_ADDRESSES_MAX,
    PARKED_LEGS_DEFAULT,
    PARKED_LEGS_MAX,
    UDP_IDLE_MAX_S,
    UDP_IDLE_MIN_S,
    UDP_IDLE_S,
)
from protocol.reasons import Reason
from runtime import upstream_proxy as proxies
from runtime.metrics import HELP as METRICS_HELP

COMPONENT: Final = "connector"
SOCKET_NAME: Final = "connector.sock"


@dataclass(frozen=True, slots=True)
class Settings:
    """One value per process; built by ``runtime.settings.load``."""

    state_dir: Path = field(
        default=Path("/var/lib/ostiary/connector"),
        metadata={"help": "Directory of the key, the identity and the last good config."},
    )
    runtime_dir: Path = field(
        default=Path("/run/ostiary-connector"), metadata={"help": "Directory of the status socket."}
    )
    resolvers: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "Resolvers to ask: ADDRESS, or ADDRESS:PORT ([ADDRESS]:PORT for IPv6). "
            "Default: those of /etc/resolv.conf, as it is now."
        },
    )
    parked_legs: int = field(
        default=PARKED_LEGS_DEFAULT,
        metadata={"help": "Idle connections kept at each relay for new clients.", "min": 1, "max": PARKED_LEGS_MAX},
    )
    drain_s: float = field(
        default=30.0,
        metadata={"help": "How long open flows may go on after SIGTERM, in seconds.", "min": 0, "max": 3600},
    )
    udp_idle_s: float = field(
        default=UDP_IDLE_S,
        metadata={
            "help": "A UDP association ends after this many seconds without a datagram in either direction.",
            "min": UDP_IDLE_MIN_S,
            "max": UDP_IDLE_MAX_S,
        },
    )
    key_rotation_days: float = field(
        default=90.0,
        metadata={
            "help": "Age in days at which the connector changes its key by itself; 0: never.",
            "min": 0,
            "max": 3650,
        },
    )
    upstream_proxy: str | None = field(default=None, metadata={"help": proxies.HELP})
    upstream_proxy_login_file: Path | None = field(default=None, metadata={"help": proxies.LOGIN_FILE_HELP})
    direct_listen: str | None = field(
        default=None,
        metadata={
            "help": "Listen here for clients that can reach this host without a relay: ADDRESS:PORT ([ADDRESS]:PORT for "
            "IPv6); 0.0.0.0 or [::] is every address. Default: do not listen."
        },
    )
    direct_addresses: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "Where clients find that listener, ADDRESS:PORT each, for example behind a port forwarding. "
            "Default: direct_listen, or every address of this host when that is a wildcard."
        },
    )
    metrics_listen: str | None = field(default=None, metadata={"help": METRICS_HELP})
    log_level: str = field(
        default="info", metadata={"help": "How much is logged.", "choices": ("debug", "info", "warning", "error")}
    )
    log_json: bool | None = field(default=None, metadata={"help": "JSON lines. Default: when stderr is no terminal."})

    def __post_init__(self) -> None:
        for text in self.resolvers:
            _parse_resolver(text)
        if self.direct_addresses and self.direct_listen is None:
            raise LocalError(Reason.CONFIG_INVALID, "direct_addresses: there is no direct_listen")
        if len(self.direct_addresses) > DIRECT_ADDRESSES_MAX:
            raise LocalError(Reason.CONFIG_INVALID, f"direct_addresses: more than {DIRECT_ADDRESSES_MAX}")
        _ = self.direct_address, self.advertised

    @property
    def direct_address(self) -> tuple[IPAddress, int] | None:
        """``direct_listen`` as address and port."""
        return None if self.direct_listen is None else _parse_listen(self.direct_listen)

    @property
    def advertised(self) -> tuple[DirectAddress, ...]:
        """``direct_addresses`` as addresses."""
        return tuple(_parse_advertised(text) for text in self.direct_addresses)

    @property
    def resolver_addresses(self) -> list[tuple[str, int]]:
        """``resolvers`` as address and port."""
        return [_parse_resolver(text) for text in self.resolvers]

    @property
    def socket_path(self) -> Path:
        """Where the daemon answers its commands."""
        return self.runtime_dir / SOCKET_NAME


def _parse_listen(text: str) -> tuple[IPAddress, int]:
    try:
        return parse_endpoint(text)
    except ValueError as exc:
        detail = f"direct_listen: {text!r} is not ADDRESS:PORT or [ADDRESS]:PORT"
        raise LocalError(Reason.CONFIG_INVALID, detail) from exc


def _parse_advertised(text: str) -> DirectAddress:
    try:
        return parse_direct_untrusted(text)
    except RemoteProtocolError as exc:
        raise LocalError(Reason.CONFIG_INVALID, f"direct_addresses: {text!r}: {exc.detail}") from exc


def _parse_resolver(text: str) -> tuple[str, int]:
    address, port = text, "53"
    if text.startswith("["):
        address, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise LocalError(Reason.CONFIG_INVALID, f"resolvers: {text!r} is not [ADDRESS]:PORT")
        port = rest[1:] or port
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
    try:
        ipaddress.ip_address(address)
    except ValueError as exc:
        raise LocalError(Reason.CONFIG_INVALID, f"resolvers: {address!r} is not an IP address") from exc
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise LocalError(Reason.CONFIG_INVALID, f"resolvers: {port!r} is not a port")
    return address, int(port)
