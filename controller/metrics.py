"""The controller's metrics: the state of this replica and what it knows of the others. No id of a person is in them."""

from collections import Counter
from collections.abc import Iterable

from controller.agents import Presence
from controller.agents.tally import Tally
from controller.api.services import Services
from controller.publish import AgentKind, Hub
from controller.settings import COMPONENT
from protocol.errors import LocalError, OstiaryError
from runtime.console import error_object
from runtime.metrics import Metric, Source, counter, gauge, labelled

_KINDS = {AgentKind.CLIENT: "client", AgentKind.CONNECTOR: "connector"}


def source(services: Services, hub: Hub, presence: Presence, tally: Tally) -> Source:
    """Returns what the metrics server shows."""

    async def why() -> dict[str, str] | None:
        return await why_not_ready(services)

    return Source(COMPONENT, lambda: collect(services, hub, presence, tally), why)


async def why_not_ready(services: Services) -> dict[str, str] | None:
    """Returns what keeps the controller from working: the database does not answer, or nothing can be signed."""
    try:
        await services.store.ping()
        services.keyring.active(services.state)
    except LocalError as error:
        return error_object(error)
    except OstiaryError as error:
        return error_object(LocalError(error.reason, error.detail))
    return None


def collect(services: Services, hub: Hub, presence: Presence, tally: Tally) -> Iterable[Metric]:
    """Reads this replica's numbers."""
    state, agents = services.state, presence.agents()
    online = Counter(_KINDS[agent.kind] for agent in agents)
    here = Counter(_KINDS[attachment.kind] for attachment in hub.attached)
    behind = Counter(
        "connector" if line.agent in state.connectors else "client"
        for line in hub.enforcement.lines()
        if line.pending_since is not None
    )

    def by_kind(name: str, text: str, counts: Counter[str]) -> Metric:
        return labelled(name, "gauge", text, "kind", {kind: counts[kind] for kind in _KINDS.values()})

    yield gauge("ostiary_controller_policy_revision", "Position of the last event.", state.position)
    yield by_kind("ostiary_controller_agents_online", "Agents attached to any replica.", online)
    yield by_kind("ostiary_controller_agents_attached", "Agents attached to this replica.", here)
    yield by_kind("ostiary_controller_agents_behind", "Agents that do not enforce all that concerns them.", behind)
    yield gauge("ostiary_controller_connectors_known", "Connectors of the policy.", len(state.connectors))
    yield gauge("ostiary_controller_relays_known", "Relays of the policy.", len(state.relays))
    yield gauge("ostiary_controller_relays_online", "Relays that answer this replica.", len(presence.relays()))
    yield gauge("ostiary_controller_flows", "Open flows, as connectors say.", sum(agent.flows for agent in agents))
    yield gauge("ostiary_controller_tunnels", "Tunnels, as connectors say.", sum(agent.tunnels for agent in agents))
    yield labelled(
        "ostiary_controller_connection_records_total",
        "counter",
        "Connection records that agents reported.",
        "result",
        {"stored": tally.records_stored, "skipped": tally.records_skipped, "put_off": tally.records_put_off},
    )
    yield counter("ostiary_controller_ends_unknown_total", "Connections whose end nobody reported.", tally.ends_unknown)
    yield counter(
        "ostiary_controller_wrong_digests_total", "Acknowledgements of what was never sent.", tally.digests_wrong
    )
    yield labelled(
        "ostiary_controller_agents_refused_total", "counter", "Agents turned away.", "reason", dict(tally.refused)
    )
    sinks = services.sinks
    yield labelled(
        "ostiary_controller_sink_records_total",
        "counter",
        "Records that a sink took; on the leader only.",
        "sink",
        {name: stats.delivered for name, stats in sinks.items()},
    )
    yield labelled(
        "ostiary_controller_sink_failures_total",
        "counter",
        "Attempts in vain to send to a sink; on the leader only.",
        "sink",
        {name: stats.failures for name, stats in sinks.items()},
    )
    yield labelled(
        "ostiary_controller_sink_failing",
        "gauge",
        "1: the sink takes nothing at the moment; on the leader only.",
        "sink",
        {name: float(stats.failing) for name, stats in sinks.items()},
    )
