"""What a run has measured: one value per engine, metric and round; its JSON form. Pure."""

import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

FORMAT: Final = 1
Better = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True)
class Metric:
    """What a value means.

    Attributes:
        group: the table that it belongs to, such as ``bulk``.
        name: the column.
        unit: of the values.
        better: which way is good.
    """

    group: str
    name: str
    unit: str
    better: Better


@dataclass
class Series:
    """The values of one engine and metric, by round."""

    engine: str
    metric: Metric
    rounds: dict[int, float] = field(default_factory=dict)

    @property
    def values(self) -> list[float]:
        """In the order of the rounds."""
        return [self.rounds[number] for number in sorted(self.rounds)]

    @property
    def median(self) -> float:
        return statistics.median(self.values)


@dataclass(frozen=True, slots=True)
class Subject:
    """An engine as a report names it.

    Attributes:
        name: its short name.
        label: what it is.
        group: its class; engines of different classes are never ranked together.
        version: of its programs.
        skipped: why there are no figures of it; empty when there are.
    """

    name: str
    label: str
    group: str
    version: str = ""
    skipped: str = ""


@dataclass
class Record:
    """Everything of one run."""

    machine: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    subjects: dict[str, Subject] = field(default_factory=dict)
    series: dict[tuple[str, str, str], Series] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, engine: str, metric: Metric, number: int, value: float) -> None:
        """Notes a value; a second one of the same round takes the first one's place."""
        key = (engine, metric.group, metric.name)
        self.series.setdefault(key, Series(engine, metric)).rounds[number] = value

    def of(self, engine: str, group: str, name: str) -> Series | None:
        """Returns the series, if it was measured."""
        return self.series.get((engine, group, name))

    def metrics(self, group: str) -> list[Metric]:
        """Returns the metrics of a group in the order in which they came."""
        return list(dict.fromkeys(series.metric for series in self.series.values() if series.metric.group == group))

    def groups(self) -> list[str]:
        return list(dict.fromkeys(series.metric.group for series in self.series.values()))

    def json(self) -> dict[str, Any]:
        """Returns what ``parse`` reads."""
        return {
            "format": FORMAT,
            "machine": self.machine,
            "settings": self.settings,
            "engines": [asdict(subject) for subject in self.subjects.values()],
            "series": [
                {"engine": series.engine, **asdict(series.metric), "rounds": series.rounds}
                for series in self.series.values()
            ],
            "failures": self.failures,
        }


def parse(document: dict[str, Any]) -> Record:
    """Reads what ``Record.json`` made, before or after it was text. Raises ValueError, KeyError, TypeError."""
    if document.get("format") != FORMAT:
        raise ValueError(f"not a result of `make bench`, or of another format than {FORMAT}")
    record = Record(dict(document["machine"]), dict(document["settings"]), failures=list(document["failures"]))
    record.subjects = {each["name"]: Subject(**each) for each in document["engines"]}
    for each in document["series"]:
        metric = Metric(each["group"], each["name"], each["unit"], each["better"])
        for number, value in each["rounds"].items():
            record.add(each["engine"], metric, int(number), float(value))
    return record


def merge(records: Iterable[Record]) -> Record:
    """Joins runs of the same machine into one: their rounds are counted on. Engines that any of them measured are there.

    Machine and settings are the last one's.
    """
    whole = Record()
    after = 0
    for record in records:
        whole.machine, whole.settings = record.machine, record.settings
        for name, subject in record.subjects.items():
            if name not in whole.subjects or not subject.skipped:
                whole.subjects[name] = subject
        last = 0
        for series in record.series.values():
            for number, value in series.rounds.items():
                whole.add(series.engine, series.metric, after + number, value)
                last = max(last, number + 1)
        whole.failures += record.failures
        after += last
    return whole
