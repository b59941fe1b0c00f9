"""The heartbeat: leases extended beside the event loop, in a thread and over a connection of their own.

A job that blocks the event loop, as an `async def` that calls `time.sleep` does, must not lose its lease. But a lease is
not kept for ever: not for a run past its time limit and grace, nor for a task that cannot be started, and for none at all
once the event loop has stood still for so long that nothing here will end any more.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import ParamSpec, TypeVar

from attrs import evolve

from duly.scheduler.events.events import LeaseLost, LoopFailed
from duly.scheduler.node.loop import Loop, jittered
from duly.scheduler.node.slots import Slots
from duly.scheduler.rules.edits import STOP_REQUESTED
from duly.scheduler.rules.endings import Interrupted, Stopped
from duly.scheduler.runs.live_run import LiveRun
from duly.scheduler.runs.live_runs import LiveRuns
from duly.scheduler.services import Services
from duly.stores import Extended, Kept, LockLost, Node, StoreClosed
from duly.triggers import DulyError

P = ParamSpec("P")
T = TypeVar("T")

STANDSTILL = 10
"""Leases for which the event loop may stand still before its runs are given up."""


class Heartbeat:
    """Extends the leases of the live runs, and announces the node; made in the scheduler's loop, run in its own or that one."""

    def __init__(self, services: Services, runs: LiveRuns, node: Node, slots: Slots | None = None) -> None:
        """Keep the leases of `runs` in the store of `services`, and announce `node`; `slots` belong to the same event loop."""
        self._services, self._store, self._clock, self._config = services, services.store, services.clock, services.config
        self._runs, self._node, self._slots = runs, node, slots
        self._home = asyncio.get_running_loop()
        self._last_turn = self._clock.monotonic()
        self._announced: datetime | None = None
        self._is_known = False
        """Whether the others may know of this node: also from an announcement whose answer was lost."""

    async def turn(self) -> timedelta:
        """Beat once, and return the pause until the next; sooner when a row was busy."""
        is_busy = await self.run_once()
        return jittered(self._config.heartbeat / 3 if is_busy else self._config.heartbeat, by=0.1)

    async def run_once(self) -> bool:
        """Extend what is to be kept; return whether some rows were busy, and want another try soon.

        Raises:
            StoreError: of the store; runs whose lease can no longer be trusted are cut short all the same.

        """
        try:
            is_busy = await self._extend()
            await self._announce()
        finally:
            self.cut_untrusted()
            self._call_home(self._note_turn)
        return is_busy

    async def _extend(self) -> bool:
        now, sent = self._clock.now(), self._clock.monotonic()
        kept = [run for run in self._runs if self._is_kept(run)]
        if self._slots is not None:  # before the leases, with the same `now`: none may outlive its slot
            kept = self._slots.with_slot(kept, await self._slots.renew(now))
        is_unsure = self._slots is not None and self._slots.is_unsure
        runs = {run.lease_id: run for run in kept}
        if not runs:
            return is_unsure
        extended = await self._store.extend(now, [run.lease.held for run in runs.values()], self._config.lease)
        self._clock.observe(extended.store_now, sent=sent, received=self._clock.monotonic())
        self._note(runs, extended, trusted_until=sent + (self._config.lease - self._config.margin).total_seconds())
        return bool(extended.busy) or is_unsure

    def _note(self, runs: dict[str, LiveRun], extended: Extended, *, trusted_until: float) -> None:
        for kept in extended.kept:
            self._keep(runs[kept.lease_id], kept, trusted_until)
        for held in extended.lost:
            run = runs[held.lease_id]
            if not run.has_ended:  # else its outcome may just have been written: the exchange's answer will tell
                self._lose(run, "another node has the task, or somebody deleted it")

    def _keep(self, run: LiveRun, kept: Kept, trusted_until: float) -> None:
        run.lease.extend(kept, trusted_until)
        if kept.stop:
            self._call_home(run.end_early, Stopped(STOP_REQUESTED))

    def _lose(self, run: LiveRun, reason: str) -> None:
        run.lease.lose()
        self._services.publish(LeaseLost(node=self._services.node, error=LockLost(run.task.slug, run.lease_id), reason=reason))
        self._call_home(run.end_early, Interrupted(f"its lease was lost: {reason}"))

    def cut_untrusted(self) -> None:
        """Cut short the runs whose leases can no longer be trusted; asks nobody, so that a store that hangs cannot keep it."""
        for run in self._runs:
            if not run.lease.is_lost and not run.has_ended and not run.is_trusted:
                self._lose(run, "it could not be extended in time")

    def _is_kept(self, run: LiveRun) -> bool:
        now, lease = self._clock.monotonic(), self._config.lease.total_seconds()
        if run.lease.is_lost or now - self._last_turn > STANDSTILL * lease:
            return False
        if run.started is None:
            return now - run.lease.locked <= run.manner.leases_to_begin * lease
        limit = run.task.options.time_limit
        return limit is None or now - run.started <= (limit + self._config.grace).total_seconds()

    async def _announce(self) -> None:
        now = self._clock.now()
        if self._announced is None or now - self._announced >= self._config.lease:
            self._is_known = True
            node = evolve(self._node, kinds=self._services.registry.kinds)  # more may have been registered since
            await self._store.announce(_seen(node, now, now + 2 * self._config.lease))
            self._announced = now

    async def farewell(self) -> None:
        """Give back the slots that no run needs, and tell the others that this node is gone, if they may know that it was there."""
        if self._slots is not None:
            await self._slots.renew(self._clock.now())
        if self._is_known:
            now = self._clock.now()
            await self._store.announce(_seen(self._node, now, now))

    def _note_turn(self) -> None:
        self._last_turn = self._clock.monotonic()

    def _call_home(self, call: Callable[P, None], *arguments: P.args, **_: P.kwargs) -> None:
        """Call in the scheduler's event loop, where runs are ended; not at all once that is closed."""
        with suppress(RuntimeError):
            self._home.call_soon_threadsafe(call, *arguments)


