"""A relay whose clock is wrong says so, once in a while; strangers cannot make it say anything (F-13)."""

import re
import time

import pytest
from relay_world import generate_key, make_ticket, relay_world
from structlog.testing import capture_logs

from protocol.errors import RefusedError
from protocol.reasons import Reason
from protocol.rendezvous import CONNECT_PATH
from protocol.tokens.keys import SigningKey
from relay.clock_doubt import SAY_EVERY_S, ClockDoubt
from runtime.clock import ManualClock


@pytest.mark.parametrize(
    ("off_s", "reason"), [(-3600, Reason.TOKEN_EXPIRED), (3600, Reason.TOKEN_NOT_YET_VALID)], ids=["ahead", "behind"]
)
async def test_f13_tickets_out_of_time_make_the_relay_doubt_its_clock(off_s: int, reason: Reason) -> None:
    stranger = SigningKey("kid-1", generate_key())
    async with relay_world() as world:
        with capture_logs() as said:
            for ticket in (
                make_ticket("client", wall=time.time() + off_s, key=stranger),
                make_ticket("client", wall=time.time() + off_s),
                make_ticket("client", wall=time.time() + off_s),
            ):
                with pytest.raises(RefusedError):
                    await world.dial(CONNECT_PATH, ticket=ticket)
    doubts = [line for line in said if line["event"] == "clock.doubted"]
    assert [line["reason"] for line in doubts] == [reason.code], "once, and not for what anybody could send"
    assert re.search(r"3[56]\d\d s", doubts[0]["detail"]), "by how much"


def test_f13_the_doubt_is_said_again_while_it_lasts() -> None:
    clock = ManualClock()
    doubt = ClockDoubt(clock)
    with capture_logs() as said:
        for _ in range(5):
            doubt.hear(RefusedError(Reason.TOKEN_EXPIRED, "ticket expired 3540 s ago"))
            doubt.hear(RefusedError(Reason.RATE_LIMITED))
            clock.advance(SAY_EVERY_S / 2)
    assert len(said) == 3
