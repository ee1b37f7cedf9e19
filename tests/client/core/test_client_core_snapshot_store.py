"""Snapshots never go backwards (D8, T-8)."""

import pytest
from client_policy import WALL, entry, snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from client.core.snapshot_store import NOTHING_SEEN, SnapshotGuard, Watermark
from protocol.errors import RefusedError
from protocol.ids import Epoch, Revision
from protocol.reasons import Reason


def test_first_snapshot_gains_everything() -> None:
    guard = SnapshotGuard()
    assert guard.expired(WALL)
    changes = guard.accept(snapshot(entry("10.0.0.0/8"), revision=5), WALL)
    assert [each.resource.id for each in changes.gained] == ["res_1"]
    assert guard.seen == Watermark(Epoch(1), Revision(5))
    assert not guard.expired(WALL)


def test_newer_snapshot_names_what_is_lost() -> None:
    guard = SnapshotGuard()
    guard.accept(snapshot(entry("10.0.0.0/8"), revision=5), WALL)
    changes = guard.accept(snapshot(entry("10.1.0.0/16", number=2), revision=6), WALL)
    assert changes.lost == ("res_1",)
    assert guard.current == snapshot(entry("10.1.0.0/16", number=2), revision=6)


@pytest.mark.parametrize(("epoch", "revision"), [(1, 4), (0, 99)])
def test_t8_older_snapshot_is_refused(epoch: int, revision: int) -> None:
    guard = SnapshotGuard()
    current = snapshot(revision=5)
    guard.accept(current, WALL)
    with pytest.raises(RefusedError, match=rf"epoch {epoch} revision {revision} after epoch 1 revision 5") as caught:
        guard.accept(snapshot(entry("0.0.0.0/0"), epoch=epoch, revision=revision), WALL)
    assert caught.value.reason is Reason.SNAPSHOT_ROLLBACK
    assert guard.current is current


def test_t8_yesterdays_stored_snapshot_is_refused_at_load() -> None:
    guard = SnapshotGuard(Watermark(Epoch(1), Revision(9)))
    with pytest.raises(RefusedError) as caught:
        guard.accept(snapshot(revision=8), WALL)
    assert caught.value.reason is Reason.SNAPSHOT_ROLLBACK
    guard.accept(snapshot(revision=9), WALL)


def test_higher_epoch_after_a_restored_backup_is_taken() -> None:
    guard = SnapshotGuard()
    guard.accept(snapshot(revision=900), WALL)
    guard.accept(snapshot(epoch=2, revision=3), WALL)
    assert guard.seen == Watermark(Epoch(2), Revision(3))


def test_expired_snapshot_is_refused() -> None:
    guard = SnapshotGuard()
    with pytest.raises(RefusedError) as caught:
        guard.accept(snapshot(not_after=WALL), WALL)
    assert caught.value.reason is Reason.TOKEN_EXPIRED
    assert guard.seen == NOTHING_SEEN


def test_snapshot_in_force_expires() -> None:
    guard = SnapshotGuard()
    guard.accept(snapshot(not_after=WALL + 10), WALL)
    assert not guard.expired(WALL + 9)
    assert guard.expired(WALL + 10)


def test_same_revision_prolonged_is_taken_and_shortened_is_not() -> None:
    guard = SnapshotGuard()
    guard.accept(snapshot(not_after=WALL + 100), WALL)
    prolonged = snapshot(not_after=WALL + 200)
    guard.accept(prolonged, WALL)
    assert guard.current is prolonged
    changes = guard.accept(snapshot(not_after=WALL + 50), WALL)
    assert guard.current is prolonged
    assert (changes.gained, changes.lost) == ((), ())


def test_sign_out_keeps_the_watermark() -> None:
    guard = SnapshotGuard()
    guard.accept(snapshot(revision=5), WALL)
    guard.forget()
    assert guard.expired(WALL)
    with pytest.raises(RefusedError):
        guard.accept(snapshot(revision=4), WALL)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5))))
def test_t8_watermark_never_decreases(offers: list[tuple[int, int]]) -> None:
    guard = SnapshotGuard()
    for epoch, revision in offers:
        before = guard.seen
        try:
            guard.accept(snapshot(epoch=epoch, revision=revision), WALL)
        except RefusedError:
            assert Watermark(Epoch(epoch), Revision(revision)) < before
        assert guard.seen >= before
