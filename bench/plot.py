"""Plots as SVG: for each metric a panel, in it a bar for each engine with a line from the least to the most round. Pure.

Classes have a colour each, named in a legend, because engines of different classes promise different things.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from bench.report import headline, in_classes, number
from bench.samples import Metric, Record

_WIDTH: Final = 760
_LABELS: Final = 250
_ROOM: Final = _WIDTH - _LABELS - 130
"""Of the longest bar; figures stand to the right of it."""
_ROW: Final = 20
_HEAD: Final = 34
_COLOURS: Final = ("#1f5fa8", "#0f8f8f", "#b3541e", "#5b7f2b", "#7a4f9a", "#6b6b6b")
"""One for each class, the last one, plain routing, in grey."""
_LONG_TAIL: Final = 50.0
"""From this ratio of the greatest to the least on, the scale is logarithmic, and says so."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One engine in a panel: its label, its class's number, and what the rounds gave."""

    label: str
    group: int
    middle: float
    least: float
    most: float


def group_svg(record: Record, group: str, groups: Sequence[str]) -> str:
    """All metrics of a group, below each other; empty when no engine has any."""
    panels = [(metric, found) for metric in record.metrics(group) if (found := bars(record, metric, groups))]
    if not panels:
        return ""
    height = sum(_HEAD + _ROW * len(found) + 14 for _, found in panels) + 26
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    top = 8
    for metric, found in panels:
        lines += _panel(metric, found, top)
        top += _HEAD + _ROW * len(found) + 14
    lines += _legend(groups, sorted({bar.group for _, found in panels for bar in found}), height - 10)
    return "\n".join([*lines, "</svg>", ""])


def bars(record: Record, metric: Metric, groups: Sequence[str]) -> list[Bar]:
    """The engines that have a metric, by class."""
    found = []
    for name, subjects in in_classes(record, groups):
        for subject in subjects:
            series = record.of(subject.name, metric.group, metric.name)
            if series is not None:
                values = series.values
                found.append(Bar(subject.label, groups.index(name), series.median, min(values), max(values)))
    return found


def scale(found: Sequence[Bar]) -> tuple[float, float]:
    """The values at the left and the right end of a panel; the left one is 0 unless the scale is logarithmic."""
    most = max((bar.most for bar in found), default=0.0) or 1.0
    least = min((bar.least for bar in found), default=0.0)
    return (least / 2, most) if least > 0 and most / least >= _LONG_TAIL else (0.0, most)


def place(value: float, ends: tuple[float, float]) -> float:
    """Where a value lies between the ends, 0 to 1."""
    left, right = ends
    if left > 0:
        return max(0.0, math.log(max(value, left) / left) / math.log(right / left))
    return max(0.0, value / right)


def _panel(metric: Metric, found: Sequence[Bar], top: int) -> list[str]:
    ends = scale(found)
    hint = f"{metric.better} is better" + (", logarithmic" if ends[0] else "")
    lines = [
        f'<text x="10" y="{top + 18}" font-weight="bold">{escape(headline(metric))}</text>',
        f'<text x="{_WIDTH - 10}" y="{top + 18}" text-anchor="end" fill="#555555">{hint}</text>',
    ]
    for row, bar in enumerate(found):
        y = top + _HEAD + row * _ROW
        least, middle, most = (_LABELS + _ROOM * place(value, ends) for value in (bar.least, bar.middle, bar.most))
        lines += [
            f'<text x="{_LABELS - 8}" y="{y + 12}" text-anchor="end">{escape(bar.label)}</text>',
            f'<rect x="{_LABELS}" y="{y + 2}" width="{max(1.0, middle - _LABELS):.1f}" height="{_ROW - 7}" '
            f'fill="{_COLOURS[bar.group % len(_COLOURS)]}"/>',
            f'<line x1="{least:.1f}" x2="{most:.1f}" y1="{y + 8.5}" y2="{y + 8.5}" stroke="#000000" stroke-width="1.5"/>',
            f'<text x="{max(middle, most) + 6:.1f}" y="{y + 12}">{escape(number(bar.middle))}</text>',
        ]
    return lines


def _legend(groups: Sequence[str], used: Sequence[int], y: int) -> list[str]:
    lines, x = [], 10.0
    for each in used:
        lines.append(f'<rect x="{x:.0f}" y="{y - 9}" width="10" height="10" fill="{_COLOURS[each % len(_COLOURS)]}"/>')
        lines.append(f'<text x="{x + 14:.0f}" y="{y}" font-size="10">{escape(groups[each])}</text>')
        x += 30 + 4.9 * len(groups[each])
    return lines
