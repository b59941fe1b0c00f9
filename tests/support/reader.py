"""What a reader of the blocks in README and docs has around them.

The names that our packages export come beside it.
"""

import logging
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import attrs
from attrs import evolve

from duly.jobs import Job, JobContext, Task
from duly.scheduler import NewTask
from duly.scheduler.testing import ManualClock, run_due

__all__ = [
    "MAILS",
    "Any",
    "ManualClock",
    "Path",
    "Report",
    "Sync",
    "attrs",
    "back_up",
    "ctx",
    "date",
    "datetime",
    "evolve",
    "first",
    "ics",
    "last",
    "logging",
    "multiprocessing",
    "new",
    "old",
    "order",
    "run_due",
    "send_mail",
    "time",
    "timedelta",
    "train",
]


class Sync(Job):
    """A job."""

    kind = "sync"

    async def execute(self, _ctx: JobContext, task: Task, /) -> Task:
        """Go on."""
        return task


class Report(Sync):
    """Another."""

    kind = "report"


async def back_up(_payload: bytes) -> None:
    """Work for a reader of tasks."""


MAILS = ("welcome", "how are you?")


def send_mail(_mail: str, *, idempotency_key: str) -> None:
    """Send a mail once under its key."""


def train() -> None:
    """Work for Dask."""


class Client:
    """Dask's, without a cluster."""

    def __init__(self, address: str) -> None:
        self.address = address

    def get_executor(self) -> ThreadPoolExecutor:
        """Return an executor."""
        return ThreadPoolExecutor(1)


class ctx:  # noqa: N801 - what a job is given
    """The context of a run that may spawn."""

    spawn = NewTask


order = "17"
old, new = b"o" * 16, b"n" * 32
first, last = date(2026, 1, 1), date(2026, 12, 31)
ics = b"""BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//the reader//EN
BEGIN:VEVENT
UID:1
DTSTAMP:20260101T000000Z
DTSTART;VALUE=DATE:20261225
END:VEVENT
END:VCALENDAR
""".replace(b"\n", b"\r\n")
