"""Onboarding in three mails over ten days.

One workflow task per user, which sleeps between its steps in the store.

python -P examples/onboarding.py                                     the ten days at once, in memory, on a clock moved by hand

Or on a store, on real time, with days as long as you like. What was signed up goes on whenever the program is started again, also after
a `kill -9`; `--halt` names the point at which it stands still, to be killed there:

python -P examples/onboarding.py --store postgresql://postgres@localhost/postgres --day 5 --sign-up ada bob --halt 1:sent
python -P examples/onboarding.py --store postgresql://postgres@localhost/postgres --day 5
"""

import argparse
import asyncio
import os
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import evolve, frozen

from duly.jobs import Job, JobContext, Task, Then
from duly.scheduler import Event, RunEnded, StdScheduler
from duly.scheduler.testing import ManualClock, run_due
from duly.stores import MemoryStore, RunStatus

MAILS = (("welcome", 0), ("tips", 3), ("how is it going?", 10))
"""Each subject, and its day."""


class MailServer:
    """A file that stands for a mail server which drops a request whose key it has seen.

    Many services do.
    """

    def __init__(self, file: Path) -> None:
        """Open it, or make it."""
        self._file = file
        with closing(sqlite3.connect(file)) as mails, mails:
            mails.execute("CREATE TABLE IF NOT EXISTS mails (key TEXT PRIMARY KEY, address TEXT, subject TEXT, requests INTEGER)")

    def send(self, key: str, address: str, subject: str) -> None:
        """Send a mail, unless one was sent with this key; safe from any process."""
        with closing(sqlite3.connect(self._file)) as mails, mails:
            mails.execute(
                "INSERT INTO mails VALUES (?, ?, ?, 1) ON CONFLICT (key) DO UPDATE SET requests = requests + 1", (key, address, subject)
            )

    def sent(self) -> list[tuple[str, str, str, int]]:
        """Return key, address, subject and number of requests of each mail, in their order."""
        with closing(sqlite3.connect(self._file)) as mails:
            return mails.execute("SELECT key, address, subject, requests FROM mails ORDER BY rowid").fetchall()


@frozen
class Onboarding(Job):
    """Sends one mail a step; the payload is the number of the step."""

    kind = "onboarding"
    server: MailServer
    day: timedelta
    reached: Callable[[str], None]

    def execute(self, ctx: JobContext, task: Task, /) -> Task | Then:
        """Send the mail of this step, and go on with the next.

        A kill after the mail and before the end of the step is written has the step run again: for the same fire, and so with
        the same `run_key`.
        """
        step = int(task.payload)
        subject, day = MAILS[step]
        self.reached(f"{step}:begun")
        self.server.send(ctx.run_key, ctx.slug.removeprefix("onboarding:"), subject)
        self.reached(f"{step}:sent")
        if step + 1 == len(MAILS):
            return evolve(task, result=str(step))
        return task.then(payload=b"%d" % (step + 1), after=(MAILS[step + 1][1] - day) * self.day, result=str(step))


async def sign_up(scheduler: StdScheduler, user: str) -> None:
    """Begin with the first mail, at once; who is being onboarded already is left alone."""
    await scheduler.schedule_job(f"onboarding:{user}", Onboarding, payload=b"0", if_exists="keep")


async def in_memory() -> None:
    """Let ten days pass."""
    with TemporaryDirectory() as folder:
        server, clock = MailServer(Path(folder) / "mails.db"), ManualClock()
        scheduler = StdScheduler(MemoryStore(), clock=clock)
        scheduler.register_job(Onboarding(server, timedelta(days=1), reached=lambda _: None))
        async with scheduler:
            for user in ("ada", "bob"):
                await sign_up(scheduler, user)
            await run_due(scheduler, until=clock.now() + timedelta(days=11))
            left = await scheduler.get_job_slugs()
        for key, address, subject, _ in server.sent():
            print(f"{key.rpartition('@')[2]}  to {address}: {subject}")
        print(f"{len(server.sent())} mails, {len(left)} tasks left")


async def on_a_store(arguments: argparse.Namespace) -> None:
    """Sign up who is to be, and go on until everybody is through."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def reached(point: str) -> None:
        print(f"at {point}", flush=True)
        if point == arguments.halt:
            os.kill(os.getpid(), signal.SIGSTOP)

    def hear(event: Event) -> None:
        """Told in a thread of its own, when the end of the step is written."""
        if isinstance(event, RunEnded) and event.run.status is RunStatus.DONE:
            reached(f"{event.run.result}:written")
            loop.call_soon_threadsafe(ended.set)

    scheduler = StdScheduler(arguments.store, lease=timedelta(seconds=arguments.lease))
    scheduler.register_job(Onboarding(MailServer(arguments.mails), timedelta(seconds=arguments.day), reached))
    scheduler.subscribe(hear)
    async with scheduler:
        for user in arguments.sign_up:
            await sign_up(scheduler, user)
        while True:
            ended.clear()
            if not await scheduler.get_job_slugs(prefix="onboarding:"):
                break
            await ended.wait()


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", help="a URL; in memory without it")
    parser.add_argument("--mails", type=Path, default=Path("mails.db"), help="the mail server's file")
    parser.add_argument("--day", type=float, default=1.0, help="seconds in a day")
    parser.add_argument("--lease", type=float, default=2.0, help="seconds after which the step of a killed node is run again")
    parser.add_argument("--sign-up", nargs="*", default=[], metavar="USER", help="users to be onboarded")
    parser.add_argument("--halt", metavar="POINT", help="where to stand still: 0:begun, 0:sent, 0:written, 1:begun ...")
    arguments = parser.parse_args()
    asyncio.run(on_a_store(arguments) if arguments.store else in_memory())


if __name__ == "__main__":
    main()
