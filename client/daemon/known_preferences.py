"""Which settings ``ostiary set`` knows, what each may be, and what it changes in the running daemon."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from typing import Any, Final

from client.core.addresses import plan_addresses
from client.daemon.policy import Policy
from client.daemon.preferences import (
    OFF,
    ON,
    Preference,
    one_of,
    parse_every,
    parse_time,
    show_time,
    stored,
)
from client.daemon.reach import Reach
from client.daemon.settings import ClientSettings
from protocol.errors import LocalError
from protocol.limits import UDP_IDLE_MAX_S, UDP_IDLE_MIN_S
from runtime.files import StateDir

LEVELS: Final = ("debug", "info", "warning", "error")
NOTIFICATIONS: Final = ("all", "sign-in", "off")
MTU_MIN: Final = 1280
MTU_MAX: Final = 65_535

_check_switch: Final = one_of(ON, OFF)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was set before this start, where the start itself needs it."""

    settings: ClientSettings
    """The configuration with it."""
    pool_v4: IPv4Network | None
    """Wanted for synthetic addresses, if nobody uses it."""
    connect: bool
    """Come up by itself."""


@dataclass(frozen=True, slots=True)
class Knobs:
    """What is turned otherwise in each mode. ``move_proxy`` is None where there is no proxy."""

    udp_idle: Callable[[float], None]
    strict_dns: Callable[[bool], Awaitable[None]]
    move_proxy: Callable[[str, int], Awaitable[None]] | None = None


def chosen(settings: ClientSettings, state: StateDir) -> Chosen:
    """Returns what the start needs of what was set. Raises LocalError(STATE_CORRUPT)."""
    checks: dict[str, Callable[[str], object]] = {
        "strict-dns": _check_switch,
        "udp-idle": parse_idle,
        "proxy-listen": parse_listen,
        "mtu": parse_mtu,
        "pool-v4": parse_pool,
        "connect-at-start": _check_switch,
    }
    found = stored(state, checks)
    changes: dict[str, Any] = {}
    if "strict-dns" in found:
        changes["strict_dns"] = found["strict-dns"] == ON
    if "udp-idle" in found:
        changes["udp_idle_s"] = parse_idle(found["udp-idle"])
    if "proxy-listen" in found:
        changes["proxy_listen"] = found["proxy-listen"]
    if "mtu" in found:
        changes["mtu"] = parse_mtu(found["mtu"])
    pool = parse_pool(found["pool-v4"]) if "pool-v4" in found else None
    return Chosen(replace(settings, **changes), pool, found.get("connect-at-start", ON) == ON)


def known(settings: ClientSettings, knobs: Knobs, policy: Policy, reach: Reach) -> dict[str, Preference]:
    """Returns every setting by name; ``settings`` are the configuration's, without what was set."""

    configured_idle = show_time(settings.udp_idle_s)

    def prewarm(text: str) -> None:
        policy.prewarm = text == ON

    def udp_idle(text: str) -> None:
        knobs.udp_idle(settings.udp_idle_s if text == configured_idle else parse_idle(text))

    def move_proxy(text: str) -> Awaitable[None] | None:
        return None if knobs.move_proxy is None else knobs.move_proxy(*parse_listen(text))

    return {
        "log-level": Preference(
            settings.log_level,
            "Verbosity of the daemon's log: debug, info, warning or error. Debug names hosts and addresses.",
            one_of(*LEVELS),
            lambda text: logging.getLogger().setLevel(text.upper()),
        ),
        "check-every": Preference(
            OFF,
            "How often every network is checked through to a connector by itself: off, or 15s to 1h. It keeps a "
            "tunnel into each network open.",
            parse_every,
            lambda text: reach.check_every(parse_every(text)),
        ),
        "connect-at-start": Preference(
            ON,
            "on: come up with the host. off: stay down after each start of the daemon until `ostiary up`.",
            _check_switch,
            lambda _text: None,
        ),
        "prewarm": Preference(
            ON,
            "on: networks used in the last 10 minutes keep a tunnel open, so that the next connection is quick. off: "
            "tunnels are made when they are needed.",
            _check_switch,
            prewarm,
        ),
        "udp-idle": Preference(
            configured_idle,
            "How long a UDP association lives without a datagram: 10s to 24h.",
            parse_idle,
            udp_idle,
        ),
        "strict-dns": Preference(
            ON if settings.strict_dns else OFF,
            "on: names of resources never reach another resolver, not even while the daemon is dead. off: needs root.",
            _check_switch,
            lambda text: knobs.strict_dns(text == ON),
            needs_root=lambda text: text == OFF,
        ),
        "notifications": Preference(
            "all",
            "What `ostiary notify` shows: all, sign-in (only that a sign-in is needed or ends), or off.",
            one_of(*NOTIFICATIONS),
            lambda _text: None,
        ),
        "proxy-listen": Preference(
            settings.proxy_listen,
            "Where the proxy mode listens: ADDRESS:PORT on loopback. Connections that are open go on. Needs root.",
            parse_listen,
            move_proxy,
            needs_root=lambda _text: True,
        ),
    } | _of_the_next_start(settings)


def _of_the_next_start(settings: ClientSettings) -> dict[str, Preference]:
    return {
        "pool-v4": Preference(
            settings.pool_v4 or "auto",
            "Addresses that stand for names: an IPv4 network of /8 to /24, or auto. One that is in use here when the "
            "daemon starts is passed over. Needs root and a restart.",
            parse_pool,
            needs_root=lambda _text: True,
        ),
        "mtu": Preference(
            str(settings.mtu),
            f"MTU of the device in TUN mode: {MTU_MIN} to {MTU_MAX}. Needs root and a restart.",
            parse_mtu,
            needs_root=lambda _text: True,
        ),
    }


def parse_idle(text: str) -> float:
    """Returns seconds. Raises ValueError."""
    return parse_time(text, UDP_IDLE_MIN_S, UDP_IDLE_MAX_S)


def parse_listen(text: str) -> tuple[str, int]:
    """Returns host and port. Raises ValueError: only loopback (T-50)."""
    try:
        return replace(ClientSettings(), proxy_listen=text).proxy_address()
    except LocalError as exc:
        raise ValueError("ADDRESS:PORT with a loopback address is wanted, as in 127.0.0.1:1055") from exc


def parse_mtu(text: str) -> int:
    """Returns octets. Raises ValueError."""
    if not (text.isascii() and text.isdigit() and len(text) < 6 and MTU_MIN <= int(text) <= MTU_MAX):
        raise ValueError(f"a number from {MTU_MIN} to {MTU_MAX} is wanted")
    return int(text)


def parse_pool(text: str) -> IPv4Network | None:
    """Returns the pool, None for ``auto``. Raises ValueError."""
    if text == "auto":
        return None
    try:
        pool = IPv4Network(text)
        plan_addresses((), pools_v4=(pool,), pool_v6=None)
    except (ValueError, LocalError) as exc:
        raise ValueError("auto, or an IPv4 network of /8 to /24 as in 100.112.0.0/16 is wanted") from exc
    if pool.prefixlen < 8 or pool.is_multicast or pool.is_loopback or pool.is_link_local or pool.is_unspecified:
        raise ValueError(f"{pool} cannot stand for names: auto, or an IPv4 network of /8 to /24 is wanted")
    return pool
