"""`serve`: opens everything, listens, and ends in order (F-2, F-18 of the controller)."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Sequence
from functools import partial

import structlog

from controller.api.operations import first_run
from controller.api.services import Services
from controller.app import build_app, services_of
from controller.cli import tls
from controller.cli.listening import listen
from controller.cli.server import Server, make_config
from controller.settings import Settings, host_of
from protocol.errors import LocalError
from runtime import lifecycle
from runtime.tasks import TaskScope

_log = structlog.get_logger(__name__)


async def run(
    settings: Settings, life: lifecycle.Lifecycle, *, listeners: Sequence[socket.socket] | None = None, worker: int = 0
) -> None:
    """Serves until ``life.stop``. Raises LocalError when it cannot start.

    ``listeners`` are bound sockets, by default those of the settings; ``worker`` is this one's number among several.
    """
    if listeners is None:
        listeners = listen(settings.listen_host, settings.listen_port)
    with contextlib.ExitStack() as opened:
        for listener in listeners:
            opened.enter_context(contextlib.closing(listener))
        app = build_app(settings, worker=worker)
        async with app.router.lifespan_context(app):
            services = services_of(app)
            server_tls = make_tls(settings, services)
            config = make_config(app, settings, server_tls)
            server = Server(config, partial(announce, settings, services, life))
            async with TaskScope("serve") as scope:
                scope.spawn(stop_when_told(server, services, life), name="stop")
                if server_tls is not None:
                    scope.spawn(renew(server_tls, services), name="tls")
                await server.serve(sockets=list(listeners))
                scope.cancel()


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


async def stop_when_told(server: Server, services: Services, life: lifecycle.Lifecycle) -> None:
    """Ends the server when the process is asked to stop.

    It waits for answers that are under way, and an event stream has no end of its own: so the streams are told first.
    """
    await life.stop.wait()
    services.streams.closing = True
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
    if first_run.is_open(services.state):
        # Not the token itself: this goes into a log.
        _log.warning("there is no owner yet: `ostiary-controller admin setup-token` prints what the browser asks for")
    life.ready(f"serving {services.public_url}")
