"""Delivery queue of one fetched kind: tasks wait here for a subscription and are acknowledged here.

A task arrives as a locked run that has not begun. The run begins when a subscription takes it, and ends as the
acknowledgement says. A task that nobody takes is handed back unrun. This module is for the scheduler's event loop only.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Never

from attrs import evolve

from duly.jobs import Job, JobContext, RegisteredJob, Task, TaskOptions
from duly.scheduler.clock import Clock
from duly.scheduler.errors import AlreadyAcknowledged
from duly.scheduler.executors.fetched.delivery import Ack, Delivery
from duly.scheduler.rules.endings import Interrupted, Stopped
from duly.scheduler.runs.live_run import LiveRun, RunState
from duly.scheduler.runs.live_runs import LiveRuns

UNREAD_LEASES = 3
"""For how many leases a task waits to be read, before it is handed back for other nodes."""

_STOPPING = "this node is stopping, and nobody had read it"


class DeliveryQueue(Job):
    """Delivers the tasks of one kind to its subscriptions; the registry holds it as the kind's job."""

    def __init__(self, kind: str, runs: LiveRuns, clock: Clock, lease: timedelta, on_change: Callable[["DeliveryQueue"], None]) -> None:
        """Begin without subscriptions; `runs` are those of the node.

        `on_change` is called when the subscriptions change, and when the queue is no longer stalled.
        """
        self.kind = kind
        self.lease: timedelta = lease
        self._runs, self._clock, self._on_change = runs, clock, on_change
        self.subscriptions: list[Subscription] = []
        self._unread: deque[Delivery] = deque()
        self._is_ending = False
        self.is_stalled: bool = False
        """Whether a task was not read in time; then the node locks no more tasks until somebody reads."""
        self.registered: RegisteredJob | None = None
        """The registration of the kind; None while it has no subscription."""

    def execute(self, ctx: JobContext, task: Task, /) -> Never:
        """Raise: the executor of fetched kinds delivers the task instead."""
        raise NotImplementedError("the tasks of a fetched kind are delivered, not executed")

    # -- called by the node

    async def deliver(self, run: LiveRun, ctx: JobContext) -> Task:
        """Wait until a subscriber has read and acknowledged the task; return or raise what it says.

        Raises:
            Retry, Fail: the subscriber said so.
            TimeLimitExceeded: the time from reading to acknowledging exceeded the task's limit.

        """
        delivery, task = Delivery(run, ctx), run.task
        timer = self._clock.call_later(UNREAD_LEASES * self.lease, lambda: self._put_back(delivery))
        self._offer(delivery)
        try:
            await delivery.is_read
            ack = await run.bounded(delivery.ack)
        except asyncio.CancelledError:
            if run.state is not RunState.ACKNOWLEDGED:
                if isinstance(run.cut_short, Stopped) and not run.has_begun:
                    run.begin()  # a stopped run is recorded, even if nobody had read it
                raise
            ack = delivery.ack.result()  # it was acknowledged just before the cancellation
        finally:
            timer.cancel()
            self._let_go(delivery)
        if ack.error is not None:
            raise ack.error
        return task if ack.result is None else evolve(task, result=ack.result)

    def _offer(self, delivery: Delivery) -> None:
        if self._is_ending:
            delivery.run.end_early(Interrupted(_STOPPING))
        elif self._taken >= self._room:
            delivery.run.end_early(Interrupted("nobody fetches it any more"))
        else:
            self._unread.append(delivery)
            self._runs.changed.ring()
            self.wake()

    @property
    def _room(self) -> int:
        return sum(each.max_in_flight for each in self.subscriptions)

    @property
    def _taken(self) -> int:
        return len(self._unread) + sum(len(each.in_hand) for each in self.subscriptions)

    def _put_back(self, delivery: Delivery) -> None:
        if delivery in self._unread:
            self.is_stalled = True
            delivery.run.end_early(Interrupted(f"nobody read it for {UNREAD_LEASES} leases"))

    def _let_go(self, delivery: Delivery) -> None:
        delivery.wake()
        delivery.ack.cancel()
        if delivery in self._unread:
            self._unread.remove(delivery)
        for each in self.subscriptions:
            each.in_hand.pop(delivery.run.lease_id, None)
        self.wake()

    def stop_reading(self) -> None:
        """Hand back what nobody has read, and deliver no more; what was read may still be acknowledged."""
        self._is_ending = True
        for delivery in self._unread:
            delivery.run.end_early(Interrupted(_STOPPING))
        self.wake()

    def close(self) -> None:
        """End every subscription."""
        for each in tuple(self.subscriptions):
            each.end()

    # -- called by the subscriptions

    def subscribe(self, max_in_flight: int) -> "Subscription":
        """Return a new subscription, which holds up to `max_in_flight` tasks at a time."""
        subscription = Subscription(self, max_in_flight)
        self.subscriptions.append(subscription)
        self._resize()
        return subscription

    def leave(self, subscription: "Subscription") -> None:
        """Remove a subscription; hand back the unread tasks that the others have no room for."""
        self.subscriptions.remove(subscription)
        self._resize()
        for delivery in tuple(self._unread)[max(0, len(self._unread) - max(0, self._taken - self._room)) :]:
            delivery.run.end_early(Interrupted("its subscription ended before it was read"))
        self.wake()

    def _resize(self) -> None:
        """Let the node lock as many tasks as all subscriptions may hold; none if there is none."""
        room = self._room
        registered = RegisteredJob(job=self, trigger=None, options=TaskOptions(), max_concurrency=room or None, executor="fetched")
        self.registered = registered if self.subscriptions else None
        self._on_change(self)

    def take(self) -> Delivery | None:
        """Begin the run that has waited longest to be read, and return it; None if none waits."""
        if self.is_stalled:
            self.is_stalled = False
            self._on_change(self)
        while self._unread:
            delivery = self._unread.popleft()
            if not delivery.run.is_trusted:  # its lease may still be extended; hand it back before anybody has it
                delivery.run.end_early(Interrupted("its lease could not be trusted when it was to be read"))
            elif not delivery.is_over:
                delivery.run.begin()  # now: its subscriber may acknowledge it before the event loop turns
                delivery.is_read.set_result(None)
                return delivery
        return None

    def acknowledge(self, delivery: Delivery, ack: Ack) -> None:
        """End the run as `ack` says.

        Raises:
            DulyError: a change of `ack` cannot be stored; the run goes on.

        """
        ack.amend(delivery.run.task, self._clock.now())
        delivery.run.acknowledge(ack.amend)
        delivery.ack.set_result(ack)

    @property
    def is_ending(self) -> bool:
        """Whether the queue delivers no more tasks."""
        return self._is_ending

    def wake(self) -> None:
        """Let every waiting reader check again."""
        for each in self.subscriptions:
            each.look_again()


