"""The shared checks that have no test of their own elsewhere."""

import pytest

from controller.domain import rules
from controller.domain.rules import RuleBrokenError
from controller.domain.state import PolicyState
from protocol.acl.model import ALL_PORTS, PortRange, Ports
from protocol.reasons import Reason


def test_a_broken_rule_carries_its_refusal() -> None:
    with pytest.raises(RuleBrokenError) as broken:
        rules.known({}, "net_x", "network")
    assert broken.value.refusal.reason is Reason.NOT_FOUND
    assert broken.value.refusal.detail == "network net_x"


def test_names_are_stored_in_one_normal_form() -> None:
    assert rules.clean_name(" e\u0301tage ") == "\u00e9tage"


def test_ids_without_a_kind_are_only_checked_for_reuse() -> None:
    rules.fresh(PolicyState(), "any-kid")


def test_nothing_is_a_legal_set_of_ports_and_all_is_explicit() -> None:
    assert rules.ports(Ports()) == Ports()
    assert rules.ports(Ports(tcp=(PortRange(1, 10), ALL_PORTS))) == Ports(tcp=(ALL_PORTS,))


@pytest.mark.parametrize("pin", ["", "sha256/", "sha256/" + "A" * 44, "sha512/" + "A" * 43 + "=", "sha256/" + "A" * 43])
def test_pins_have_one_form(pin: str) -> None:
    with pytest.raises(RuleBrokenError):
        rules.pin(pin)
