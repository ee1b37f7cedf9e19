"""Docstrings, sizes and names of modules."""

import ast

from sources import DRIVERS, PACKAGES, modules, nodes_of, of_each, text_of, tree_of

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 80
TEST_FILE_LINES_MAX = 800
CATCH_ALL_NAMES = {"utils.py", "util.py", "helpers.py", "misc.py"}

SOURCES = modules(*PACKAGES, *DRIVERS, "migrations")
FROZEN = "migrations/versions/"
"""Written once and never edited: lists of tables, whose length says nothing."""


@of_each([*SOURCES, *modules("tests")])
def test_module_has_a_docstring(module: str) -> None:
    assert ast.get_docstring(tree_of(module)), f"{module}: say what it is for"


@of_each([module for module in SOURCES if not module.startswith(FROZEN)])
def test_file_and_functions_are_short(module: str) -> None:
    lines = text_of(module).count("\n")
    assert lines <= FILE_LINES_MAX, f"{module} has {lines} lines"
    for node in nodes_of(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= FUNCTION_LINES_MAX, f"{module}:{node.lineno} {node.name} has {length} lines"


@of_each(modules("tests"))
def test_test_file_is_short(module: str) -> None:
    lines = text_of(module).count("\n")
    assert lines <= TEST_FILE_LINES_MAX, f"{module} has {lines} lines"


def test_no_module_is_a_drawer_for_everything() -> None:
    assert [module for module in SOURCES if module.rpartition("/")[2] in CATCH_ALL_NAMES] == []


def test_the_sources_are_found() -> None:
    assert {module.partition("/")[0] for module in SOURCES} >= set(PACKAGES)
