"""The heartbeat: extends leases in a thread and over a connection of its own.

A job that blocks the event loop, such as an `async def` that calls `time.sleep`, must not lose its lease. But a lease
is not extended for ever. The heartbeat stops for a run past its time limit plus grace, for a task that cannot be
started, and for all runs when the event loop has stood still for so long that none will end any more.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import ParamSpec, TypeVar

from attrs import evolve

from duly.scheduler.clock import processor_time
from duly.scheduler.events.loops import LoopFailed
from duly.scheduler.events.nodes import NodeStalled
from duly.scheduler.events.runs import LeaseLost
from duly.scheduler.node.extending import LeaseExtender
from duly.scheduler.node.loop import Loop, jittered
from duly.scheduler.node.slots import Slots
from duly.scheduler.rules.edits import STOP_REQUESTED
from duly.scheduler.rules.endings import Interrupted, Stopped
from duly.scheduler.runs.live_run import LiveRun
from duly.scheduler.runs.live_runs import LiveRuns
from duly.scheduler.services import Services
from duly.stores import Extended, Kept, LockLost, Node, StoreClosed

P = ParamSpec("P")
T = TypeVar("T")

STANDSTILL = 10
"""For how many leases the event loop may stand still before the node stops extending its leases."""


class Heartbeat:
    """Extends the leases of the live runs, and announces the node.

    It is made in the scheduler's event loop, and runs in the heartbeat thread's loop or in the scheduler's.
    """

    def __init__(self, services: Services, runs: LiveRuns, node: Node, slots: Slots | None = None) -> None:
        """Extend the leases of `runs` in the store of `services`, and announce `node`.

        `slots` must belong to the same event loop as the heartbeat; None: this heartbeat renews no slots.
        """
        self._services, self._store, self._clock, self._config = services, services.store, services.clock, services.config
        self._runs, self._node, self._slots = runs, node, slots
        self._extender = LeaseExtender(services)
        self._home = asyncio.get_running_loop()
        self._last_turn = self._last_look = self._clock.monotonic()
        self._processor_time = processor_time()
        self._is_answered = True
        """Whether the store has answered since it was last asked so."""
        self._stalled_at = self._asking_until = float("-inf")
        """Until when (monotonic) the store is asked which leases it still has for this node, after a time in which nobody could ask."""
        self._announced: datetime | None = None
        self._is_known = False
        """Whether other nodes may know of this node; True also after an announcement without an answer."""

    async def turn(self) -> timedelta:
        """Beat once; return the pause until the next beat, a third of the usual one if a row was busy."""
        is_busy = await self.run_once()
        return jittered(self._config.heartbeat / 3 if is_busy else self._config.heartbeat, by=0.1)

    async def run_once(self) -> bool:
        """Extend the leases; return whether some rows were busy and should be tried again soon.

        Raises:
            StoreError: the store failed; runs whose leases can no longer be trusted are cut short even then.

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
        if self._slots is not None:  # before the leases, with the same `now`: no lease may outlive its slot
            kept = self._slots.with_slot(kept, await self._slots.renew(now))
        is_unsure = self._slots is not None and self._slots.is_unsure
        runs = {run.lease_id: run for run in kept}
        if not runs:
            return is_unsure
        extended = await self._extender.extend(now, [run.lease.held for run in runs.values()])
        self._clock.observe(extended.store_now, sent=sent, received=self._clock.monotonic())
        self._is_answered = self._is_answered or sent >= self._stalled_at
        self._note(runs, extended, trusted_until=sent + (self._config.lease - self._config.margin).total_seconds())
        return bool(extended.busy) or is_unsure

    def _note(self, runs: dict[str, LiveRun], extended: Extended, *, trusted_until: float) -> None:
        for kept in extended.kept:
            self._keep(runs[kept.lease_id], kept, trusted_until)
        for held in extended.lost:
            run = runs[held.lease_id]
            if not run.has_ended:  # an ended run's outcome may just have been written: the answer of the exchange will tell
                self._lose(run, "another node has the task, or somebody deleted it")

    def _keep(self, run: LiveRun, kept: Kept, trusted_until: float) -> None:
        run.lease.extend(kept, trusted_until)
        if kept.stop:
            self._call_home(run.end_early, Stopped(STOP_REQUESTED))

    def _lose(self, run: LiveRun, reason: str) -> None:
        run.lease.lose()
        error = LockLost(run.task.slug, run.lease_id)
        self._services.publish(LeaseLost(node=self._services.node, error=error, kind=run.task.kind, reason=reason, facts=run.facts))
        self._call_home(run.end_early, Interrupted(f"its lease was lost: {reason}"))

    def cut_untrusted(self) -> bool:
        """Cut short the runs whose leases can no longer be trusted.

        It does not use the store, so a store that hangs cannot delay it. After a time in which this process did not run, the
        store is asked first: a lease that has ended is still this node's if nobody took the task. Returns whether it is to be asked now.
        """
        if self._is_asking():
            return not self._is_answered
        for run in self._runs:
            if not run.lease.is_lost and not run.has_ended and not run.is_trusted:
                self._lose(run, "it could not be extended in time")
        return False

    def _is_asking(self) -> bool:
        """Tell whether the store is first to say which leases this node still has: nobody could ask in time."""
        now, used = self._clock.monotonic(), processor_time()
        gap, used_in_gap = now - self._last_look, used - self._processor_time
        self._last_look, self._processor_time = now, used
        lease = self._config.lease.total_seconds()
        if gap > lease / 2 and self._clock.runs:  # no lease ends untrusted by less: it is extended every third of it
            held = used_in_gap > gap / 2
            self._services.publish(NodeStalled(node=self._services.node, seconds=gap, is_interpreter_held=held))
            if self._runs:
                # One lease of time in which this process runs, and no more: runs that nobody can trust must not go on for ever.
                left = max(0.0, self._asking_until - (now - gap))
                self._asking_until = now + (lease if self._is_answered else left)
                self._stalled_at, self._is_answered = now, False
        return now < self._asking_until

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
            node = evolve(self._node, kinds=self._services.registry.kinds)  # kinds may have been registered since the last announcement
            await self._store.announce(_seen(node, now, now + 2 * self._config.lease))
            self._announced = now

    async def farewell(self) -> None:
        """Give back the slots that no run needs; announce the departure, if others may know this node."""
        if self._slots is not None:
            await self._slots.renew(self._clock.now())
        if self._is_known:
            now = self._clock.now()
            await self._store.announce(_seen(self._node, now, now))

    def _note_turn(self) -> None:
        self._last_turn = self._clock.monotonic()

    def _call_home(self, call: Callable[P, None], *arguments: P.args, **_: P.kwargs) -> None:
        """Call in the scheduler's event loop, where runs end; do nothing once that loop is closed."""
        with suppress(RuntimeError):
            self._home.call_soon_threadsafe(call, *arguments)


