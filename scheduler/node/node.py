"""One running node: builds its loops, starts them, stops them in a safe order."""

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from importlib.metadata import version

from attrs import evolve

from duly.scheduler.events.events import NodeStarted, NodeStopped
from duly.scheduler.node.dispatcher import Dispatcher
from duly.scheduler.node.heartbeat import Heartbeat, HeartbeatThread
from duly.scheduler.node.limits import Limits, stay
from duly.scheduler.node.loop import Loop
from duly.scheduler.node.pruner import Pruner
from duly.scheduler.node.runner import Runner
from duly.scheduler.node.slots import Slots
from duly.scheduler.rules.endings import Interrupted
from duly.scheduler.rules.explain import Here
from duly.scheduler.runs.live_run import RunState
from duly.scheduler.runs.live_runs import LiveRuns
from duly.scheduler.services import Services
from duly.scheduler.waiting import Wake
from duly.stores import Node

_LAST_CALL = timedelta(seconds=2)
"""What is cut short has as long to clean up after itself, and the last outcomes as long to be written."""

_SHUTDOWN = "the node was stopped before the run had ended"


class RunningNode:
    """The loops of a node, in the event loop in which it was made; the store is open for as long as they go.

    Under a clock that does not run no loop runs either: `duly.scheduler.testing.run_due` turns them by hand.
    """

    def __init__(self, services: Services, surroundings: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        """Wire the loops; nothing runs yet. Every job runs inside `surroundings()`."""
        self._services = services
        self.runs = LiveRuns(services.clock)
        announcement, wake = _announcement(services), Wake(services.clock)
        self._runner = Runner(services, self.runs, wake.ring, surroundings)
        # The heartbeat's thread has a store of its own, and holds the slots: a job that blocks this event loop must lose neither.
        beside = evolve(services, store=services.store.sibling()) if services.clock.runs else services
        slots = Slots(beside, lambda kind: self.limits.in_use(kind))  # noqa: PLW0108 - the limits are made after the slots
        beating = Heartbeat(beside, self.runs, announcement, slots)
        self._thread = HeartbeatThread(beating, beside) if services.clock.runs else None
        self.limits = Limits(services, self._runner, slots, stay if self._thread is None else self._thread.call)
        self.dispatcher = Dispatcher(services, self._runner, self.limits, wake)
        self.pruner = Pruner(services)
        self._listening = Loop("listen", self._listen, services)
        self._tasks: dict[Loop, asyncio.Task[None]] = {}
        self._is_stopping_now = False
        self._cut_short = 0
        self.heartbeat = beating if self._thread is None else Heartbeat(services, self.runs, announcement)
        """The heartbeat for tests to call; the one that runs has a thread, a store and an object of its own."""

    @property
    def here(self) -> Here:
        """What this node knows of itself, for who asks why a task does not run."""
        services = self._services
        return Here(
            name=services.node,
            kinds=services.registry.kinds,
            slots=services.config.concurrency,
            taken=len(self.runs) + self._runner.abandoned_of(),
            is_stopping=not self.dispatcher.is_locking,
            unread=frozenset(run.lease_id for run in self.runs if run.state is RunState.WAITING),
            poll=services.config.poll if services.clock.runs else None,
            failure=self.dispatcher.loop.failure,
        )

    def start(self) -> None:
        """Let every loop run."""
        self._services.publish(NodeStarted(node=self._services.node, kinds=self._services.registry.kinds))
        if self._thread is None:
            return
        self._thread.start()
        for loop in (self._listening, self.dispatcher.loop, self.pruner.loop):
            self._tasks[loop] = asyncio.create_task(loop.run(), name=f"duly {loop.name}")

    async def _listen(self) -> timedelta:
        """Ring the dispatcher at every hint; returns only when the store's line ends."""
        async with self._services.store.listen() as rings:
            self.dispatcher.loop.wake.ring()  # whatever came before this line stood is seen now
            async for _ in rings:
                self.dispatcher.loop.wake.ring()
        return timedelta(seconds=1)

    async def drain(self, grace: timedelta) -> None:
        """Take no more work, wait up to `grace` for what runs, cut the rest short, and write how all of it ended.

        Leases are kept until the end. What cannot be written within what is left of the grace, and a moment more, because
        the store is gone, is left to its lease.
        """
        self.dispatcher.is_locking = False
        self.dispatcher.loop.wake.ring()
        end = self._services.clock.monotonic() + grace.total_seconds()
        await self._until(lambda: self._have_all_ended() or self._is_stopping_now, grace)
        if not self._have_all_ended():
            for run in self.runs:
                run.end_early(Interrupted(_SHUTDOWN))
            self._cut_short = len([run for run in self.runs if not run.has_ended and run.state is not RunState.ACKNOWLEDGED])
            await self._until(self._have_all_ended, min(grace, _LAST_CALL))
            for run in self.runs:
                run.abandon()
            await self._until(self._have_all_ended, _LAST_CALL)
            for run in self.runs:
                self.dispatcher.give_up(run)
        left = timedelta(seconds=end - self._services.clock.monotonic())
        await self._until(lambda: self._are_all_written() or self._is_stopping_now, left)
        self.dispatcher.loop.retry()
        await self._until(self._are_all_written, _LAST_CALL)

    def stop_now(self) -> None:
        """End the grace of a drain that is under way; without effect otherwise."""
        if not self.dispatcher.is_locking:
            self._is_stopping_now = True
            self.runs.changed.ring()

    def _have_all_ended(self) -> bool:
        return all(run.has_ended for run in self.runs)

    def _are_all_written(self) -> bool:
        return not self.runs and not self.dispatcher.unwritten

    async def _until(self, condition: Callable[[], bool], limit: timedelta) -> bool:
        """Return whether `condition`, looked at whenever a run changes, came true before `limit` had passed."""
        clock = self._services.clock
        deadline = clock.monotonic() + limit.total_seconds()
        while not condition():
            self.runs.changed.clear()
            left = deadline - clock.monotonic()
            if left <= 0:
                return False
            if clock.runs:
                await self.runs.changed.wait(timedelta(seconds=left))
            elif not await self.turn_by_hand():
                return condition()
        return True

    async def turn_by_hand(self) -> int:
        """Do what the loops do at this instant of a clock that stands still; return how many tasks were locked or written.

        Waits, in real time, for every job that works; a job that sleeps on the clock is left to its sleep.
        """
        done = 0
        while True:
            ended = self.dispatcher.unwritten
            locked = await self.dispatcher.run_once()
            await self.runs.rest()
            left_out = await self.dispatcher.next_left_out()
            is_more_due = left_out is not None and left_out <= self._services.clock.now()
            if not locked and not ended and not self.dispatcher.unwritten and not is_more_due:
                return done
            done += locked + ended

    async def beat_by_hand(self) -> None:
        """Do what the heartbeat does, if there is anything to keep."""
        if self.runs:
            await self.heartbeat.run_once()

    async def next_run(self) -> datetime | None:
        """Return when, later than now, the next of this node's tasks may be locked; those of kinds at their limit aside."""
        kinds = [kind for kind in self._services.registry.kinds if not self.limits.is_full(kind)]
        instants = (await self._services.store.next_run(kinds) if kinds else None, self.limits.next_ask)
        now = self._services.clock.now()
        return min((instant for instant in instants if instant is not None and instant > now), default=None)

    async def stop(self) -> None:
        """Stop every loop, the heartbeat last; runs that are left are cut off, and their leases end."""
        await self._end(self.pruner.loop, self.dispatcher.loop)
        if listening := self._tasks.pop(self._listening, None):
            self._listening.stop()
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        for run in self.runs:
            run.abandon()
        self._runner.close()
        await self._runner.wait_closed()
        if self._thread is not None:
            await self._thread.stop()
            self._thread = None
        elif not self._services.clock.runs:
            await self.limits.slots.renew(self._services.clock.now())  # the farewell of a heartbeat that is moved by hand
        self._services.publish(NodeStopped(node=self._services.node, cut_short=self._cut_short, left=len(self.runs)))
        for run in self.runs:
            self.runs.remove(run, is_written=False)  # who waits for its outcome to be written waits in vain

    async def kill(self) -> None:
        """Stop everything where it stands, as a kill would: nothing is written, handed back or announced any more."""
        if self._thread is not None:
            await self._thread.stop(farewell=False)
            self._thread = None
        working = [run.working for run in self.runs if run.working is not None]
        for task in (*self._tasks.values(), *working):
            task.cancel()
        self._runner.close()
        await asyncio.gather(*self._tasks.values(), *working, return_exceptions=True)
        await self._runner.wait_closed()
        self._tasks.clear()
        self.dispatcher.forget()
        for run in self.runs:
            self.runs.remove(run, is_written=False)

    async def _end(self, *loops: Loop) -> None:
        for loop in loops:
            loop.stop()
        await asyncio.gather(*(self._tasks.pop(loop) for loop in loops if loop in self._tasks), return_exceptions=True)


def _announcement(services: Services) -> Node:
    now = services.clock.now()
    info = {"host": socket.gethostname(), "pid": str(os.getpid()), "version": version("duly")}
    return Node(name=services.node, kinds=services.registry.kinds, started_at=now, seen_at=now, until=now, info=info)
