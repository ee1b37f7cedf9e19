"""SECURITY.md keeps its promise: what it names exists, and every test that names a threat is in it."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache

import pytest
from sources import ROOT, of_each

TABLE = ROOT / "SECURITY.md"
KNOWN = {
    *(f"D{number}" for number in range(1, 11)),
    *(f"S-{number}" for number in range(1, 16)),
    *(f"T-{number}" for first, last in ((1, 18), (20, 42), (50, 64), (70, 74)) for number in range(first, last + 1)),
    *(f"F-{number}" for number in range(1, 37)),
}
"""Every id of the threat model, covered or not."""

_ID = re.compile(r"(?:[TSF]-|D)[1-9][0-9]?")
_ROW = re.compile(r"\| *`?(?P<id>[A-Z]-?[0-9]\w*)`? *\|")
_NAMED = re.compile(r"`(?P<file>tests/[\w/]+\.py)::(?P<pattern>[\w*]+)`")
_IDS_OF_A_TEST = re.compile(r"test_(?P<ids>(?:[tsdf][0-9]+_)+)")
_OPEN = "## Not covered yet"
_CELLS = 4


@dataclass(frozen=True)
class Row:
    """One line of a table: what it is about, and the tests that it names as (file, pattern)."""

    id: str
    cells: tuple[str, ...]
    tests: tuple[tuple[str, str], ...]


@cache
def rows() -> tuple[Row, ...]:
    """Returns the lines of all tables above the list of what is open."""
    covered = TABLE.read_text().partition(_OPEN)[0]
    found = []
    for line in covered.splitlines():
        match = _ROW.match(line)
        if match:
            cells = tuple(cell.strip() for cell in line.strip().strip("|").split("|"))
            named = tuple((each["file"], each["pattern"]) for each in _NAMED.finditer(cells[-1]))
            found.append(Row(match["id"], cells, named))
    return tuple(found)


def open_ids() -> list[str]:
    """Returns the ids of the list of what is open: ``- **T-1** ...``."""
    return re.findall(r"^- \*\*(.+?)\*\*", TABLE.read_text().partition(_OPEN)[2], re.MULTILINE)


def names_in(source: str) -> Iterator[str]:
    """Yields the names under which pytest finds tests in a file."""
    for node in ast.parse(source).body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if name.startswith("test"):
                yield name
            case ast.ClassDef(name=name) if name.startswith("Test"):
                yield name
                yield from names_in(ast.unparse(ast.Module(body=node.body, type_ignores=[])))
            case ast.Assign(targets=[ast.Name(id=name)]) if name.startswith("Test"):
                yield name


@cache
def catalogue() -> dict[str, tuple[str, ...]]:
    """Returns the names of the tests of every test file."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    return {path.relative_to(ROOT).as_posix(): tuple(names_in(path.read_text())) for path in files}


def ids_of(test: str) -> list[str]:
    """Returns the ids that the name of a test begins with: ``test_s03_t38_…`` is about S-3 and T-38."""
    match = _IDS_OF_A_TEST.match(test)
    words = match["ids"].strip("_").split("_") if match else []
    return [f"{word[0].upper()}{'' if word[0] == 'd' else '-'}{int(word[1:])}" for word in words]


def test_there_are_rows() -> None:
    assert len(rows()) > 40
    assert all(len(row.cells) == _CELLS for row in rows()), [row.id for row in rows() if len(row.cells) != _CELLS]
    assert all(row.tests for row in rows()), [row.id for row in rows() if not row.tests]


def test_ids_have_the_documented_form_and_are_known() -> None:
    assert all(_ID.fullmatch(known) for known in KNOWN)
    named = [row.id for row in rows()] + open_ids()
    assert [one for one in named if one not in KNOWN] == []
    assert len({row.id for row in rows()}) == len(rows()), "one row for one id"
    assert len(set(open_ids())) == len(open_ids())


def test_no_id_is_forgotten() -> None:
    assert KNOWN - {row.id for row in rows()} - set(open_ids()) == set()


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.id)
def test_named_tests_exist(row: Row) -> None:
    for file, pattern in row.tests:
        assert file in catalogue(), f"SECURITY.md, {row.id}: there is no {file}"
        found = [name for name in catalogue()[file] if fnmatchcase(name, pattern)]
        assert found, f"SECURITY.md, {row.id}: no test in {file} is called {pattern}"


def unmentioned(file: str) -> set[str]:
    """Returns what has to be written into which row for the tests of ``file``."""
    named = {row.id: row.tests for row in rows()}
    missing = set()
    for test in catalogue()[file]:
        for one in ids_of(test):
            entries = [pattern for where, pattern in named.get(one, ()) if where == file]
            if not any(fnmatchcase(test, pattern) for pattern in entries):
                prefix = _IDS_OF_A_TEST.match(test)
                missing.add(f"add `{file}::{prefix[0] if prefix else test}*` to row {one}")
    return missing


@of_each([file for file, names in catalogue().items() if any(map(ids_of, names))])
def test_every_test_that_names_a_threat_is_in_its_row(file: str) -> None:
    missing = unmentioned(file)
    if missing:
        pytest.fail("SECURITY.md: " + "; ".join(sorted(missing)), pytrace=False)


@pytest.mark.parametrize(
    ("test", "ids"),
    [
        ("test_t36_a_download_is_cut", ["T-36"]),
        ("test_s03_t38_a_proof", ["S-3", "T-38"]),
        ("test_d10_heads_are_bounded", ["D10"]),
        ("test_f7_with_the_controller_away", ["F-7"]),
        ("test_the_t36_thing", []),
        ("test_t36", []),
        ("test_c20_refused", []),
        ("test_tables", []),
    ],
)
def test_check_reads_ids_in_names(test: str, ids: list[str]) -> None:
    assert ids_of(test) == ids


def test_check_finds_what_pytest_finds() -> None:
    source = "def test_a(): ...\nasync def test_b(): ...\ndef helper(): ...\nTestC = X.TestCase\nclass TestD:\n def test_e(self): ..."
    assert list(names_in(source)) == ["test_a", "test_b", "TestC", "TestD", "test_e"]
