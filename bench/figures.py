"""Named samples and their table, for the benchmarks that have one subject (``bench.client_idle`` and its parts)."""

import statistics
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Figures:
    """Samples by metric name; ``unit`` by metric name."""

    samples: dict[str, list[float]] = field(default_factory=dict)
    unit: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, value: float, unit: str) -> None:
        self.samples.setdefault(name, []).append(value)
        self.unit[name] = unit

    def table(self) -> str:
        rows = ["| metric | median | min | max | n | unit |", "| --- | --: | --: | --: | --: | --- |"]
        for name, values in self.samples.items():
            middle = statistics.median(values)
            rows.append(
                f"| {name} | {middle:.3g} | {min(values):.3g} | {max(values):.3g} | {len(values)} | {self.unit[name]} |"
            )
        return "\n".join(rows)

    def json(self) -> dict[str, Any]:
        return {
            name: {"unit": self.unit[name], "median": statistics.median(values), "samples": values}
            for name, values in self.samples.items()
        }
