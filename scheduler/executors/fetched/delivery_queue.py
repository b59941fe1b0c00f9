"""Where the tasks of a fetched kind wait to be read, and where those who read them say how their runs ended.

One desk for each kind that is fetched on a node. A task comes to it as a run that was locked like any other, but not begun;
it begins when a subscription takes it, and ends as the acknowledgement says. What is not taken goes back unrun.
Nothing here knows how a subscriber reads: it takes, acknowledges what it took, and may wait; all in the scheduler's event loop.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Never

from attrs import evolve

from duly.jobs import Job, JobContext, RegisteredJob, Task, TaskOptions
from duly.scheduler import waiting
from duly.scheduler.clock import Clock
from duly.scheduler.errors import AlreadyAcknowledged
from duly.scheduler.executors.fetched.delivery import Ack, Delivery
from duly.scheduler.rules.endings import Interrupted, Stopped
from duly.scheduler.runs.live_run import LiveRun, LiveRuns

UNREAD_LEASES = 3
"""Leases for which a task waits to be read before it is handed back, for other nodes."""

_STOPPING = "this node is stopping, and nobody had read it"


class DeliveryQueue(Job):
    """Hands the tasks of one kind out to its subscriptions."""

    def __init__(self, kind: str, runs: LiveRuns, clock: Clock, lease: timedelta) -> None:
        """Serve nobody yet; `runs` are those of the node."""
        self.kind = kind
        self._runs, self._clock, self.lease = runs, clock, lease
        self.subscriptions: list[Subscription] = []
        self._unread: deque[Delivery] = deque()
        self._is_ending = False
        self.is_stalled = False
        """Whether a task waited in vain to be read: then no more are locked until somebody reads again."""
        self.registered: RegisteredJob | None = None
        """What the node knows of the kind; None while nobody subscribes."""
        self.on_change: Callable[[], None] = lambda: None
        """Called when there are more or fewer subscriptions, and when the desk is no longer stalled."""

    def execute(self, ctx: JobContext, task: Task, /) -> Never:
        """Refuse: the runner knows a desk, and has it hand the task out."""
        raise NotImplementedError("a desk hands its tasks out")

    # -- the node's side

    async def deliver(self, live: LiveRun, ctx: JobContext) -> Task:
        """Wait until a subscriber has read the task and said how its run ended, and end so.

        Raises:
            Retry, Fail: the subscriber said so.
            TimeLimitExceeded: the subscriber took longer, from the reading on, than the task's options allow.

        """
        delivery, task = Delivery(live, ctx), live.task
        live.leases_to_begin, live.on_removed = UNREAD_LEASES, delivery.settle
        timer = self._clock.call_later(UNREAD_LEASES * self.lease, lambda: self._put_back(delivery))
        self._offer(delivery)
        try:
            await delivery.is_read
            ack = await waiting.within(self._clock, task.options.time_limit, delivery.ack, on_limit=live.note_limit)
        except asyncio.CancelledError:
            if not live.is_decided:
                if isinstance(live.cut_short, Stopped) and live.started_at is None:
                    live.begin(self._clock)  # it is over, and on record, though nobody had read it
                raise
            ack = delivery.ack.result()  # said just before
        finally:
            timer.cancel()
            self._let_go(delivery)
        if ack.error is not None:
            raise ack.error
        return task if ack.result is None else evolve(task, result=ack.result)

    def _offer(self, delivery: Delivery) -> None:
        if self._is_ending:
            delivery.live.end_early(Interrupted(_STOPPING))
        elif self._taken >= self._room:
            delivery.live.end_early(Interrupted("nobody fetches it any more"))
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
            delivery.live.end_early(Interrupted(f"nobody read it for {UNREAD_LEASES} leases"))

    def _let_go(self, delivery: Delivery) -> None:
        delivery.wake()
        delivery.ack.cancel()
        if delivery in self._unread:
            self._unread.remove(delivery)
        for each in self.subscriptions:
            each.in_hand.pop(delivery.live.lease_id, None)
        self.wake()

    def stop_reading(self) -> None:
        """Hand back what nobody has read, and give out no more; what was read may still be acknowledged."""
        self._is_ending = True
        for delivery in self._unread:
            delivery.live.end_early(Interrupted(_STOPPING))
        self.wake()

    def close(self) -> None:
        """End every subscription."""
        for each in tuple(self.subscriptions):
            each.end()

    # -- the subscriptions' side

    def subscribe(self, max_in_flight: int) -> "Subscription":
        """Return another subscription, which holds up to `max_in_flight` tasks at a time."""
        subscription = Subscription(self, max_in_flight)
        self.subscriptions.append(subscription)
        self._resize()
        return subscription

    def leave(self, subscription: "Subscription") -> None:
        """Serve a subscription no more; what is unread, and more than the others may hold, goes back."""
        self.subscriptions.remove(subscription)
        self._resize()
        for delivery in tuple(self._unread)[max(0, len(self._unread) - max(0, self._taken - self._room)) :]:
            delivery.live.end_early(Interrupted("its subscription ended before it was read"))
        self.wake()

    def _resize(self) -> None:
        """Let the node lock as many tasks as all subscriptions together may hold; none, once there is no subscription."""
        room = self._room
        self.registered = RegisteredJob(job=self, trigger=None, options=TaskOptions(), max_concurrency=room) if self.subscriptions else None
        self.on_change()

    def take(self) -> Delivery | None:
        """Begin the run that has waited longest to be read, and return it; None if none waits."""
        if self.is_stalled:
            self.is_stalled = False
            self.on_change()
        while self._unread:
            delivery = self._unread.popleft()
            if not self._runs.is_trusted(delivery.live):  # its lease may be extended yet, when it is in nobody's hands
                delivery.live.end_early(Interrupted("its lease could not be trusted when it was to be read"))
            elif not delivery.is_over:
                delivery.live.begin(self._clock)
                delivery.is_read.set_result(None)
                return delivery
        return None

    def acknowledge(self, delivery: Delivery, ack: Ack) -> "asyncio.Future[None]":
        """Let the run end as `ack` says; return what is done when that is written.

        Raises:
            DulyError: what `ack` changes cannot be kept; the run goes on.

        """
        ack.amend(delivery.live.task, self._clock.now())
        delivery.live.amend, delivery.live.is_decided = ack.amend, True
        delivery.ack.set_result(ack)
        return delivery.written

    @property
    def is_ending(self) -> bool:
        """Whether nothing is given out any more."""
        return self._is_ending

    def wake(self) -> None:
        """Let every reader who waits look again."""
        for each in self.subscriptions:
            each.look_again()


class Subscription:
    """One reader's share of a desk: the tasks in its hands, which nobody else can acknowledge."""

    def __init__(self, queue: DeliveryQueue, max_in_flight: int) -> None:
        """Hold nothing."""
        self._queue, self.max_in_flight = queue, max_in_flight
        self.in_hand: dict[str, Delivery] = {}
        """Read and not acknowledged, by lease id."""
        self.is_over = False
        self._waiters: set[asyncio.Future[None]] = set()

    def take(self) -> Delivery | None:
        """Return the next task that waits, None if none does or this subscription holds as many as it may."""
        if len(self.in_hand) >= self.max_in_flight or (delivery := self._queue.take()) is None:
            return None
        self.in_hand[delivery.live.lease_id] = delivery
        return delivery

    async def next(self) -> Delivery | None:
        """Return the next task as soon as there is one; None when there will be no more."""
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
        """Wake who waits in `next`."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def acknowledge(self, delivery: Delivery, ack: Ack) -> "asyncio.Future[None]":
        """Let a run in this subscription's hands end as `ack` says; return what is done when that is written.

        It fails with `LockLost` if the lease was lost before. Shield it, if you may be cancelled.

        Raises:
            AlreadyAcknowledged: it is not in this subscription's hands: it is another's, was acknowledged, or was cut short.
            LockLost: its lease was lost.
            DulyError: what `ack` changes cannot be kept; the run goes on.

        """
        if (refusal := delivery.refusal()) is not None:
            raise refusal
        if (lease_id := delivery.live.lease_id) not in self.in_hand:
            raise AlreadyAcknowledged(lease_id, "it is not in the hands of this subscription")
        return self._queue.acknowledge(delivery, ack)

    def drop(self, lease_id: str) -> None:
        """Give up a run that nobody will acknowledge; without effect on one that is not in hand.

        It comes again after a lease, as if its reader had died: one who drops it each time does not do so without a pause.
        """
        if (delivery := self.in_hand.get(lease_id)) is not None:
            delivery.live.end_early(Interrupted("its subscriber dropped it without an acknowledgement", pause=self._queue.lease))

    def end(self) -> None:
        """Give up what is in hand, and read no more. Safe to call twice."""
        if self.is_over:
            return
        self.is_over = True
        for delivery in tuple(self.in_hand.values()):
            delivery.live.end_early(Interrupted("its subscription ended before it was acknowledged"))
        self._queue.leave(self)
        self.look_again()
