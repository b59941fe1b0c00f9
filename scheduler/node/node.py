"""One running node: builds its loops, starts them, stops them in a safe order."""

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from importlib.metadata import version

from attrs import evolve

from duly.scheduler.errors import CalledInJob
from duly.scheduler.events.events import Subscriber
from duly.scheduler.events.nodes import NodeStarted, NodeStopped
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
"""Time for runs that were cut short to clean up, and again for the last outcomes to be written."""

_SHUTDOWN = "the node was stopped before the run had ended"


class RunningNode:
    """The loops of a node, in the event loop in which it was made; its store must be open while they run.

    Under a clock that does not run, no loop runs: `duly.scheduler.testing.run_due` turns them by hand.
    """

    def __init__(self, services: Services, surroundings: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        """Build the loops; nothing runs yet. Every job runs inside `surroundings()`."""
        self._services = services
        self.runs: LiveRuns = LiveRuns(services.clock)
        announcement, wake = _announcement(services), Wake(services.clock)
        self._runner = Runner(services, self.runs, wake.ring, surroundings)
        # The heartbeat's thread has its own store, and holds the slots: a job that blocks this event loop must lose neither lease nor slot.
        beside = evolve(services, store=services.store.sibling()) if services.clock.runs else services
        slots = Slots(beside, lambda kind: self.limits.in_use(kind))  # noqa: PLW0108 - the limits are made after the slots
        beating = Heartbeat(beside, self.runs, announcement, slots)
        self._thread = HeartbeatThread(beating, beside) if services.clock.runs else None
        self.limits: Limits = Limits(services, self._runner, slots, stay if self._thread is None else self._thread.call)
        self.dispatcher: Dispatcher = Dispatcher(services, self._runner, self.limits, wake)
        self.pruner: Pruner = Pruner(services)
        self._listening = Loop("listen", self._listen, services)
        self._tasks: dict[Loop, asyncio.Future[None]] = {}
        self._is_stopping_now = False
        self._cut_short = 0
        self.heartbeat: Heartbeat = beating if self._thread is None else Heartbeat(services, self.runs, announcement)
        """The heartbeat for tests to call; the running one has a thread, a store and an object of its own."""

    @property
    def here(self) -> Here:
        """The state of this node, for `explain`."""
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
            ended=self._ended,
        )

    @property
    def unready(self) -> str | None:
        """Why this node is not ready to run tasks, as a clause; None: it is ready.

        It is not while it stops, and while one of its loops has ended though nobody stopped it, until that loop works again.
        """
        return self._ended or (None if self.dispatcher.is_locking else "this node is stopping")

    @property
    def _ended(self) -> str | None:
        ended = next(((loop.name, loop.ended) for loop in self._tasks if loop.ended is not None), None)
        if ended is None and self._thread is not None and self._tasks:
            ended = self._thread.ended
        return ended and f"the loop {ended[0]!r} of this node ended unexpectedly and is started again: {ended[1]}"

    def listen(self, listener: Subscriber) -> Callable[[], None]:
        """Call `listener` where and when each event happens; return a callable that ends this.

        A listener must be quick: a slow one delays the node.
        """
        return self._services.events.listen(listener)

    def start(self) -> None:
        """Start the heartbeat thread and every loop; under a clock that does not run, start nothing."""
        self._services.publish(NodeStarted(node=self._services.node, kinds=self._services.registry.kinds))
        if self._thread is None:
            return
        self._thread.start()
        for loop in (self._listening, self.dispatcher.loop, self.pruner.loop):
            self._tasks[loop] = loop.start()

    def refuse_in_job(self, call: str) -> None:
        """Refuse to wait for this node's end inside one of its jobs.

        Raises:
            CalledInJob: the caller is a job that this node runs.

        """
        if (run := self.runs.here()) is not None:
            raise CalledInJob(call, run.task.slug)

    async def _listen(self) -> timedelta:
        """Wake the dispatcher at every notification; return when the store's listening connection ends."""
        async with self._services.store.listen() as rings:
            self._listening.recovered()
            self.dispatcher.loop.wake.ring()  # see now what changed before this connection listened
            async for _ in rings:
                self.dispatcher.loop.wake.ring()
        return timedelta(seconds=1)

    async def drain(self, grace: timedelta) -> None:
        """Lock no more, wait up to `grace` for the runs, cut the rest short, and write all outcomes.

        Leases are extended until the end. Outcomes get what is left of the grace, and two seconds more. If the store cannot be
        reached in that time, the leases run out and other nodes take the tasks over.
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
        """End the grace of the current drain; without a drain, do nothing."""
        if not self.dispatcher.is_locking:
            self._is_stopping_now = True
            self.runs.changed.ring()

    def _have_all_ended(self) -> bool:
        return all(run.has_ended for run in self.runs)

    def _are_all_written(self) -> bool:
        return not self.runs and not self.dispatcher.unwritten

    async def _until(self, condition: Callable[[], bool], limit: timedelta) -> bool:
        """Wait until `condition` is true, checked at every change of a run; return False after `limit`."""
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
        """Do what the loops do at this instant of a clock that stands still.

        Return how many tasks were locked or written. It waits in real time for every job that works; a job that sleeps on the
        clock stays asleep.
        """
        done = 0
        while True:
            ended = self.dispatcher.unwritten
            locked = await self.dispatcher.run_once()
            await self.runs.rest()
            left_out = await self.dispatcher.next_left_out()
            is_more_due = left_out is not None and left_out <= self._services.clock.now()
            if not locked and not ended and not self.dispatcher.unwritten and not is_more_due:
                await self._services.events.heard()
                return done
            done += locked + ended

    async def beat_by_hand(self) -> None:
        """Beat once, if there are runs whose leases are to be extended."""
        if self.runs:
            await self.heartbeat.run_once()

    async def next_run(self) -> datetime | None:
        """Return when, after now, this node may lock its next task; None: no task is known.

        Kinds at their limits are left out, until the instant at which they are asked for again.
        """
        kinds = [kind for kind in self._services.registry.kinds if not self.limits.is_full(kind)]
        instants = (await self._services.store.next_run(kinds) if kinds else None, self.limits.next_ask)
        now = self._services.clock.now()
        return min((instant for instant in instants if instant is not None and instant > now), default=None)

    async def stop(self) -> None:
        """Stop every loop, the heartbeat last; remaining runs are cut off, and their leases run out."""
        await self._end(self.pruner.loop, self.dispatcher.loop)
        if listening := self._tasks.pop(self._listening, None):
            self._listening.cut()
            await listening
        for run in self.runs:
            run.abandon()
        self._runner.close()
        await self._runner.wait_closed()
        if self._thread is not None:
            await self._thread.stop()
            self._thread = None
        elif not self._services.clock.runs:
            await self.limits.slots.renew(self._services.clock.now())  # what `farewell` does for the heartbeat's thread
        self._services.publish(NodeStopped(node=self._services.node, cut_short=self._cut_short, left=len(self.runs)))
        for run in self.runs:
            self.runs.remove(run, is_written=False)  # whoever waits for its outcome learns that this node will not write it

    async def kill(self) -> None:
        """Stop everything at once, as a kill would: nothing more is written, handed back or announced."""
        if self._thread is not None:
            await self._thread.stop(farewell=False)
            self._thread = None
        working = [run.working for run in self.runs if run.working is not None]
        for loop in self._tasks:
            loop.cut()
        for task in working:
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
