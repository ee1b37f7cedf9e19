"""The relay's process: binds, serves, answers its status socket, drains (F-2, F-16)."""

from collections.abc import Mapping
from typing import Any, Final

import structlog

from protocol.errors import LocalError
from protocol.reasons import Reason
from relay import metrics
from relay.admission import Admission
from relay.core.gate import Gate
from relay.identity import EXPIRY_WARN, Identity, load_identity, save_keys
from relay.listener import Listener
from relay.server import RelayServer
from relay.settings import Settings
from runtime.accepting import bind
from runtime.clock import Clock, SystemClock
from runtime.console import error_object
from runtime.files import StateDir
from runtime.lifecycle import Lifecycle
from runtime.metrics import SOCKET_NAME as METRICS_SOCKET
from runtime.metrics import MetricsServer
from runtime.status_socket import Emit, Peer, StatusServer
from runtime.tasks import TaskScope

SOCKET_MODE: Final = 0o660

_log = structlog.get_logger(__name__)


class Daemon:
    """One relay. ``main`` is given to ``runtime.lifecycle.run``."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._state = StateDir(settings.state_dir)

    async def main(self, life: Lifecycle) -> None:
        """Serves until asked to stop. Raises LocalError when it cannot begin."""
        settings = self._settings
        identity = load_identity(self._state)
        self._warn_of_expiry(identity)
        port = settings.listen_port or identity.port
        sockets = bind(settings.listen_host, port)
        server = self._make_server(identity)
        status = _Status(server, identity)
        try:
            self._state.lock()
            context = identity.context()
            metrics_at = settings.runtime_dir / METRICS_SOCKET
            async with (
                StatusServer(settings.socket_path, status.handle, mode=SOCKET_MODE),
                MetricsServer(metrics.source(server), settings.metrics_listen, metrics_at),
                TaskScope("relay") as scope,
            ):
                listeners = [
                    Listener(sock, context, make_protocol=server.make_protocol, enter=server.enter, leave=server.leave)
                    for sock in sockets
                ]
                for number, listener in enumerate(listeners):
                    scope.spawn(listener.run(), name=f"listener-{number}")
                scope.spawn(server.run(), name="reports")
                _log.info("relay.started", relay=identity.relay, port=port)
                life.ready(f"serving on port {port}")
                await life.stop.wait()
                _log.info("relay.draining", pairs=server.report().pairs)
                await server.drain(settings.drain_s)
        finally:
            for sock in sockets:
                sock.close()
            self._state.unlock()
        _log.info("relay.stopped", bytes_copied=server.bytes_copied)

    def _make_server(self, identity: Identity) -> RelayServer:
        settings = self._settings
        admission = Admission(
            relay=identity.relay,
            issuer=identity.issuer,
            keys=identity.keys,
            keys_issued_at=identity.keys_issued_at,
        )
        gate = Gate(
            self._clock.monotonic(), total=settings.connections_max, per_address=settings.connections_per_address
        )
        return RelayServer(
            admission,
            self._clock,
            gate=gate,
            keep_keys=lambda keys, issued_at: save_keys(self._state, keys, issued_at),
            splice=settings.splice,
        )

    def _warn_of_expiry(self, identity: Identity) -> None:
        left = identity.certificate_expires.timestamp() - self._clock.wall()
        if left < EXPIRY_WARN.total_seconds():
            _log.warning("relay.certificate_expires", expires=identity.certificate_expires.isoformat())


class _Status:
    """Answers the commands of this host's administrators."""

    def __init__(self, server: RelayServer, identity: Identity) -> None:
        self._server = server
        self._identity = identity

    async def handle(self, verb: str, _args: Mapping[str, Any], _peer: Peer, _emit: Emit) -> Mapping[str, Any]:
        if verb == "health":
            ready = self._server.ready
            why = None if ready else error_object(LocalError(Reason.SHUTTING_DOWN, "open pairs may end"))
            return {"live": True, "ready": ready, "why": why}
        if verb != "status":
            raise LocalError(Reason.INVALID_INPUT, f"unknown verb {verb[:32]!r}")
        return {
            "relay": self._identity.relay,
            "fqdn": self._identity.fqdn,
            "certificate_expires": self._identity.certificate_expires.isoformat(),
            **self._server.status(),
        }
