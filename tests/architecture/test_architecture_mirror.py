"""Each pure module has a test file of its own name, so that what covers it is found without searching."""

import ast
from fnmatch import fnmatch
from functools import lru_cache

import pytest
from sources import PACKAGES, ROOT, modules, names_of_tests, nodes_of, of_each

PURE_FOLDERS = ("protocol/*", "*/core/*", "*/domain/*", "client/packet/*")

# Covered only by other modules' tests. This list may only get shorter: an entry that got its test must be deleted, and the bound lowered.
EXEMPT: frozenset[str] = frozenset()
EXEMPT_AT_MOST = 0


def _has_code(module: str) -> bool:
    """Tells whether a module does anything: plain data (dataclasses, enums, constants) is covered by its users."""
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and not any(isinstance(decorator, ast.Name) and decorator.id == "property" for decorator in node.decorator_list)
        for node in nodes_of(module)
    )


def _mirrored() -> list[str]:
    pure = [module for module in modules(*PACKAGES) if any(fnmatch(module, folder) for folder in PURE_FOLDERS)]
    return [module for module in pure if _has_code(module) and not module.endswith("__init__.py")]


@lru_cache(maxsize=1)
def _owners() -> dict[str, str]:
    """Returns the module that each test name stands for; a name that two modules could claim stands for neither."""
    claims: dict[str, set[str]] = {}
    for module in modules(*PACKAGES):
        for name in names_of_tests(module):
            claims.setdefault(name, set()).add(module)
    return {name: module for name, (module, *others) in claims.items() if not others}


@lru_cache(maxsize=1)
def _covered() -> frozenset[str]:
    """Returns the modules that have a test file; a file counts for the longest module name that it begins with.

    So ``test_domain_decide_people.py`` is the test of ``decide_people.py`` and not of ``decide.py`` beside it.
    """
    covered: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        words = path.stem.split("_")
        starts = ("_".join(words[:count]) for count in range(len(words), 0, -1))
        covered.update(next(([_owners()[start]] for start in starts if start in _owners()), []))
    return frozenset(covered)


@of_each(sorted(set(_mirrored()) - EXEMPT))
def test_pure_module_has_its_test_file(module: str) -> None:
    if module not in _covered():
        wanted = sorted(f"{name}*.py" for name, owner in _owners().items() if owner == module)
        pytest.fail(f"{module}: add {' or '.join(wanted)} somewhere below tests/", pytrace=False)


def test_exemptions_only_shrink() -> None:
    assert len(EXEMPT) <= EXEMPT_AT_MOST, "exempt no further module: write its test"
    done = EXEMPT & _covered()
    assert not done, f"delete from EXEMPT and lower EXEMPT_AT_MOST: {sorted(done)}"
    gone = EXEMPT - set(_mirrored())
    assert not gone, f"these modules are gone or empty: {sorted(gone)}"


def test_test_files_have_unique_names() -> None:
    seen: dict[str, str] = {}
    for path in sorted((ROOT / "tests").rglob("*.py")):
        if path.stem in ("conftest", "__init__"):
            continue
        place = path.relative_to(ROOT).as_posix()
        assert path.stem not in seen, f"{place} and {seen[path.stem]} have one name"
        seen[path.stem] = place
