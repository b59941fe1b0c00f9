"""What README and docs show is true.

Every block of Python runs, names and keywords in the text exist, links lead somewhere.
"""

import asyncio
import builtins
import inspect
import re
import sys
import tomllib
from ast import PyCF_ALLOW_TOP_LEVEL_AWAIT
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from signal import SIGINT
from types import ModuleType
from typing import Any

import attrs
import pytest

from duly.jobs import JobRegistry
from duly.scheduler import Event, NewTask, SchedulerConfig, StdScheduler, scheduler_from_config
from duly.stores import MemoryStore, TaskQuery
from support import documented, reader
from support.documented import KEYWORDS, NAMES, PAGES, ROOT, Block, python_blocks, text_of
from support.programs import program
from support.waiting import wait_until, wait_until_async

BLOCKS = [block for page in PAGES for block in python_blocks(page)]
PROGRAM = BLOCKS[0]
"""The README's first block is a whole program, and is run as one."""
IN_PROSE = {"Order", "H", "register", "str", "wait", "get_context", "copy_context"}
"""Called in the text, and ours only as an attribute, or not at all: the reader's own, cron's, Python's."""

TASKS = {
    "README.md": NewTask("sync", "sync", trigger="@daily", remote=True),
    "docs/fetch.md": NewTask("backup:emea", "backup", remote=True),
    "docs/observing.md": NewTask("report:emea", "report", trigger="@daily", remote=True),
}
"""What is scheduled already."""


async def _is_backed_up(scheduler: StdScheduler, _: list[object]) -> bool:
    return await scheduler.count_jobs(TaskQuery()) == 0


async def _is_told(scheduler: StdScheduler, printed: list[object]) -> bool:
    await scheduler.trigger_job("report:emea")
    return len(printed) > 1


ENDLESS: dict[str, Callable[[StdScheduler, list[object]], Awaitable[bool]]] = {
    "docs/fetch.md": _is_backed_up,
    "docs/observing.md": _is_told,
}
"""Pages whose last block goes on until the scheduler is closed, and what that block is to bring about before."""


@pytest.mark.parametrize("page", sorted({block.page for block in BLOCKS}))
async def test_every_block_of_a_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, with all that our packages export.

    No name in them is unknown, also where nothing is called.
    """
    monkeypatch.setitem(sys.modules, "distributed", _module("distributed", Client=reader.Client))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "holidays.ics").write_bytes(reader.ics)
    registry, printed = JobRegistry(), list[object]()
    if page in ("README.md", "docs/triggers.md"):
        registry.register_job(reader.Report(), trigger="@daily")
    async with StdScheduler(MemoryStore(), jobs=registry) as scheduler:
        own = {name: getattr(reader, name) for name in reader.__all__}
        names = documented.public_names() | own | {"registry": registry, "scheduler": scheduler, "print": printed.append}
        await scheduler.schedule_jobs([task for of, task in TASKS.items() if of == page])
        *blocks, last = [block for block in python_blocks(page) if block != PROGRAM]
        for block in blocks:
            await _run(block, names)
        running = asyncio.ensure_future(_run(last, names))
        is_done = ENDLESS.get(page)
        await wait_until_async(lambda: running.done() or (is_done is not None and is_done(scheduler, printed)), timedelta(minutes=1))
    await running


def _module(name: str, **names: object) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(names)
    return module


async def _run(block: Block, names: dict[str, Any]) -> None:
    text = "\n" * (block.line - 1) + block.code.replace("postgresql://…", "memory://")
    code = compile(text, block.page, "exec", PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    running = eval(code, names)  # noqa: S307 - it is our own text
    if inspect.isawaitable(running):
        await running
    assert documented.global_names(code) - names.keys() - vars(builtins).keys() == set(), block


@pytest.mark.postgres
def test_the_program_of_the_readme_runs(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a program, on PostgreSQL, until SIGINT."""
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    separator = "&" if "?" in postgres_url else "?"
    app = tmp_path / "app.py"
    app.write_text(PROGRAM.code.replace("postgresql://localhost/app", f"{postgres_url}{separator}schema=readme"), "utf-8")
    with program(str(app)) as running:
        wait_until(lambda: any(line.startswith("report:now b'' ") for line in running.lines) or running.status is not None)
        running.send(SIGINT)
        status, lines = running.end()
    assert status == 0, running.log
    assert len([line for line in lines if line.startswith("report:now")]) == 1


@pytest.mark.parametrize("page", [page for page in PAGES if page != "docs/coming-from.md"])  # which names the calls of others, too
def test_what_the_text_names_is_there(page: str) -> None:
    """Every callable by its name, and every keyword as one of some callable."""
    codes = documented.inline_code(text_of(page))
    assert documented.called_in(codes) - NAMES - IN_PROSE == set()
    assert documented.keywords_in(codes) - KEYWORDS - {"mp_context"} == set()


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md", "examples/README.md"])
def test_every_link_and_every_file_that_is_named_is_there(page: str) -> None:
    """Links with their headings; programs and tests by their paths."""
    text = text_of(page)
    for target, heading in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)]+))?\)", text):
        linked = (ROOT / page).parent / target if target else ROOT / page
        assert linked.exists(), target
        assert not heading or heading in _anchors(linked), f"{target}#{heading}"
    for named in re.findall(r"`((?:tests|examples|benchmarks|stores)/[\w/]+\.py)", text):
        assert (ROOT / named).is_file(), named


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_setting_stands_in_its_page() -> None:
    """And nothing else does."""
    rows = re.findall(r"^\| `(\w+)` \|", text_of("docs/settings.md").partition("## In a file")[0], re.MULTILINE)
    assert rows == [each.name for each in attrs.fields(SchedulerConfig)]


def test_the_file_of_the_settings_page_is_read() -> None:
    """Every key of it."""
    (block,) = re.findall(r"^```toml\n(.*?)^```$", text_of("docs/settings.md"), re.MULTILINE | re.DOTALL)
    scheduler = scheduler_from_config(tomllib.loads(block))
    assert (scheduler.config.concurrency, scheduler.config.lease) == (20, timedelta(seconds=30))


def test_every_event_stands_in_its_page() -> None:
    """By its name, in the table."""
    events = {name for name, each in documented.public_names().items() if isinstance(each, type) and issubclass(each, Event)}
    assert set(re.findall(r"^\| `(\w+)` \|", text_of("docs/observing.md"), re.MULTILINE)) == events - {"Event"}
