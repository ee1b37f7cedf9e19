"""What witnesses tell about revocations that a restored backup does not know (F-26)."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from policy_world import World

from controller.cli.review import review, show
from protocol.errors import LocalError
from protocol.ids import Epoch


def notes(folder: Path, *cutoffs: dict[str, Any], head: tuple[int, int] = (1, 900)) -> Path:
    """A witness's file."""
    sighting = {"epoch": head[0], "position": head[1], "hash": "h", "issued_at": 1, "seen_at": 1, "token": ""}
    body = {"format": "ostiary-witness/1", "issuer": "ctl_test", "connector": "con_x", "checkpoints": []}
    path = folder / "office.json"
    path.write_text(json.dumps({**body, "heads": [sighting], "cutoffs": list(cutoffs)}))
    return path


def cutoff(device: str, revision: int, *, epoch: int = 1, resource: str | None = None) -> dict[str, Any]:
    """A revocation that a connector was told of."""
    return {
        "epoch": epoch,
        "revision": revision,
        "device": device,
        "resource": resource,
        "before": 1,
        "reason": "device_revoked",
    }


def test_f26_newer_revocations_of_living_devices_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World()
    device = world.device(world.user())
    state = replace(world.state, issuer="ctl_test", epoch=Epoch(1))
    path = notes(
        tmp_path,
        cutoff(device, state.position + 5),
        cutoff(device, state.position),
        cutoff("dev_gone", state.position + 5),
        cutoff(device, 1, epoch=2, resource="res_x"),
    )
    made = review(state, "h", None, [path])
    assert [(item["revision"], item["resource"], item["witness"]) for item in made.cutoffs] == [
        (state.position + 5, None, "con_x"),
        (1, "res_x", "con_x"),
    ]
    assert (made.lost_events, made.newest_epoch) == (900 - state.position, 1)
    show(made)
    shown = capsys.readouterr().out
    assert f"At least {900 - state.position} later events are lost" in shown
    assert "device_revoked" in shown
    assert "everything" in shown


def test_f26_the_highest_epoch_of_all_witnesses_counts(tmp_path: Path) -> None:
    world = World()
    state = replace(world.state, issuer="ctl_test", epoch=Epoch(1))
    made = review(state, "h", None, [notes(tmp_path, head=(7, 3))])
    assert (made.newest_epoch, made.lost_events) == (7, 0)


@pytest.mark.parametrize("change", [{"heads": None}, {"cutoffs": [{}]}, {"heads": [{"epoch": "x", "position": 1}]}])
def test_a_damaged_witness_is_named(tmp_path: Path, change: dict[str, Any]) -> None:
    state = replace(World().state, issuer="ctl_test")
    path = notes(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(LocalError, match=r"office\.json is damaged"):
        review(state, "h", None, [path])
