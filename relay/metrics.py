"""The relay's metrics: load and refusals, nothing about anybody (it knows nobody)."""

from collections.abc import Iterable

from protocol.errors import LocalError
from protocol.reasons import Reason
from relay.server import RelayServer
from relay.settings import COMPONENT
from runtime.console import error_object
from runtime.metrics import Metric, Source, counter, gauge, labelled


def source(server: RelayServer) -> Source:
    """Returns what the metrics server shows."""

    async def why() -> dict[str, str] | None:
        return why_not_ready(server)

    return Source(COMPONENT, lambda: collect(server), why)


def why_not_ready(server: RelayServer) -> dict[str, str] | None:
    """Returns what keeps the relay from taking connections; None when nothing does."""
    return None if server.ready else error_object(LocalError(Reason.SHUTTING_DOWN, "open pairs may end"))


def collect(server: RelayServer) -> Iterable[Metric]:
    """Reads the server's numbers."""
    load = server.status()
    yield gauge("ostiary_relay_ready", "1: it takes connections; 0: see /healthz/ready.", float(server.ready))
    yield gauge("ostiary_relay_connections", "Open connections.", load["connections"])
    yield gauge("ostiary_relay_attachments", "Attached connectors.", load["attachments"])
    yield gauge("ostiary_relay_legs_parked", "Idle legs of connectors.", load["parked"])
    yield gauge("ostiary_relay_clients_waiting", "Clients that wait for a leg.", load["waiting"])
    yield gauge("ostiary_relay_pairs", "Pairs at this moment.", load["pairs"])
    yield gauge("ostiary_relay_controllers", "Controllers that hold a connection to it.", load["controllers"])
    yield counter("ostiary_relay_pairs_total", "Pairs made.", load["pairs_made"])
    yield counter("ostiary_relay_pairs_spliced_total", "Pairs that the kernel joined.", load["pairs_spliced"])
    yield counter("ostiary_relay_bytes_total", "Bytes copied, both ways.", load["bytes_copied"])
    yield labelled("ostiary_relay_refusals_total", "counter", "Requests refused.", "reason", load["refusals"])
