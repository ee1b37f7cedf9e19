"""The client's metrics: what ``status`` says, as numbers. No name of a resource or a person is in them."""

from collections.abc import Iterable
from typing import Final

from client.daemon.denials import Denials
from client.daemon.policy import Policy
from client.daemon.report import Reporter
from client.daemon.session import Session
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.console import error_object
from runtime.metrics import Metric, Source, counter, gauge, labelled

_NOT_ONLINE: Final = {
    "not_configured": Reason.NOT_ENROLLED,
    "down": Reason.UNAVAILABLE,
    "sign_in_required": Reason.SIGN_IN_REQUIRED,
}


def source(session: Session, policy: Policy, reporter: Reporter, denials: Denials) -> Source:
    """Returns what the metrics server shows."""

    async def why() -> dict[str, str] | None:
        return why_not_ready(session, reporter)

    return Source("client", lambda: collect(session, policy, reporter, denials), why)


def why_not_ready(session: Session, reporter: Reporter) -> dict[str, str] | None:
    """Returns what keeps traffic from flowing; None when nothing does."""
    blocked = reporter.warnings.get("self_test")
    if blocked is not None:
        return error_object(blocked)
    state = session.state
    if state == "online":
        return None
    return error_object(LocalError(_NOT_ONLINE.get(state, Reason.CONTROLLER_UNREACHABLE), f"state: {state}"))


def collect(session: Session, policy: Policy, reporter: Reporter, denials: Denials) -> Iterable[Metric]:
    """Reads the daemon's numbers."""
    snapshot, status = policy.current, reporter.status()
    yield gauge(
        "ostiary_client_ready",
        "1: traffic flows; 0: see /healthz/ready.",
        float(why_not_ready(session, reporter) is None),
    )
    yield gauge("ostiary_client_flows", "Open flows.", len(policy.flows))
    yield gauge("ostiary_client_tunnels", "Tunnels to connectors.", len(status["tunnels"]))
    yield gauge(
        "ostiary_client_policy_revision",
        "The revision enforced; 0: none.",
        0 if snapshot is None else snapshot.revision,
    )
    yield gauge(
        "ostiary_client_policy_expires_timestamp_seconds",
        "When the snapshot in force ends; 0: none.",
        0 if snapshot is None else snapshot.not_after,
    )
    yield gauge("ostiary_client_warnings", "What `ostiary status` warns of.", len(status["warnings"]))
    yield counter("ostiary_client_denials_total", "Refused connections.", denials.total)
    yield labelled(
        "ostiary_client_refusals_total",
        "counter",
        "Refused connections, an application's repetitions counted once.",
        "reason",
        {reason.code: count for reason, count in denials.outcomes.items()},
    )
