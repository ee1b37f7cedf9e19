"""`serve`: opens everything, listens, and ends in order (F-2, F-18 of the controller)."""

import asyncio
import contextlib
import errno
import logging as stdlib_logging
import socket
import ssl
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog

from controller.api.services import Services
from controller.app import build_app, services_of
from controller.cli import tls
from controller.cli.options import load_settings
from controller.cli.server import BACKLOG, Server, make_config
from controller.settings import COMPONENT, Settings, host_of
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime import lifecycle, logging
from runtime.console import exit_on_error
from runtime.tasks import TaskScope

_NO_SUCH_FAMILY: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})

_log = structlog.get_logger(__name__)


def serve(config: Path | None, *, listen_host: str | None, listen_port: int | None) -> int:
    """Runs the controller; returns the exit code."""
    with exit_on_error():
        settings = load_settings(config, {"listen_host": listen_host, "listen_port": listen_port})
    logging.configure(COMPONENT, settings.log_level, settings.log_json)
    for chatty in ("uvicorn.error", "alembic"):
        stdlib_logging.getLogger(chatty).setLevel(stdlib_logging.WARNING)
    return lifecycle.run(partial(run, settings))


async def run(settings: Settings, life: lifecycle.Lifecycle) -> None:
    """Serves until ``life.stop``. Raises LocalError when it cannot start."""
    listeners = listen(settings.listen_host, settings.listen_port)
    with contextlib.ExitStack() as opened:
        for listener in listeners:
            opened.enter_context(contextlib.closing(listener))
        app = build_app(settings)
        async with app.router.lifespan_context(app):
            services = services_of(app)
            server_tls = make_tls(settings, services)
            config = make_config(app, settings, server_tls)
            server = Server(config, partial(announce, settings, services, life))
            async with TaskScope("serve") as scope:
                scope.spawn(stop_when_told(server, life), name="stop")
                if server_tls is not None:
                    scope.spawn(renew(server_tls, services), name="tls")
                await server.serve(sockets=listeners)
                scope.cancel()


def listen(host: str, port: int) -> list[socket.socket]:
    """Binds the listening sockets: of ``host``, or without one of every address that this host has, IPv4 and IPv6.

    Raises:
        LocalError: PORT_IN_USE, PERMISSION_DENIED or CONFIG_INVALID.
    """
    where = f"{host or '*'}:{port}"
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as exc:
        raise LocalError(Reason.CONFIG_INVALID, f"listen_host: {host!r} is not an address of this host") from exc
    places = [(family, protocol, address) for family, _, protocol, _, address in found]
    if host:
        places = places[:1]
    listeners: list[socket.socket] = []
    try:
        for number, (family, protocol, address) in enumerate(places, 1):
            try:
                listeners.append(_bind(family, protocol, address, both=bool(host)))
            except OSError as exc:
                # A host without IPv6 may have an address for it all the same.
                last = number == len(places)
                if exc.errno not in _NO_SUCH_FAMILY or (last and not listeners):
                    raise
    except OSError as exc:
        for listener in listeners:
            listener.close()
        match exc.errno:
            case errno.EADDRINUSE:
                raise LocalError(Reason.PORT_IN_USE, where) from exc
            case errno.EACCES | errno.EPERM:
                raise LocalError(Reason.PERMISSION_DENIED, f"{where} needs CAP_NET_BIND_SERVICE") from exc
        raise LocalError(Reason.CONFIG_INVALID, f"listen_host: {where}: {exc.strerror}") from exc
    return listeners


def _bind(family: socket.AddressFamily, protocol: int, address: Any, *, both: bool) -> socket.socket:
    """``both``: a socket on `::` serves IPv4 as well, where nobody else does. Raises OSError."""
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both)
        listener.bind(address)
        listener.setblocking(False)
        # uvicorn's own listen() comes later; this one finds out now whether the port is free.
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def make_tls(settings: Settings, services: Services) -> tls.ServerTls | None:
    """Builds the TLS that the settings ask for; None: plain HTTP behind a proxy."""
    if settings.tls == "off":
        return None
    if settings.tls == "files":
        assert settings.tls_certificate is not None
        assert settings.tls_key is not None
        return tls.from_files(settings.tls_certificate, settings.tls_key)
    urls = (services.public_url, *services.agent_urls)
    names = tuple(dict.fromkeys((*map(host_of, urls), *settings.extra_hostnames)))
    return tls.internal(services.ca, names, services.clock.wall)


async def stop_when_told(server: Server, life: lifecycle.Lifecycle) -> None:
    """Ends the server when the process is asked to stop."""
    await life.stop.wait()
    server.should_exit = True


async def renew(server_tls: tls.ServerTls, services: Services) -> None:
    """Looks after the certificate until cancelled. What cannot be renewed now is tried again."""
    while True:
        await asyncio.sleep(tls.CHECK_INTERVAL_S)
        try:
            if server_tls.renew_if_due(services.clock.wall()):
                _log.info("TLS certificate loaded")
        except (LocalError, ssl.SSLError) as exc:
            _log.warning("the TLS certificate could not be renewed", error=str(exc))


def announce(settings: Settings, services: Services, life: lifecycle.Lifecycle) -> None:
    """Says that connections are accepted."""
    _log.info(
        "serving",
        public_url=services.public_url,
        listen=f"{settings.listen_host or '*'}:{settings.listen_port}",
        ca_pin=services.ca.pin,
        revision=services.state.position,
    )
    life.ready(f"serving {services.public_url}")