def _seen(node: Node, now: datetime, until: datetime) -> Node:
    return evolve(node, seen_at=now, until=until)


class HeartbeatThread:
    """A heartbeat in a thread of its own, with an event loop and a store of its own; made and stopped in the scheduler's loop."""

    def __init__(self, heartbeat: Heartbeat, services: Services) -> None:
        """Beat with `heartbeat`, made with the same `services`, whose store is this thread's own and not yet open."""
        self._heartbeat, self._services = heartbeat, services
        self._loops: tuple[Loop, ...] = ()
        self._is_stopping = threading.Event()
        self._takes_leave = True
        self._home, self._is_gone = asyncio.get_running_loop(), asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"duly-heartbeat-{services.node}", daemon=True)

    def start(self) -> None:
        """Begin to beat; the first beat opens the store."""
        self._thread.start()

    async def call(self, work: Callable[[], Awaitable[T]]) -> T:
        """Await `work()` in this thread's event loop, from the scheduler's.

        Raises:
            StoreClosed: the thread is being stopped.

        """
        if self._is_stopping.is_set():
            raise StoreClosed("the heartbeat's store")

        async def do() -> T:
            return await work()

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(do(), self._loop))

    async def stop(self, *, farewell: bool = True) -> None:
        """Beat no more, take leave, and wait for the thread, which ends as soon as the store lets it.

        Needs no thread to wait in: at the exit of the interpreter none can be started.
        """
        self._takes_leave = farewell
        self._is_stopping.set()
        for loop in self._loops:
            loop.stop_from_thread()
        await self._is_gone.wait()
        self._thread.join()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._beat())
        finally:
            with suppress(RuntimeError):  # the scheduler's loop is closed: nobody waits
                self._home.call_soon_threadsafe(self._is_gone.set)

    async def _beat(self) -> None:
        self._loops = (Loop("heartbeat", self._turn, self._services), Loop("trust", self._look, self._services))
        try:
            if not self._is_stopping.is_set():
                await asyncio.gather(*(loop.run() for loop in self._loops))
            if self._takes_leave:
                await self._heartbeat.farewell()
        except DulyError as error:
            self._services.publish(LoopFailed(node=self._services.node, loop="heartbeat", error=error))
        finally:
            await self._services.store.close()

    async def _turn(self) -> timedelta:
        await self._services.store.open()
        return await self._heartbeat.turn()

    async def _look(self) -> timedelta:
        """Cut short in time, whatever the store does meanwhile: within the margin by which trust ends before the lease."""
        self._heartbeat.cut_untrusted()
        return self._services.config.margin / 2
