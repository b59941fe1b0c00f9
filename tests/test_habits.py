"""The habits of the repository.

Hooks and templates say what the gate does, and can be read by those who show them.
"""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.documented import ROOT, text_of

SESSIONS = set(re.findall(r"^@nox\.session\ndef (\w+)", text_of("noxfile.py"), re.MULTILINE))
TEMPLATES = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def test_a_hook_runs_a_session_of_the_gate_and_fetches_nothing() -> None:
    """So that a hook never says what the gate does not."""
    (repository,) = yaml.safe_load(text_of(".pre-commit-config.yaml"))["repos"]
    hooks = repository["hooks"]

    assert repository["repo"] == "local"
    assert {hook["language"] for hook in hooks} == {"system"}
    assert {hook["entry"] for hook in hooks} <= {f"nox -s {name}" for name in SESSIONS}
    assert "nox -s lint" in {hook["entry"] for hook in hooks}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_of_an_issue_asks_for_something_under_names_of_its_own(template: Path) -> None:
    """Each part has a label, and no two have one id."""
    form: dict[str, Any] = yaml.safe_load(template.read_text("utf-8"))
    asked = [part for part in form.get("body", []) if part["type"] != "markdown"]

    assert template.name == "config.yml" or (form["name"] and form["description"] and asked)
    assert all(part["attributes"]["label"] for part in asked)
    assert len({part["id"] for part in asked}) == len(asked)


@pytest.mark.parametrize("session", sorted(SESSIONS))
def test_every_session_stands_in_contributing(session: str) -> None:
    """With what it does."""
    assert f"`nox -s {session}" in text_of("CONTRIBUTING.md")
