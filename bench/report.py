"""A run as Markdown: one table for each group of metrics, engines by class, median with least and most. Pure."""

from collections.abc import Iterable, Sequence

from bench.samples import Metric, Record, Series, Subject

_PRECISION = 3


def number(value: float) -> str:
    """Three digits that count, without an exponent: 0.0123, 1.23, 12,300."""
    if value == 0:
        return "0"
    magnitude = abs(value)
    if magnitude >= 100:
        return f"{float(f'{value:.{_PRECISION}g}'):,.0f}"
    text = f"{value:.{_PRECISION}g}"
    return f"{value:.6f}".rstrip("0") if "e" in text else text


def cell(series: Series | None) -> str:
    """``median (least to most)``; one value stands alone."""
    if series is None:
        return "–"
    values = series.values
    middle = number(series.median)
    return middle if len(values) == 1 else f"{middle} ({number(min(values))} to {number(max(values))})"


def in_classes(record: Record, groups: Sequence[str]) -> list[tuple[str, list[Subject]]]:
    """The engines that were measured, by class; classes that have none are left out."""
    found = []
    for group in groups:
        subjects = [each for each in record.subjects.values() if each.group == group and not each.skipped]
        if subjects:
            found.append((group, subjects))
    return found


def table(record: Record, group: str, groups: Sequence[str]) -> str:
    """One group of metrics: a row for each engine, below the name of its class."""
    metrics = record.metrics(group)
    lines = [
        "| engine | " + " | ".join(f"{metric.name}, {metric.unit}" for metric in metrics) + " |",
        "| --- |" + " --: |" * len(metrics),
    ]
    for name, subjects in in_classes(record, groups):
        rows = []
        for subject in subjects:
            cells = [record.of(subject.name, group, metric.name) for metric in metrics]
            if any(cells):
                rows.append(f"| {subject.label} | " + " | ".join(map(cell, cells)) + " |")
        if rows:
            lines += [f"| *{name}* |" + " |" * len(metrics), *rows]
    return "\n".join(lines)


def markdown(record: Record, groups: Sequence[str], pictures: Iterable[tuple[str, str]] = ()) -> str:
    """The whole report; ``pictures`` are groups and paths."""
    lines = ["# Benchmark", "", *_facts(record), ""]
    pictured: dict[str, list[str]] = {}
    for title, path in pictures:
        pictured.setdefault(title, []).append(f"![{title}]({path})")
    for group in record.groups():
        better: set[str] = {metric.better for metric in record.metrics(group)}
        lines += [f"## {group}", "", *_direction(better), table(record, group, groups), ""]
        if group in pictured:
            lines += [*pictured[group], ""]
    if record.failures:
        lines += ["## What failed", "", *(f"- {each}" for each in record.failures), ""]
    return "\n".join(lines)


def plain(record: Record, groups: Sequence[str]) -> str:
    """The tables alone, for a terminal."""
    parts = [f"{group}\n{table(record, group, groups)}" for group in record.groups()]
    return "\n\n".join([*parts, *(f"failed: {each}" for each in record.failures)])


def _direction(better: set[str]) -> list[str]:
    return [f"{better.pop().capitalize()} is better.", ""] if len(better) == 1 else []


def _facts(record: Record) -> list[str]:
    lines = [f"- {key}: {value}" for key, value in (*record.machine.items(), *record.settings.items())]
    for subject in record.subjects.values():
        what = f"skipped: {subject.skipped}" if subject.skipped else subject.version
        lines.append(f"- {subject.label}" + (f": {what}" if what else ""))
    return lines


def headline(metric: Metric) -> str:
    """A metric's title."""
    return f"{metric.group}: {metric.name}, {metric.unit}"
