"""The name.

What is called duly is ours, nothing bears the former name, and nobody is told to install a stranger's package.
"""

import base64
import re
import runpy
import subprocess
import tomllib
from typing import Any

import pytest

from duly.jobs import MissingExtra
from duly.triggers.errors import INSTALL
from support.documented import PAGES, ROOT, text_of
from support.former_name import FORMER, bears_the_former_name, lines_with_the_former_name

RELEASE = runpy.run_path(str(ROOT / ".ci" / "release_check.py"))
HASH = "0f" * 32


def test_the_former_name_stands_in_one_line_of_the_changelog() -> None:
    """And in no other tracked file, nor in the name of one."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    paths = [ROOT / name for name in tracked if name]

    assert [name for name in tracked if FORMER in name.lower()] == []
    (line,) = lines_with_the_former_name([path for path in paths if path.is_file()])
    assert line.startswith("CHANGELOG.md")


def test_the_word_is_found_in_every_form() -> None:
    """Within other text, whatever its case."""
    in_base64 = [base64.b64encode(b"abc"[:n] + FORMER.encode()) for n in range(3)]
    for text in (FORMER.title().encode(), FORMER.encode().hex().upper().encode(), *in_base64):
        assert bears_the_former_name(b"a " + text + b" b"), text


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md", "examples/README.md"])
def test_a_page_shows_the_installation_that_errors_recommend(page: str) -> None:
    """No page says to install our name from the index."""
    commands = re.findall(r"pip install ([^`\n]*)", text_of(page))
    extras = {extra for command in commands for extra in re.findall(r"^\"\.\[([\w,]+)\]\"", command)}

    assert [command for command in commands if re.match(r"[\"']?duly\b", command)] == []
    assert {INSTALL.format(extra=extra) for extra in extras} <= set(re.findall(r"pip install \"[^\"]*\"", text_of(page)))
    assert extras <= tomllib.loads(text_of("pyproject.toml"))["project"]["optional-dependencies"].keys()


def test_an_error_recommends_the_checkout_until_the_name_is_ours() -> None:
    """Whoever takes the name on the index would own whoever follows the error."""
    recommended = str(MissingExtra("CurlJob", "http"))

    assert recommended.endswith('pip install ".[http]"')
    assert RELEASE["read_released"](RELEASE["RELEASED"].read_text("utf-8")) == {}, "now INSTALL may name the index"


def _answer(sha256: str) -> dict[str, Any]:
    return {"install": [{"metadata": {"version": "0.1.0"}, "download_info": {"archive_info": {"hashes": {"sha256": sha256}}}}]}


@pytest.mark.parametrize(
    ("answer", "released", "why"),
    [
        (None, {}, "the name is not ours yet"),
        (None, {HASH: "0.1.0"}, "find out who removed it"),
        (_answer(HASH), {}, "is not ours"),
        (_answer(HASH), {"ab" * 32: "0.1.0"}, "is not ours"),
    ],
)
def test_a_release_is_refused_while_the_name_is_not_ours(answer: dict[str, Any] | None, released: dict[str, str], why: str) -> None:
    """Nothing there, or a wheel that we did not publish, whatever its metadata says."""
    assert why in RELEASE["refusal"](answer, released)


def test_a_release_may_be_made_when_the_newest_wheel_is_ours() -> None:
    """By its hash, one of those on record."""
    released = RELEASE["read_released"](f"# published\n{HASH} 0.1.0  # the first\n\n")

    assert RELEASE["refusal"](_answer(HASH), released) is None
