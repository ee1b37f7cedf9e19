"""A ticket is given again for a while, to the same device, and only so often."""

from itertools import count

import pytest

from controller.publish.tickets import AGAIN_S, KEPT_MAX, TIMES_MAX, Asked, Tickets
from protocol.ids import ConnectorId, DeviceId, RelayId
from protocol.limits import CLIENT_TICKET_LIFE_S
from relay.core.registry import CONNECTIONS_PER_TICKET

ASKED = Asked(DeviceId("device"), ConnectorId("connector"), RelayId("relay"), "kid")


class Made:
    """Counts what was made."""

    def __init__(self) -> None:
        self.tickets = Tickets()
        self._numbers = count(1)

    def ask(self, now: float, asked: Asked = ASKED) -> str:
        """Returns the name of the ticket that was given."""
        return self.tickets.of(asked, now, lambda: (f"ticket {next(self._numbers)}", int(now) + 60))[0]


def test_the_same_ticket_is_given_for_a_while() -> None:
    made = Made()
    assert [made.ask(100.0), made.ask(100.0 + AGAIN_S - 0.1), made.ask(100.0 + AGAIN_S)] == [
        "ticket 1",
        "ticket 1",
        "ticket 2",
    ]


@pytest.mark.parametrize("member", Asked._fields)
def test_whatever_is_another_needs_another_ticket(member: str) -> None:
    made = Made()
    made.ask(100.0)
    assert made.ask(100.0, Asked(**{**ASKED._asdict(), member: "another"})) == "ticket 2"


def test_t25_one_ticket_is_not_given_so_often_that_the_relay_would_refuse_it() -> None:
    made = Made()
    given = [made.ask(100.0) for _ in range(3 * TIMES_MAX)]
    assert max(given.count(ticket) for ticket in given) == TIMES_MAX <= CONNECTIONS_PER_TICKET // 2


def test_what_is_given_again_lives_long_enough_to_be_used() -> None:
    assert AGAIN_S <= CLIENT_TICKET_LIFE_S / 4


def test_a_clock_that_was_set_back_makes_new_ones() -> None:
    made = Made()
    made.ask(100.0)
    assert made.ask(99.0) == "ticket 2"


def test_what_is_kept_is_bounded() -> None:
    made = Made()
    for number in range(KEPT_MAX + 10):
        made.ask(100.0, ASKED._replace(kid=str(number)))
    assert len(made.tickets) <= KEPT_MAX