class Subscription:
    """One reader's share of a queue: only it can acknowledge the tasks in its hands."""

    def __init__(self, queue: DeliveryQueue, max_in_flight: int) -> None:
        """Begin with no tasks."""
        self._queue = queue
        self.max_in_flight: int = max_in_flight
        self.in_hand: dict[str, Delivery] = {}
        """Tasks that were read and not acknowledged, by lease id."""
        self.is_over: bool = False
        self._waiters: set[asyncio.Future[None]] = set()

    def take(self) -> Delivery | None:
        """Return the next waiting task; None if none waits, or `max_in_flight` tasks are in hand."""
        if len(self.in_hand) >= self.max_in_flight or (delivery := self._queue.take()) is None:
            return None
        self.in_hand[delivery.run.lease_id] = delivery
        return delivery

    async def next(self) -> Delivery | None:
        """Wait for the next task and return it; None when no more will come."""
        while not self.is_over and not self._queue.is_ending:
            if (delivery := self.take()) is not None:
                return delivery
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)
        return None

    def look_again(self) -> None:
        """Wake the readers that wait in `next`."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def acknowledge(self, delivery: Delivery, ack: Ack) -> None:
        """End a run in this subscription's hands as `ack` says; return when that is written.

        If the caller is cancelled during the wait, the acknowledgement still stands.

        Raises:
            AlreadyAcknowledged: it is in another subscription's hands, was acknowledged before, or was cut short.
            LockLost: its lease was lost.
            DulyError: a change of `ack` cannot be stored; the run goes on.

        """
        if (refusal := delivery.refusal()) is not None:
            raise refusal
        if (lease_id := delivery.run.lease_id) not in self.in_hand:
            raise AlreadyAcknowledged(lease_id, "it is not in the hands of this subscription")
        self._queue.acknowledge(delivery, ack)
        await delivery.written()

    def drop(self, lease_id: str) -> None:
        """Give up a run that nobody will acknowledge; no effect if it is not in hand.

        The task comes again after a lease, as if its reader had died. So a reader that drops it each time does not loop without
        a pause.
        """
        if (delivery := self.in_hand.get(lease_id)) is not None:
            delivery.run.end_early(Interrupted("its subscriber dropped it without an acknowledgement", pause=self._queue.lease))

    def end(self) -> None:
        """Give up the tasks in hand, and read no more. Safe to call twice."""
        if self.is_over:
            return
        self.is_over = True
        for delivery in tuple(self.in_hand.values()):
            delivery.run.end_early(Interrupted("its subscription ended before it was acknowledged"))
        self._queue.leave(self)
        self.look_again()
