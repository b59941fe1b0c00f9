"""The prose of the project: short first lines of docstrings, and no person who is a man."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("scheduler", "stores", "jobs", "triggers", "tests", "examples", "benchmarks", "docs")
LONGEST = 100
MALE = re.compile(r"\b(?:he|him|his|himself)\b", re.IGNORECASE)


def texts(folder: str) -> Iterator[Path]:
    """Yield the files of a folder that people read."""
    for path in sorted((ROOT / folder).rglob("*")):
        if path.suffix in (".md", ".py", ".sql", ".toml", ".txt") and path != Path(__file__):
            yield path


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_first_line_of_a_docstring_is_short(folder: str) -> None:
    """It is what lists and tooltips show."""
    assert [found for path in texts(folder) if path.suffix == ".py" for found in _long_first_lines(path)] == []


def _long_first_lines(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = (ast.get_docstring(node) or "").partition("\n")[0]
            if len(first) > LONGEST:
                yield f"{path.relative_to(ROOT)}: {first}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_person_is_no_man(folder: str) -> None:
    """Who reads, writes or schedules is named by the part that they play."""
    lines = ((path, number, line) for path in texts(folder) for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1))
    assert [f"{path.relative_to(ROOT)}:{number}: {line}" for path, number, line in lines if MALE.search(line)] == []
