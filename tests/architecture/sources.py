"""The product's sources as text and as syntax trees, for the tests of this folder."""

import ast
from collections.abc import Callable, Iterable
from functools import cache
from itertools import combinations
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("protocol", "runtime", "controller", "relay", "connector", "client")
DRIVERS = ("lab", "bench")
"""They drive the product from outside."""


def modules(*packages: str) -> list[str]:
    """Returns the paths of all Python files below these folders, relative to the root of the repository."""
    found = (path for package in packages for path in (ROOT / package).rglob("*.py"))
    return sorted(path.relative_to(ROOT).as_posix() for path in found if "node_modules" not in path.parts)


@cache
def text_of(module: str) -> str:
    """Returns the source of a module."""
    return (ROOT / module).read_text()


@cache
def tree_of(module: str) -> ast.Module:
    """Returns the syntax tree of a module."""
    return ast.parse(text_of(module), filename=module)


@cache
def nodes_of(module: str) -> tuple[ast.AST, ...]:
    """Returns all nodes of a module's syntax tree: walking it once for each rule would be most of the work."""
    return tuple(ast.walk(tree_of(module)))


def of_each(subjects: Iterable[str]) -> Callable[[Callable[[str], None]], Callable[[], None]]:
    """Makes one test of a rule about ``subjects``: it fails with all that break the rule.

    A test for each of them would be thousands, which take longer to collect than to run. One worker has them all, so that the
    sources are parsed once.
    """

    def decorate(rule: Callable[[str], None]) -> Callable[[], None]:
        @pytest.mark.xdist_group("sources")
        def test() -> None:
            broken = []
            for subject in subjects:
                try:
                    rule(subject)
                except (AssertionError, pytest.fail.Exception) as error:
                    broken.append(str(error))
            assert not broken, "\n".join(broken)

        test.__name__ = rule.__name__
        return test

    return decorate


def dotted(node: ast.AST) -> str:
    """Returns ``a.b.c`` for a name or an attribute of names; the last parts for anything else (``().close``)."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            return f"{dotted(value)}.{attr}"
    return "()"


@cache
def calls(module: str) -> list[tuple[ast.Call, str]]:
    """Returns every call of a module with the dotted name of what is called."""
    return [(node, dotted(node.func)) for node in nodes_of(module) if isinstance(node, ast.Call)]


def names_of_tests(module: str) -> set[str]:
    """Returns the names that a test file of this module may begin with.

    ``protocol/mux/session.py`` may be tested by ``test_mux_session*.py``, ``test_protocol_session*.py`` or
    ``test_protocol_mux_session*.py``: the module's name behind one or more of its folders, in order.
    """
    *folders, name = Path(module).with_suffix("").parts
    chosen = (combinations(folders, count) for count in range(1, len(folders) + 1))
    return {"_".join(("test", *some, name.strip("_"))) for group in chosen for some in group}
