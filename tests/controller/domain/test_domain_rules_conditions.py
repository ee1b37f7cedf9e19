"""Conditions as they may be stored: bounded, canonical, and such that somebody can meet them."""

import pytest

from controller.domain.conditions import Conditions, SystemRule
from controller.domain.hours import Hours, Window
from controller.domain.rules import RuleBrokenError
from controller.domain.rules_conditions import conditions as canonical
from protocol.reasons import Reason


@pytest.mark.parametrize(
    "conditions",
    [
        Conditions(),
        Conditions(facts_max_age_s=1800),
        Conditions(sign_in_max_age_s=59),
        Conditions(mfa_max_age_s=10**9),
        Conditions(firewall=True, facts_max_age_s=1799),
        Conditions(systems=(SystemRule("debian", "twelve"),)),
        Conditions(systems=(SystemRule("debian\n"),)),
        Conditions(systems=(SystemRule("debian"), SystemRule("DEBIAN"))),
        Conditions(sources=("10.0.0.1/8",)),
        Conditions(sources=("corp.example",)),
        Conditions(sources=tuple(f"10.0.0.{number}" for number in range(65))),
        Conditions(hours=Hours("UTC", ())),
        Conditions(hours=Hours("Nowhere", (Window((1,), 0, 60),))),
        Conditions(hours=Hours("UTC", (Window((), 0, 60),))),
        Conditions(hours=Hours("UTC", (Window((8,), 0, 60),))),
        Conditions(hours=Hours("UTC", (Window((1,), 60, 60),))),
        Conditions(hours=Hours("UTC", (Window((1,), 1440, 60),))),
        Conditions(hours=Hours("UTC", (Window((1,), 0, 1441),))),
    ],
)
def test_conditions_that_make_no_sense_are_refused(conditions: Conditions) -> None:
    with pytest.raises(RuleBrokenError) as broken:
        canonical(conditions)
    assert broken.value.refusal.reason is Reason.INVALID_INPUT
    assert broken.value.refusal.detail.startswith("conditions")


def test_equal_conditions_are_one_value() -> None:
    asked = canonical(
        Conditions(
            sources=("10.0.0.0/8", "192.0.2.1/32", "10.0.0.0/8"),
            systems=(SystemRule("Ubuntu", "24.04"), SystemRule("debian")),
            hours=Hours("UTC", (Window((2, 1, 1), 0, 60), Window((1, 2), 0, 60))),
        )
    )
    assert asked.sources == ("10.0.0.0/8", "192.0.2.1")
    assert asked.systems == (SystemRule("debian"), SystemRule("ubuntu", "24.04"))
    assert asked.hours == Hours("UTC", (Window((1, 2), 0, 60),))
    assert canonical(asked) == asked
