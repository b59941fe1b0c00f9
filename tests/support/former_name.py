"""The name under which the project was begun, in every form in which it might still stand somewhere."""

import base64
import re
from collections.abc import Iterable
from pathlib import Path

FORMER = "det" + "ent"
"""In parts, so that this file does not bear it."""


def _forms() -> set[bytes]:
    """Return the word in lower case, in hex, and in base64.

    In base64 it is there for each of the three places where it may begin, and for each case.
    """
    forms = {FORMER.encode(), FORMER.encode().hex().encode()}
    for word in (FORMER, FORMER.capitalize(), FORMER.upper()):
        for before in range(3):
            # Six bits a character: those at the ends hold bits of the neighbours, too, and are left out.
            whole = slice(-(-before * 8 // 6), (before + len(word)) * 8 // 6)
            forms.add(base64.b64encode(bytes(before) + word.encode() + bytes(3))[whole].lower())
    return forms


_PATTERN = re.compile(b"|".join(map(re.escape, sorted(_forms()))))


def bears_the_former_name(text: bytes) -> bool:
    """Whether the word stands in `text`, in any form and any case."""
    return _PATTERN.search(text.lower()) is not None


def lines_with_the_former_name(paths: Iterable[Path]) -> list[str]:
    """Return every line of these files in which the word stands, behind the name of its file."""
    return [f"{path.name}: {line!r}" for path in paths for line in path.read_bytes().splitlines() if bears_the_former_name(line)]
