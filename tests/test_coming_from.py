"""What docs/coming-from.md says stands: every row has its proof, and every proof is there."""

import re

import pytest

from support.documented import KEYWORDS, NAMES, ROOT, called_in, keywords_in, text_of

PAGE = text_of("docs/coming-from.md")
HEADS = ("| their call", "| fault")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith(HEADS)]
PROOFS = sorted(set(re.findall(r"`((?:tests|stores)/[\w/]+\.py)(?:::(\w+))?`", PAGE)))


def test_every_row_is_complete_and_names_a_proof() -> None:
    """Their call, ours, and the test; a fault and the test."""
    assert len(ROWS) > 80
    for row in ROWS:
        cells = _cells(row)
        assert len(cells) in (2, 3), row
        assert all(cells), row
        assert re.search(r"`(?:tests|stores)/[\w/]+\.py", cells[-1]), row


def test_what_stands_in_our_column_is_there() -> None:
    """Every callable by its name, and every keyword as one of some callable."""
    ours = [code for row in ROWS if len(cells := _cells(row)) == 3 for code in re.findall(r"`([^`]+)`", cells[1])]
    called = called_in(ours)
    assert called - NAMES - {"Report", "Ship"} == set(), "a class of the reader's own may be named"
    assert keywords_in(ours) - KEYWORDS == set()
    assert len(called) > 50


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip("| "))]


@pytest.mark.parametrize("library", ["go-scheduler", "chrono", "qron", "spine", "togo"])
def test_every_library_has_a_table(library: str) -> None:
    """Under its own heading."""
    _, _, after = PAGE.partition(f"\n## {library}\n")
    assert after.partition("\n## ")[0].count("\n| ") > 5


@pytest.mark.parametrize(("path", "name"), PROOFS, ids=[f"{path}::{name}" for path, name in PROOFS])
def test_a_proof_is_there(path: str, name: str) -> None:
    """The file, and the test in it if one is named."""
    assert (ROOT / path).is_file()
    assert not name or f"def {name}(" in (ROOT / path).read_text("utf-8")
