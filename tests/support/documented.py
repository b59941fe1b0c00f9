"""What README and docs show.

Their blocks of Python, the names in their text, and all that duly has under such names.
"""

import dis
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import attrs
from attrs import frozen

import duly.jobs
import duly.scheduler
import duly.scheduler.testing
import duly.stores.firestore
import duly.stores.postgres
import duly.triggers
from duly.jobs import JobContext, JobRegistry, Task, TypedJob
from duly.jobs.options import OptionValues
from duly.jobs.registered import FunctionSettings, JobSettings
from duly.jobs.spawning import When
from duly.scheduler import BlockingScheduler, Cron, FetchedTask, Fetching, NewTask, StdScheduler
from duly.scheduler.config import Settings
from duly.stores import JobStore, MemoryStore, RunQuery, TaskQuery
from duly.triggers import CronTrigger

ROOT = Path(__file__).parent.parent.parent
PAGES = tuple(path.relative_to(ROOT).as_posix() for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))))

_CLASSES = (
    *(StdScheduler, BlockingScheduler, Cron, JobRegistry, JobContext, Task, FetchedTask, Fetching, NewTask, TaskQuery, RunQuery),
    *(CronTrigger, TypedJob, JobStore, MemoryStore),
)
_MODULES = (duly.jobs, duly.scheduler, duly.stores, duly.triggers, duly.stores.postgres, duly.scheduler.testing, attrs)
_OWNERS = (*_CLASSES, *_MODULES)
_TYPED_DICTS = (When, FunctionSettings, OptionValues, JobSettings, Settings)


@frozen
class Block:
    """A block of Python in a page, and where it stands."""

    page: str
    line: int
    """That of its first line of code."""
    code: str


def text_of(page: str) -> str:
    """Return what stands in a page, of which the path from the root is given."""
    return (ROOT / page).read_text("utf-8")


def python_blocks(page: str) -> Iterator[Block]:
    """Yield the blocks of Python of a page, in order.

    What is indented, in a list, is brought to the margin.
    """
    for found in re.finditer(r"^( *)```python\n(.*?)^ *```$", text := text_of(page), re.MULTILINE | re.DOTALL):
        yield Block(page, text[: found.start(2)].count("\n") + 1, re.sub(f"^{found[1]}", "", found[2], flags=re.MULTILINE))


def inline_code(text: str) -> list[str]:
    """Return what stands between single backticks, outside of blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL))


def called_in(codes: list[str]) -> set[str]:
    """Return the names of what is called."""
    return {name for code in codes for name in re.findall(r"(\w+)\((?!\w+ \w+\))", code)}


def keywords_in(codes: list[str]) -> set[str]:
    """Return the names of what is given by keyword; parameters of a URL or a text are none."""
    return {name for code in codes for name in re.findall(r"(?<![?&\w])([a-z]\w*)=", code)}


def global_names(code: CodeType) -> set[str]:
    """Return every global name that `code` reads and does not set.

    The bodies of its functions and classes count, too.
    """
    read, written = set[str](), set[str]()
    for part in _parts_of(code):
        for each in dis.get_instructions(part):
            if each.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                read.add(str(each.argval))
            elif each.opname in ("STORE_GLOBAL", "STORE_NAME"):
                written.add(str(each.argval))
    return {name for name in read - written if not name.startswith("__")}


def _parts_of(code: CodeType) -> Iterator[CodeType]:
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _parts_of(each)


def public_names() -> dict[str, Any]:
    """Return everything that the packages export, by its name."""
    packages = (duly.triggers, duly.jobs, duly.stores, duly.scheduler)
    return {name: getattr(package, name) for package in packages for name in package.__all__}


def _parameters(called: Callable[..., Any]) -> set[str]:
    try:
        return set(inspect.signature(called).parameters)
    except ValueError:  # of a type that has none
        return set()


NAMES = {name for owner in _OWNERS for name in dir(owner)}
"""Every name that our packages and classes have."""

KEYWORDS = {
    *(
        parameter
        for owner in _OWNERS
        for name in dir(owner)
        if not name.startswith("_") and callable(called := getattr(owner, name))
        for parameter in _parameters(called)
    ),
    *(name for each in _TYPED_DICTS for name in each.__annotations__),
    *(each.name for each in attrs.fields(Task)),
}
"""Every keyword that one of our callables takes."""
