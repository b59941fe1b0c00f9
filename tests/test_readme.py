"""What the README says stands: every proof that it names is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROMISES = (ROOT / "README.md").read_text("utf-8").partition("## What it promises")[2].partition("What it does not promise")[0]
PROOFS = sorted(set(re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", PROMISES)))


def test_every_promise_names_a_proof() -> None:
    """A file of the project, in each row of the table."""
    rows = [line for line in PROMISES.splitlines() if line.startswith("| ")][1:]
    without = [row for row in rows if not re.search(r"`[\w/]+\.py", row.rpartition(" | ")[2])]

    assert len(rows) > 20
    assert [row for row in without if "`duly.stores.conformance`" not in row] == []


@pytest.mark.parametrize(("path", "name"), PROOFS, ids=[name or path for path, name in PROOFS])
def test_a_proof_is_there(path: str, name: str) -> None:
    """The file, and the test in it if one is named."""
    assert (ROOT / path).is_file()
    assert not name or f"def {name}(" in (ROOT / path).read_text("utf-8")
