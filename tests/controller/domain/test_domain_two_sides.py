"""What client and connector say of one flow: honest pairs agree, whatever is lost; the others are found out."""

from dataclasses import replace

import pytest
from flow_records import connector_record
from hypothesis import given
from hypothesis import strategies as st

from controller.domain.two_sides import differences
from protocol.ids import ConnectorId, ResourceId

ONE = replace(connector_record(1), bytes_up=10, bytes_down=100)
OTHER = replace(ONE, reporter="client")
COUNTS = st.integers(0, 1000)


def test_alike_is_alike() -> None:
    assert differences(ONE, OTHER, over=True) == ()


@given(COUNTS, COUNTS, st.integers(0, 50), st.integers(0, 50), st.sampled_from(["tcp", "udp", "icmp"]))
def test_what_was_lost_on_the_way_is_no_contradiction(
    up: int, down: int, lost: int, undelivered: int, kind: str
) -> None:
    outcome = "connection_reset" if kind == "tcp" else "normal"
    one = replace(ONE, transport=kind, bytes_up=up, bytes_down=down + undelivered, outcome=outcome)
    other = replace(one, reporter="client", bytes_up=up + lost, bytes_down=down)
    assert differences(one, other, over=True) == ()


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize("change", [{"bytes_up": 9}, {"bytes_down": 101}])
def test_t9_bytes_that_appear_on_the_way_are_found(kind: str, change: dict[str, int]) -> None:
    one = replace(ONE, transport=kind, outcome="cancelled")
    assert differences(one, replace(one, **change), over=True) == ("bytes",)  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{"bytes_up": 11}, {"bytes_down": 99}])
def test_t9_an_orderly_end_has_equal_numbers(change: dict[str, int]) -> None:
    assert differences(ONE, replace(OTHER, **change), over=True) == ("bytes",)  # type: ignore[arg-type]
    assert differences(ONE, replace(OTHER, **change), over=False) == ()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ("normal", "cancelled", ("outcome",)),
        ("no_grant", "normal", ("outcome",)),
        ("access_revoked", "no_grant", ()),
        ("normal", "end_unknown", ()),
        ("end_unknown", "normal", ()),
    ],
)
def test_t9_one_side_alone_that_calls_it_served_is_found(one: str, other: str, found: tuple[str, ...]) -> None:
    assert differences(replace(ONE, outcome=one), replace(OTHER, outcome=other), over=True) == found


def test_nobody_knows_the_bytes_of_an_unknown_end() -> None:
    assert differences(ONE, replace(OTHER, outcome="end_unknown", bytes_up=0, bytes_down=999), over=True) == ()


@pytest.mark.parametrize(
    "change", [{"host": "10.0.0.6"}, {"port": 80}, {"transport": "udp"}, {"resource": ResourceId("res_x")}]
)
@pytest.mark.parametrize("over", [True, False])
def test_t9_another_target_is_found_while_it_is_open(change: dict[str, object], over: bool) -> None:
    assert differences(ONE, replace(OTHER, **change), over=over) == ("target",)  # type: ignore[arg-type]


def test_a_side_that_names_less_contradicts_nobody() -> None:
    assert differences(ONE, replace(OTHER, connector=None, resource=None), over=True) == ()
    assert differences(replace(ONE, resource=None), OTHER, over=True) == ()
    assert differences(ONE, replace(OTHER, connector=ConnectorId("con_x")), over=False) == ("connector",)
