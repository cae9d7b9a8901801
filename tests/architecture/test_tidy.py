"""The rules of style that a linter does not know, over every file of the project."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

LINES_MOST = 450
TABLE_LINES_MOST = 600
"""Tests are tables, and a table is as long as it is."""
FUNCTION_LINES_MOST = 70
TEXT = {".py", ".md", ".toml", ".cfg", ".ini", ".yml", ".yaml", ".service", ".sh", ".lock", ""}
OPEN_ENDS = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX|NotImplemented" + r"Error)\b")
MACHINE_PATHS = re.compile(r"(?:^|[^\w.])/(?:tmp|work|farm|ro" + r"ot|home/\w+)/")
REGISTRIES = re.compile(
    r"py" + r"pi\.(?:org|python)|python" + r"hosted|npm" + r"js\.(?:org|com)|extra-" + r"index|find-" + r"links",
    re.IGNORECASE,
)


@pytest.fixture(scope="module")
def texts(files: list[Path], root: Path) -> dict[str, list[str]]:
    """Lines of every file that people write, by its path in the project."""
    written = (path for path in files if path.suffix in TEXT and path.name != "LICENSE")
    return {str(path.relative_to(root)): path.read_text(encoding="utf-8").splitlines() for path in written}


def matches(texts: dict[str, list[str]], pattern: re.Pattern[str]) -> list[str]:
    """Where a pattern stands: "path:line the line"."""
    return [
        f"{path}:{number} {line.strip()[:120]}"
        for path, lines in texts.items()
        for number, line in enumerate(lines, 1)
        if pattern.search(line)
    ]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_files_are_one_idea_long(texts: dict[str, list[str]]) -> None:
    """A file that nobody reads to its end."""
    sizes = {path: len(lines) for path, lines in texts.items() if path.endswith(".py")}
    most = {path: TABLE_LINES_MOST if path.startswith("tests/") else LINES_MOST for path in sizes}
    assert {path: size for path, size in sizes.items() if size > most[path]} == {}


def test_functions_are_one_thought_long(modules: dict[str, Path]) -> None:
    """A function that needs headings inside is several."""
    sizes = {
        f"{name}.{function.name}": (function.end_lineno or function.lineno) - function.lineno + 1
        for name, path in modules.items()
        for function in functions(path)
    }
    assert {name: size for name, size in sizes.items() if size > FUNCTION_LINES_MOST} == {}


def test_every_module_says_what_it_is(modules: dict[str, Path]) -> None:
    """A file whose idea nobody can state in its first line."""
    silent = [
        name for name, path in modules.items() if not (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "")
    ]
    assert silent == []


def test_every_test_says_what_would_be_broken(files: list[Path], root: Path) -> None:
    """A test that fails without saying why it was there."""
    silent = [
        f"{path.relative_to(root)}:{function.lineno} {function.name}"
        for path in files
        if path.name.startswith("test_") and path.suffix == ".py"
        for function in functions(path)
        if function.name.startswith("test_") and not ast.get_docstring(function)
    ]
    assert silent == []


def test_nothing_is_left_open(texts: dict[str, list[str]]) -> None:
    """A promise in a comment instead of code, or of a line in docs/critiques.md."""
    assert matches(texts, OPEN_ENDS) == []


def test_no_path_of_one_machine(texts: dict[str, list[str]]) -> None:
    """What works only where it was written."""
    assert matches(texts, MACHINE_PATHS) == []


def test_no_address_of_a_registry(texts: dict[str, list[str]]) -> None:
    """An install that goes where the developer's machine went, not where the user's is set to go."""
    assert matches(texts, REGISTRIES) == []


def test_the_patterns_find_what_they_are_for() -> None:
    """A pattern that matches nothing would keep the three rules above green for ever."""
    found = {
        "a.py": ["# TO" + "DO later", "open('/ro" + "ot/x')", "https://py" + "pi.org/simple", "a plain line, /workload"]
    }
    assert [len(matches(found, pattern)) for pattern in (OPEN_ENDS, MACHINE_PATHS, REGISTRIES)] == [1, 1, 1]
