"""Refuse a release unless the package index's `duly` is ours: a wheel whose sha256 stands in `.ci/released.txt`.

Metadata proves nothing, because anybody may copy it; a hash cannot be copied to another content. pip is asked in the ordinary
way, so that its configuration says which index that is. It only looks at wheels and installs nothing: a stranger's sdist would
run code here.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAME = "duly"
RELEASED = Path(__file__).with_name("released.txt")
ASK = (
    *(sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed"),
    *("--no-deps", "--only-binary=:all:", "--report=-", NAME),
)


def refusal(answer: Mapping[str, Any] | None, released: Mapping[str, str]) -> str | None:
    """Return why nothing may be released, or None if the index's newest wheel is ours.

    `answer` is pip's installation report, None if the index has no wheel of the name. `released` is sha256 -> version.
    """
    if answer is None:
        if released:
            return f"the index has no wheel of {NAME}, although {', '.join(released.values())} was published: find out who removed it"
        return f"the index has no wheel of {NAME}: the name is not ours yet. Publish a first wheel by hand, and add it to {RELEASED.name}"
    (found,) = answer["install"]
    version = found["metadata"]["version"]
    sha256 = found["download_info"]["archive_info"]["hashes"]["sha256"]
    if sha256 not in released:
        return f"the index's {NAME} {version} is not ours: sha256 {sha256} does not stand in {RELEASED.name}"
    return None


def read_released(text: str) -> dict[str, str]:
    """Return sha256 -> version of every line; `#` begins a comment."""
    lines = (line.partition("#")[0].split() for line in text.splitlines())
    return {line[0]: line[1] for line in lines if line}


def ask_index() -> Mapping[str, Any] | None:
    """Return pip's report on the name, None if there is no wheel of it; end the program if the index cannot be asked."""
    ran = subprocess.run(ASK, check=False, capture_output=True, text=True)
    if ran.returncode == 0:
        return dict(json.loads(ran.stdout))
    if "No matching distribution found" in ran.stderr and "Retrying" not in ran.stderr:
        return None
    sys.exit(f"the index could not be asked: {ran.stderr.strip()}")


def main() -> None:
    """Exit with 0 if a release may be made, else say why not."""
    sys.exit(refusal(ask_index(), read_released(RELEASED.read_text("utf-8"))))


if __name__ == "__main__":
    main()
