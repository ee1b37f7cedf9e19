"""The connector's metrics: how much it serves, how flows end, whom it reaches. Labels are reasons and words of our own."""

from collections.abc import Iterable

from connector.daemon import Daemon
from connector.settings import COMPONENT
from connector.status import why_not_ready
from runtime.metrics import Metric, Source, counter, gauge, labelled


def source(daemon: Daemon) -> Source:
    """Returns what the metrics server shows."""

    async def why() -> dict[str, str] | None:
        return why_not_ready(daemon)

    return Source(COMPONENT, lambda: collect(daemon), why)


def collect(daemon: Daemon) -> Iterable[Metric]:
    """Reads the daemon's numbers."""
    enforcer, link = daemon.enforcer, daemon.link.state
    now, served = daemon.clock.monotonic(), enforcer.keeper.current
    uplinks = list(daemon.uplinks)
    yield gauge("ostiary_connector_ready", "1: it serves; 0: see /healthz/ready.", float(daemon.ready))
    yield gauge("ostiary_connector_uptime_seconds", "Since the start.", now - daemon.started_at)
    yield gauge("ostiary_connector_flows", "Open flows.", len(enforcer.flows))
    yield gauge(
        "ostiary_connector_tunnels",
        "Admitted tunnels.",
        sum(peer.admitted is not None for peer in daemon.peers.values()),
    )
    yield labelled(
        "ostiary_connector_bytes_total",
        "counter",
        "Bytes of ended flows: up is from clients to resources.",
        "direction",
        {"up": enforcer.bytes_up, "down": enforcer.bytes_down},
    )
    yield labelled(
        "ostiary_connector_outcomes_total",
        "counter",
        "How flows and refusals ended.",
        "reason",
        {reason.code: count for reason, count in enforcer.outcomes.items()},
    )
    yield gauge(
        "ostiary_connector_records_waiting", "Records that the controller has not stored.", len(enforcer.records)
    )
    yield counter("ostiary_connector_records_dropped_total", "Records lost.", enforcer.records.dropped)
    witness = daemon.observer.witness
    yield counter(
        "ostiary_connector_log_conflicts_total", "Configs of a log that was rewritten.", witness.conflict_count
    )
    yield gauge("ostiary_connector_checkpoints_witnessed", "Checkpoints kept.", len(witness.checkpoints))
    yield gauge("ostiary_connector_relays", "Relays of the config.", len(uplinks))
    yield gauge("ostiary_connector_relays_attached", "Relays attached to.", sum(uplink.attached for uplink in uplinks))
    yield gauge("ostiary_connector_legs_parked", "Idle legs.", sum(uplink.parked for uplink in uplinks))
    doorway = daemon.direct.doorway
    yield gauge("ostiary_connector_direct_connections", "Connections without a relay.", doorway.connections)
    yield gauge("ostiary_connector_direct_strangers", "Those without a proof so far.", doorway.strangers)
    yield counter("ostiary_connector_direct_refused_total", "Connections without a relay dropped.", doorway.refused)
    yield gauge("ostiary_connector_controller_connected", "1: connected.", float(link.connected))
    yield gauge(
        "ostiary_connector_controller_heard_seconds",
        "Since the controller was heard.",
        max(0.0, now - enforcer.heard_at),
    )
    yield gauge(
        "ostiary_connector_config_revision", "The revision enforced; 0: none.", served.config.revision if served else 0
    )
    yield gauge(
        "ostiary_connector_config_expires_timestamp_seconds",
        "When the config in force ends; 0: none.",
        served.config.not_after if served else 0,
    )
    if link.clock_offset_ms is not None:
        yield gauge(
            "ostiary_connector_clock_offset_seconds", "The controller's clock minus ours.", link.clock_offset_ms / 1000
        )
