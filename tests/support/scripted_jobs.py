"""Jobs whose every run is said beforehand, by slug, fire time and attempt.

Three schedulers run them alike.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from zlib import crc32

from attrs import evolve, frozen
from hypothesis import strategies as st

from duly.jobs import Cancel, Fail, Job, JobContext, JobRegistry, Retry, Task, Then
from support.tasks import MINUTE, SECOND

KINDS = ("k", "l")


@frozen(kw_only=True)
class Act:
    """What one run does: it sleeps, and then ends."""

    sleeps: timedelta
    end: str
    by: timedelta
    spawns: tuple[str, ...]
    """Slugs of one-offs that it asks for: "own", or what is added to its own and its fire time, because only so no two runs at one
    instant ask for the same, of which each store may create another's."""


acts = st.builds(
    Act,
    sleeps=st.sampled_from([timedelta(0), timedelta(0), timedelta(0), SECOND, 25 * SECOND, 45 * SECOND, 3 * MINUTE]),
    end=st.sampled_from(
        ["return", "return", "return", "change", "move", "step", "step", "remove", "raise", "raise", "retry", "fail", "cancel"]
    ),
    by=st.sampled_from([SECOND, 20 * SECOND, MINUTE]),
    spawns=st.sampled_from([(), (), (), ("own",), ("x",), ("x", "own", "x", "y")]),
)


ENDS: Mapping[str, Callable[[Act], Exception]] = {
    "raise": lambda _: ValueError("as it is written"),
    "retry": lambda act: Retry(act.by),
    "fail": lambda _: Fail("as it is written"),
    "cancel": lambda _: Cancel("as it is written"),
}


@frozen
class Scripted(Job):
    """A job that plays its script."""

    kind: str
    script: tuple[Act, ...]
    played: list[tuple[Any, ...]]
    """Every run that began: slug, fire time and attempt."""

    async def execute(self, ctx: JobContext, task: Task, /) -> Task | Then | None:
        """Do what the script says for this run."""
        self.played.append((ctx.slug, ctx.fire_time, ctx.attempt))
        act = self._act(ctx.slug, ctx.fire_time, ctx.attempt)
        if act.sleeps:
            await ctx.sleep(act.sleeps)
        self._spawn(ctx, act)
        return self._end(ctx, task, act)

    @staticmethod
    def _spawn(ctx: JobContext, act: Act) -> None:
        """Ask for tasks, which ask for no others: there would be no end of them."""
        for number, name in enumerate(act.spawns if ">" not in ctx.slug else ()):
            slug = ctx.slug if name == "own" else f"{ctx.slug}>{ctx.fire_time.isoformat()}{name}"
            ctx.spawn(slug, KINDS[0], payload=b"%d" % number, delay=act.by)

    @staticmethod
    def _end(ctx: JobContext, task: Task, act: Act) -> Task | Then | None:
        if act.end in ENDS:
            raise ENDS[act.end](act)
        match act.end:
            case "change":
                return evolve(task, payload=task.payload[-20:] + b"+", result=ctx.run_key)
            case "step":
                return task.then(payload=task.payload[-20:] + b">", after=act.by, result=ctx.run_key)
            case "move":
                return evolve(task, run_at=ctx.fire_time + act.by)
            case "remove":
                return None
        return task

    def _act(self, slug: str, fire_time: datetime, attempt: int) -> Act:
        return self.script[crc32(f"{slug} {fire_time.isoformat()} {attempt}".encode()) % len(self.script)]


def scripted(script: tuple[Act, ...], played: list[tuple[Any, ...]]) -> JobRegistry:
    """Return a registry of jobs that play the script, and note what they played.

    The tasks of `l` have a trigger of their job's.
    """
    registry = JobRegistry()
    for kind, trigger in zip(KINDS, (None, "@every 30s"), strict=True):
        registry.register_job(Scripted(kind, script, played), trigger=trigger)
    return registry