def _seen(node: Node, now: datetime, until: datetime) -> Node:
    return evolve(node, seen_at=now, until=until)


class HeartbeatThread:
    """A heartbeat in a thread with an event loop and a store of its own.

    It is made and stopped in the scheduler's event loop.
    """

    def __init__(self, heartbeat: Heartbeat, services: Services) -> None:
        """Run `heartbeat`, made with the same `services`; their store is this thread's own, not yet open."""
        self._heartbeat, self._services = heartbeat, services
        self._loops: tuple[Loop, ...] = ()
        self._is_stopping = threading.Event()
        self._takes_leave = True
        self._home, self._is_gone = asyncio.get_running_loop(), asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"duly-heartbeat-{services.node}", daemon=True)

    def start(self) -> None:
        """Start the thread; the first beat opens the store."""
        self._thread.start()

    @property
    def ended(self) -> tuple[str, str] | None:
        """The name of a loop that ended though nobody stopped it, and why; None if all of them run."""
        ended = ((loop.name, loop.ended) for loop in self._loops if loop.ended is not None)
        return next(ended, None if self._thread.is_alive() else ("heartbeat", "its thread ended"))

    async def call(self, work: Callable[[], Awaitable[T]]) -> T:
        """Await `work()` in this thread's event loop, from the scheduler's event loop.

        Raises:
            StoreClosed: the thread is stopping.

        """
        if self._is_stopping.is_set():
            raise StoreClosed("the heartbeat's store")

        async def do() -> T:
            return await work()

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(do(), self._loop))

    async def stop(self, *, farewell: bool = True) -> None:
        """Stop beating, announce the departure unless `farewell` is False, and join the thread.

        The thread ends as soon as the store lets it. No other thread is needed for the wait: none can be started while the
        interpreter exits.
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
                await asyncio.gather(*(loop.start() for loop in self._loops))
            if self._takes_leave:
                await self._heartbeat.farewell()
        except Exception as error:  # noqa: BLE001 - nobody waits for this thread: what it raised would be lost
            self._services.publish(LoopFailed(node=self._services.node, loop="heartbeat", error=error))
        finally:
            await self._services.store.close()

    async def _turn(self) -> timedelta:
        await self._services.store.open()
        return await self._heartbeat.turn()

    async def _look(self) -> timedelta:
        """Cut short untrusted runs, whatever the store does; return the pause, half the margin.

        Trust ends one margin before the lease does, so a run is cut short before its lease ends.
        """
        if self._heartbeat.cut_untrusted():
            self._loops[0].wake.ring()
        return self._services.config.margin / 2
