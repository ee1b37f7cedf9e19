"""The witness: what contradicts what, what is kept, and that the keeping is bounded (T-70)."""

import pytest
from connector_world import NOW, World, acl, entry

from connector.core import witness as module
from connector.core.witness import Witness
from protocol.control import Cutoff
from protocol.errors import RemoteError
from protocol.ids import DeviceId, Epoch, Revision
from protocol.reasons import Reason
from protocol.tokens.claims import Checkpoint, Config

WORLD = World()
GENESIS = "0" * 64


def hashed(position: int, branch: str = "a") -> str:
    """The hash of an event of one history of the log."""
    return f"{branch}{position:063d}"


def config(revision: int, *, epoch: int = 1, branch: str = "a") -> Config:
    """A config, reduced to what it says about the log."""
    claims = WORLD.config_claims(acl(entry("10.0.0.1")), revision=revision, epoch=epoch)
    return Config(
        **{**{name: getattr(claims, name) for name in Config.__slots__}, "log_head": hashed(revision, branch)}
    )


def checkpoint(position: int, previous: int = 0, *, epoch: int = 1, branch: str = "a", link: str = "") -> Checkpoint:
    """A verified checkpoint; ``link`` is the branch of the one before it."""
    before = hashed(previous, link or branch) if previous else GENESIS
    token = f"{epoch}.{position}.{branch}"
    return Checkpoint(
        "ctl_x",
        Epoch(epoch),
        Revision(position),
        hashed(position, branch),
        Revision(previous),
        before,
        NOW,
        NOW + 9,
        token,
    )


def seen(*pairs: tuple[Config, Checkpoint | None]) -> Witness:
    """A witness of these configs."""
    made = Witness()
    for given, carried in pairs:
        made.examine(given, carried, NOW)
    return made


def conflict(witness: Witness, given: Config, carried: Checkpoint | None = None) -> str:
    """The detail of the refusal, which must be a noted conflict."""
    with pytest.raises(RemoteError) as refused:
        witness.examine(given, carried, NOW + 1)
    assert refused.value.reason is Reason.LOG_CONFLICT
    assert (witness.conflicts[-1].position, witness.conflicts[-1].seen_at) == (given.revision, NOW + 1)
    assert witness.conflicts[-1].detail == refused.value.detail
    return refused.value.detail


def test_t70_a_log_that_grows_is_witnessed() -> None:
    witness = seen(
        (config(7), checkpoint(7)), (config(7), checkpoint(7)), (config(12), checkpoint(10, 7)), (config(13), None)
    )
    assert [(item.position, item.hash) for item in witness.checkpoints] == [(7, hashed(7)), (10, hashed(10))]
    assert [item.position for item in witness.heads] == [7, 12, 13]
    assert witness.newest == witness.heads[-1]
    assert (witness.conflicts, witness.conflict_count) == ([], 0)
    assert witness.knows(checkpoint(10).token)
    assert not witness.knows(checkpoint(11).token)


def test_t70_another_hash_at_a_position_that_a_config_named_is_a_conflict() -> None:
    witness = seen((config(7), None), (config(8), None))
    assert "event 8" in conflict(witness, config(8, branch="b"))


def test_t70_another_hash_at_a_position_that_a_checkpoint_named_is_a_conflict() -> None:
    witness = seen((config(7), checkpoint(5)))
    assert "event 5" in conflict(witness, config(9, branch="b"), checkpoint(5, branch="b"))
    assert "event 5" in conflict(seen((config(4), checkpoint(5))), config(5, branch="b"))
    assert "event 7" in conflict(witness, config(9, branch="b"), checkpoint(7, 5, branch="b", link="a"))


def test_t70_a_checkpoint_that_leaves_a_witnessed_one_out_is_a_conflict() -> None:
    witness = seen((config(7), checkpoint(5)), (config(10), checkpoint(9, 5)))
    detail = conflict(witness, config(12, branch="b"), checkpoint(12, 5, branch="b", link="a"))
    assert "leaves out the one of event 9" in detail


def test_t70_a_checkpoint_that_follows_another_history_is_a_conflict() -> None:
    witness = seen((config(7), checkpoint(5)))
    assert "follows another one than that of 5" in conflict(witness, config(12), checkpoint(12, 5, link="b"))


def test_t70_what_was_refused_is_not_believed_afterwards() -> None:
    witness = seen((config(7), None))
    conflict(witness, config(7, branch="b"), checkpoint(6, branch="b"))
    witness.examine(config(8), checkpoint(6), NOW)
    assert [item.hash for item in witness.checkpoints] == [hashed(6)]


def test_t8_a_log_that_ends_earlier_is_refused_as_older() -> None:
    witness = seen((config(7), None))
    with pytest.raises(RemoteError) as refused:
        witness.examine(config(6), None, NOW)
    assert refused.value.reason is Reason.SNAPSHOT_ROLLBACK
    assert witness.conflicts == []


def test_an_older_checkpoint_of_a_replica_that_lags_is_no_conflict() -> None:
    witness = seen((config(7), checkpoint(5)), (config(10), checkpoint(9, 5)), (config(11), checkpoint(5)))
    assert [item.position for item in witness.checkpoints] == [5, 9]


def test_a_checkpoint_between_two_that_follow_each_other_is_a_conflict() -> None:
    witness = seen((config(20), checkpoint(15, 10)), (config(21), checkpoint(20, 15)))
    assert "leaves out" in conflict(witness, config(22), checkpoint(18, 10))


def test_f26_a_higher_epoch_begins_anew_and_the_old_notes_stay() -> None:
    witness = seen(
        (config(250), checkpoint(240)), (config(120, epoch=2, branch="b"), checkpoint(110, 100, epoch=2, branch="b"))
    )
    assert [(item.epoch, item.position) for item in witness.checkpoints] == [(1, 240), (2, 110)]
    assert witness.newest is not None
    assert (witness.newest.epoch, witness.newest.position) == (2, 120)
    assert witness.conflicts == []
    with pytest.raises(RemoteError, match="110"):
        witness.examine(config(110, epoch=2, branch="c"), None, NOW)


def test_f26_revocations_are_remembered_once_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CUTOFFS_MAX", 3)
    witness = Witness()
    cuts = [Cutoff(DeviceId(f"dev_{number}"), None, NOW, "device_revoked") for number in range(5)]
    witness.note_cutoffs(1, 7, cuts[:2])
    witness.changed = False
    witness.note_cutoffs(1, 8, cuts[:2])
    assert not witness.changed
    witness.note_cutoffs(1, 9, cuts)
    assert witness.changed
    assert [(item.revision, item.cutoff.device) for item in witness.cutoffs] == [(9, f"dev_{n}") for n in (2, 3, 4)]


def test_d10_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECKPOINTS_MAX", 8)
    monkeypatch.setattr(module, "HEADS_MAX", 3)
    monkeypatch.setattr(module, "CONFLICTS_MAX", 2)
    witness = seen((config(5), checkpoint(5)))
    for position in range(10, 200, 10):
        witness.examine(config(position, epoch=2), checkpoint(position, position - 10, epoch=2), NOW)
        assert len(witness.checkpoints) <= 8
    assert (1, 5) in [(item.epoch, item.position) for item in witness.checkpoints]
    assert [item.position for item in witness.checkpoints][-4:] == [160, 170, 180, 190]
    assert [item.position for item in witness.heads] == [170, 180, 190]
    for position in (170, 170, 180, 190):
        conflict(witness, config(position, epoch=2, branch="b"))
    assert [item.position for item in witness.conflicts] == [180, 190]
    assert witness.conflict_count == 4
