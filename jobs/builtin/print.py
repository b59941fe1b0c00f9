"""A job that prints: the first thing to schedule in a new installation."""

import sys
from typing import TextIO

from attrs import field, frozen

from duly.jobs.base import Job
from duly.jobs.context import JobContext
from duly.jobs.task import Task


@frozen(kw_only=True, eq=False)
class PrintJob(Job):
    """Print one line a fire: `<slug> <fire time> <payload>`.

    It goes to `stream`, by default to what `sys.stdout` is at that moment.

    The payload is decoded as UTF-8, other bytes as U+FFFD; what the stream's encoding lacks is escaped, so that no payload
    makes the job fail. Never changes the task: a one-off is finished, a recurring one carries on.
    """

    kind: str = "print"
    """Registered name of the job."""
    stream: TextIO | None = field(default=None, repr=False)
    """Where to print; None: what `sys.stdout` is at that moment."""

    def execute(self, ctx: JobContext, task: Task, /) -> Task:
        """Print the line, in a thread: a terminal or a pipe may block."""
        stream = sys.stdout if self.stream is None else self.stream
        line = f"{task.slug} {ctx.fire_time.isoformat()} {task.payload.decode(errors='replace')}".rstrip() + "\n"
        encoding = getattr(stream, "encoding", None) or "utf-8"
        # One write, because `print` makes two: lines of several threads would mix.
        stream.write(line.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
        return task
