"""Whether a run became slower: what is found, what is noise, and what the exit status says."""

import json
import random
from pathlib import Path

import pytest

from bench.compare import compare, main
from bench.samples import Metric, Record, Subject

UP = Metric("bulk", "1 up", "Gbit/s", "higher")
P50 = Metric("new connections", "connected, p50", "ms", "lower")
LOSS = Metric("UDP loss", "1,200 B at 300 Mbit/s", "%", "lower")


def record(
    rounds: int = 5,
    *,
    speed: float = 1.0,
    machine: float = 1.0,
    loss: float = 0.0,
    seed: int = 1,
    by: str = "stunnel-haproxy",
) -> Record:
    """A run in which ours is ``speed`` times as fast as usual, on a machine that is ``machine`` times as fast, a little else each round."""
    chance = random.Random(seed)
    found = Record({"cpu": "2 x some"}, {"seconds of a transfer": 8.0})
    for name in ("ostiary-tun", by):
        found.subjects[name] = Subject(name, name, "class")
    for number in range(rounds):
        weather = machine * chance.uniform(0.8, 1.25)
        found.add(by, UP, number, 5 * weather * chance.uniform(0.99, 1.01))
        found.add("ostiary-tun", UP, number, speed * weather * chance.uniform(0.99, 1.01))
        found.add(by, P50, number, 3 / weather)
        found.add("ostiary-tun", P50, number, 2 / weather / speed * chance.uniform(0.99, 1.01))
        found.add("ostiary-tun", LOSS, number, loss)
    return found


def verdicts(old: Record, new: Record) -> dict[str, str]:
    return {change.metric.name: change.verdict(0.01, 0.05) for change in compare(old, new).changes}


def test_equal_runs_are_the_same() -> None:
    assert set(verdicts(record(seed=1), record(seed=2)).values()) == {"same"}


def test_a_tenth_slower_is_seen_through_weather_of_a_quarter() -> None:
    assert verdicts(record(seed=1), record(seed=2, speed=0.9)) == {
        UP.name: "slower",
        P50.name: "slower",
        LOSS.name: "same",
    }


def test_better_is_told_for_both_kinds_of_metric() -> None:
    found = verdicts(record(seed=1), record(seed=2, speed=1.2))
    assert (found[UP.name], found[P50.name]) == ("faster", "faster")


def test_a_slower_machine_is_not_a_slower_product() -> None:
    assert "slower" not in verdicts(record(seed=1), record(seed=2, machine=0.6)).values()


def test_without_the_reference_the_machine_would_be_blamed() -> None:
    old, new = record(seed=1, by="nobody"), record(seed=2, machine=0.5, by="nobody")
    assert verdicts(old, new)[UP.name] == "slower"


def test_what_is_certain_and_small_is_no_alarm() -> None:
    changes = compare(record(seed=1), record(seed=2, speed=0.97)).changes
    change = next(each for each in changes if each.metric == UP)
    assert change.p_slower <= 0.05
    assert change.verdict(0.05, 0.05) == "same"
    assert change.verdict(0.05, 0.001) == "slower"


def test_loss_where_there_was_none_is_worse() -> None:
    assert verdicts(record(seed=1), record(seed=2, loss=4.0))[LOSS.name] == "slower"


def test_few_rounds_are_not_judged() -> None:
    found = compare(record(3), record(3, speed=0.1))
    assert found.changes == ()
    assert len(found.too_few) == 3


def test_references_are_not_judged_unless_asked_for() -> None:
    old, new = record(seed=1), record(seed=2)
    assert {change.engine for change in compare(old, new).changes} == {"ostiary-tun"}
    assert {change.engine for change in compare(old, new, engines=["stunnel-haproxy"]).changes} == {"stunnel-haproxy"}


def test_another_machine_is_told() -> None:
    other = record(seed=2)
    other.machine["cpu"] = "64 x other"
    assert any("not the same cpu" in remark for remark in compare(record(), other).remarks)


def written(path: Path, found: Record) -> str:
    path.write_text(json.dumps(found.json()))
    return str(path)


@pytest.mark.parametrize(("speed", "status"), [(1.0, 0), (0.7, 1), (1.4, 0)])
def test_the_exit_status_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str], speed: float, status: int) -> None:
    old, new = (
        written(tmp_path / "old.json", record(seed=1)),
        written(tmp_path / "new.json", record(seed=2, speed=speed)),
    )
    assert main([old, new]) == status
    said = capsys.readouterr().out
    assert ("slower  ostiary-tun: bulk: 1 up" in said) == (status == 1)
    assert "over stunnel-haproxy" in main_all(old, new, capsys)


def main_all(old: str, new: str, capsys: pytest.CaptureFixture[str]) -> str:
    main([old, new, "--all"])
    return capsys.readouterr().out


def test_what_says_nothing_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, few = written(tmp_path / "good.json", record()), written(tmp_path / "few.json", record(2))
    other = tmp_path / "other.json"
    other.write_text('{"machine": {}, "figures": {}}')
    assert main([good, few]) == 2
    assert main([good, str(other)]) == 2
    assert main([good, str(tmp_path / "absent.json")]) == 2
    assert "cannot be read" in capsys.readouterr().err
