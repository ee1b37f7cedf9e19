"""What a run leaves behind: its JSON, its tables, its plots."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import plot, publish, report
from bench.engines.engine import GROUPS
from bench.samples import Metric, Record, Subject, merge, parse

CLASSES = ("ours", "theirs", "nobody's")
UP = Metric("bulk", "1 up", "Gbit/s", "higher")
DOWN = Metric("bulk", "1 down", "Gbit/s", "higher")
P50 = Metric("answers", "p50 idle", "ms", "lower")


def record() -> Record:
    found = Record({"cpu": "2 x some"}, {"rounds": 3}, failures=["b: answers, round 2: <no> & never"])
    found.subjects = {
        "b": Subject("b", "Theirs & <co>", "theirs", "b 1.0"),
        "a": Subject("a", "Ours", "ours", "commit 123"),
        "c": Subject("c", "Absent", "theirs", skipped="c: not installed"),
    }
    for number, value in enumerate((1.0, 3.0, 2.0)):
        found.add("a", UP, number, value)
        found.add("b", UP, number, 100 * value)
    found.add("a", P50, 0, 0.01234)
    return found


def test_json_and_back() -> None:
    found = record()
    again = parse(json.loads(json.dumps(found.json())))
    assert again == found
    assert again.of("a", "bulk", "1 up").values == [1.0, 3.0, 2.0]  # type: ignore[union-attr]


@pytest.mark.parametrize("document", [{}, {"format": 0}, {"format": 1}, {"machine": {}, "figures": {}}])
def test_other_files_are_no_results(document: dict[str, object]) -> None:
    with pytest.raises((ValueError, KeyError)):
        parse(document)


def test_runs_are_joined_with_their_rounds_counted_on() -> None:
    more = record()
    more.subjects["c"] = Subject("c", "Absent", "theirs", "c 2")
    whole = merge([record(), more])
    assert whole.of("a", "bulk", "1 up").values == [1.0, 3.0, 2.0] * 2  # type: ignore[union-attr]
    assert whole.subjects["c"].skipped == ""
    assert len(whole.failures) == 2


def test_a_row_has_median_least_and_most_below_its_class() -> None:
    lines = report.table(record(), "bulk", CLASSES).splitlines()
    assert lines == [
        "| engine | 1 up, Gbit/s |",
        "| --- | --: |",
        "| *ours* | |",
        "| Ours | 2 (1 to 3) |",
        "| *theirs* | |",
        "| Theirs & <co> | 200 (100 to 300) |",
    ]


def test_a_figure_that_is_not_there_is_a_dash() -> None:
    found = record()
    found.add("b", DOWN, 0, 5.0)
    assert "| Ours | 2 (1 to 3) | – |" in report.table(found, "bulk", CLASSES)
    assert "Theirs" not in report.table(found, "answers", CLASSES)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0"), (0.01234, "0.0123"), (1.2345, "1.23"), (99.96, "100"), (12345, "12,300"), (0.000012, "0.000012")],
)
def test_numbers_have_three_digits_that_count(value: float, expected: str) -> None:
    assert report.number(value) == expected


def test_the_report_says_what_was_skipped_and_what_failed() -> None:
    text = report.markdown(record(), CLASSES, [("bulk", "x/bulk.svg")])
    assert "- Absent: skipped: c: not installed" in text
    assert "- b: answers, round 2" in text
    assert "![bulk](x/bulk.svg)" in text
    assert (
        text.index("## bulk")
        < text.index("Higher is better.")
        < text.index("## answers")
        < text.index("Lower is better.")
    )


def test_runs_become_one_report_with_its_plots(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "GROUPS", CLASSES)
    run = tmp_path / "run.json"
    run.write_text(json.dumps(record().json()))
    out = tmp_path / "results" / "joined.json"
    assert publish.main([str(out), str(run), str(run)]) == 0
    assert parse(json.loads(out.read_text())) == merge([record(), record()])
    text = out.with_suffix(".md").read_text()
    for name in ("bulk", "answers"):
        assert f"](joined/{name}.svg)" in text
        ElementTree.parse(tmp_path / "results" / "joined" / f"{name}.svg")
    assert len(capsys.readouterr().out.splitlines()) == 4
    run.write_text("{}")
    assert publish.main([str(out), str(run)]) == 2


def test_a_plot_has_a_bar_for_each_engine_and_is_xml() -> None:
    picture = ElementTree.fromstring(plot.group_svg(record(), "bulk", CLASSES))
    texts = [element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert {"Ours", "Theirs & <co>", "200", "2"} <= set(texts)
    assert not {"Absent", "nobody's"} & set(texts)
    assert len(list(picture.iter("{http://www.w3.org/2000/svg}line"))) == 2
    assert plot.group_svg(record(), "other", CLASSES) == ""


def test_each_class_has_a_colour_of_its_own() -> None:
    found = Record()
    for group in GROUPS:
        found.subjects[group] = Subject(group, group, group)
        found.add(group, UP, 0, 1.0)
    picture = ElementTree.fromstring(plot.group_svg(found, "bulk", GROUPS))
    legend = [each for each in picture.iter("{http://www.w3.org/2000/svg}rect") if each.get("width") == "10"]
    assert len({each.get("fill") for each in legend}) == len(GROUPS)


def test_bars_are_as_long_as_their_values_until_they_are_too_far_apart() -> None:
    near = [plot.Bar("a", 0, 2, 1, 4), plot.Bar("b", 0, 3, 3, 3)]
    assert plot.scale(near) == (0.0, 4)
    assert plot.place(2, plot.scale(near)) == 0.5
    far = [*near, plot.Bar("c", 0, 900, 800, 1000)]
    left, right = plot.scale(far)
    assert (left, right) == (0.5, 1000)
    assert 0 < plot.place(1, (left, right)) < plot.place(10, (left, right)) < plot.place(1000, (left, right)) == 1.0
    assert plot.scale([plot.Bar("a", 0, 0, 0, 0)]) == (0.0, 1.0)
