"""The config keeper: forwards only."""

import contextlib

import pytest
from connector_world import NOW, World, acl, entry
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.core.config import ConfigKeeper
from protocol.errors import RemoteError
from protocol.reasons import Reason

WORLD = World()
ACL = acl(entry("10.0.0.0/24"))


def test_a_newer_config_replaces_an_older_one() -> None:
    keeper = ConfigKeeper()
    first = keeper.accept(WORLD.config_claims(ACL, revision=7))
    second = keeper.accept(WORLD.config_claims(acl(), revision=8))
    assert keeper.current is second
    assert first is not second
    assert keeper.floor == (1, 8)


@pytest.mark.parametrize("older", [{"revision": 6}, {"epoch": 0, "revision": 99}, {"issued_at": NOW - 1}])
def test_t8_an_older_one_is_refused_and_changes_nothing(older: dict[str, int]) -> None:
    keeper = ConfigKeeper()
    current = keeper.accept(WORLD.config_claims(ACL, revision=7))
    with pytest.raises(RemoteError) as caught:
        keeper.accept(WORLD.config_claims(ACL, **{"revision": 7, **older}))  # type: ignore[arg-type]
    assert caught.value.reason is Reason.SNAPSHOT_ROLLBACK
    assert keeper.current is current


def test_d8_a_new_epoch_may_begin_at_a_lower_revision() -> None:
    keeper = ConfigKeeper()
    keeper.accept(WORLD.config_claims(ACL, revision=900))
    keeper.accept(WORLD.config_claims(ACL, epoch=2, revision=3))
    assert keeper.floor == (2, 3)


def test_the_same_revision_with_fresh_tickets_is_taken_and_keeps_its_index() -> None:
    keeper = ConfigKeeper()
    first = keeper.accept(WORLD.config_claims(ACL))
    second = keeper.accept(WORLD.config_claims(ACL, issued_at=NOW + 60))
    assert second.acl is first.acl
    assert second.config.issued_at == NOW + 60


def test_t57_the_floor_outlives_a_restart() -> None:
    keeper = ConfigKeeper()
    keeper.restore_floor(1, 50)
    keeper.restore_floor(1, 40)
    with pytest.raises(RemoteError):
        keeper.accept(WORLD.config_claims(ACL, revision=49))
    keeper.accept(WORLD.config_claims(ACL, revision=50))
    keeper.drop()
    assert keeper.current is None
    with pytest.raises(RemoteError):
        keeper.accept(WORLD.config_claims(ACL, revision=49))


def test_it_knows_when_it_has_expired() -> None:
    served = ConfigKeeper().accept(WORLD.config_claims(ACL, life_s=100))
    assert not served.expired(NOW + 100)
    assert served.expired(NOW + 101)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 5)), max_size=20))
def test_what_is_enforced_never_goes_backwards(offers: list[tuple[int, int]]) -> None:
    keeper = ConfigKeeper()
    seen = (0, 0)
    for epoch, revision in offers:
        with contextlib.suppress(RemoteError):
            keeper.accept(WORLD.config_claims(ACL, epoch=epoch, revision=revision))
        assert keeper.floor >= seen
        seen = keeper.floor
    assert keeper.floor == max(offers, default=(0, 0))
