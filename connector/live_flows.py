"""After every Welcome: tells the controller what is open, and ends what it does not know (decision D4)."""

from typing import Final

import structlog

from connector.enforcer import Enforcer
from protocol.control import LiveFlow, LiveFlows, LiveVerdict
from protocol.errors import RemoteError
from protocol.limits import CONTROL_REQUEST_DEADLINE_S
from protocol.reasons import Reason
from runtime.agent_link import AgentLink

VERDICT_DEADLINE_S: Final = CONTROL_REQUEST_DEADLINE_S
LIVE_FLOWS_BATCH: Final = 4096
"""Flows in one LiveFlows message; about 700 KiB."""

_log = structlog.get_logger(__name__)


async def exchange_live_flows(enforcer: Enforcer, link: AgentLink) -> None:
    """Asks about everything that is open, and resets what may not go on.

    A verdict that does not come is asked for again as long as the connection lives: what was revoked while the two
    were apart may be in no config any more, so that nothing else would end it.
    """
    live = enforcer.flows.live()
    for start in range(0, max(len(live), 1), LIVE_FLOWS_BATCH):
        batch = live[start : start + LIVE_FLOWS_BATCH]
        verdict = await _verdict_about(link, batch, more=start + LIVE_FLOWS_BATCH < len(live))
        if verdict is None:
            return
        enforcer.apply_verdict([item.flow for item in batch], verdict.allowed)


async def _verdict_about(link: AgentLink, flows: tuple[LiveFlow, ...], *, more: bool) -> LiveVerdict | None:
    """None when the connection was lost: the next Welcome asks again."""
    while True:
        try:
            reply = await link.request(LiveFlows(link.next_id(), flows, more), deadline_s=VERDICT_DEADLINE_S)
        except RemoteError as error:
            _log.warning("live_flows.unanswered", reason=error.reason.code, flows=len(flows))
            if error.reason is not Reason.TIMEOUT or not link.state.connected:
                return None
        else:
            return reply if isinstance(reply, LiveVerdict) else None
