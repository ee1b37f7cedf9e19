"""Writes results; ``python -m bench.publish OUT.json RUN.json …`` joins runs of one machine, such as parts of the suite, into one report."""

import argparse
import json
import sys
from pathlib import Path

from bench import plot, report
from bench.engines.engine import GROUPS
from bench.samples import Record, merge, parse


def write(record: Record, path: Path) -> list[Path]:
    """Writes the JSON to ``path``, the report and a folder of plots beside it; returns what was written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record.json(), indent=1) + "\n")
    written, pictures = [path], []
    for group in record.groups():
        if picture := plot.group_svg(record, group, GROUPS):
            file = path.with_suffix("") / f"{group.replace(' ', '-').lower()}.svg"
            file.parent.mkdir(exist_ok=True)
            file.write_text(picture)
            written.append(file)
            pictures.append((group, f"{file.parent.name}/{file.name}"))
    path.with_suffix(".md").write_text(report.markdown(record, GROUPS, pictures))
    return [*written, path.with_suffix(".md")]


def main(arguments: list[str] | None = None) -> int:
    """The command; 2 when a file cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m bench.publish", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    options = parser.parse_args(arguments)
    try:
        records = [parse(json.loads(path.read_text())) for path in options.runs]
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"cannot be read: {error}", file=sys.stderr)
        return 2
    print("\n".join(map(str, write(merge(records), options.out))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
