"""The state value itself."""

import pytest
from policy_world import World

from controller.domain.state import PolicyState, changed, fold_name


def test_an_empty_state_is_not_initialised() -> None:
    assert not PolicyState().initialised
    assert World().state.initialised


def test_a_changed_state_is_another_value() -> None:
    before = PolicyState()
    after = changed(before, issuer="ctl_x")
    assert (before.issuer, after.issuer) == ("", "ctl_x")
    assert after != before
    assert changed(after, issuer="") == before


@pytest.mark.parametrize(("one", "other"), [("Prod", "pROD"), ("ﬁle", "FILE"), ("Straße", "STRASSE"), ("１", "1")])
def test_names_that_look_alike_fold_alike(one: str, other: str) -> None:
    assert fold_name(one) == fold_name(other)
