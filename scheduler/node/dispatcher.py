"""The loop that a node lives on: hand in what ended, take what is due, in one round trip; sleep exactly until the next.

Runs that end while an exchange is in flight gather for the next one, so that a busy node writes in batches without any
timer, and an idle one writes at once.
"""

import asyncio
from collections import deque
from datetime import datetime, timedelta
from uuid import uuid4

from attrs import evolve, frozen

from duly.jobs import RegisteredJob, Request, Task, UnreadablePayload
from duly.scheduler.events.events import RunLost, RunStarted
from duly.scheduler.executors.fetched.delivery_queue import DeliveryQueue
from duly.scheduler.node.limits import Limits
from duly.scheduler.node.loop import Loop, jittered
from duly.scheduler.node.outbox import Outbox, PendingWrite, is_about_outcomes
from duly.scheduler.node.runner import Runner
from duly.scheduler.rules.endings import EndedRun, Ending, Interrupted, Raised, Stopped
from duly.scheduler.rules.fair_share import filled
from duly.scheduler.rules.firing import NEXT_FIRE, is_suspect, plan_fire, trigger_of
from duly.scheduler.runs.live_run import LiveRun
from duly.scheduler.services import Services
from duly.stores import ClockSkew, Exchange, LockRequest
from duly.triggers import DulyError

_REMEMBERED = 1000
"""Losses that a node knows to have told; a loss of long before may be told again."""

BUSY_PAUSE = timedelta(milliseconds=100)
"""How soon to ask again when a row is held by somebody else's transaction."""

SUSPECT_PAUSE = timedelta(seconds=1)
"""How long a suspect waits while the node runs another: they are run one at a time."""

SUSPECT_STEP = timedelta(milliseconds=100)
"""How far apart several such tasks, locked at once, are due again."""


@frozen
class _Call:
    """An exchange that was sent: repeated as it is until it is answered."""

    now: datetime
    sent: float
    request: LockRequest | None


class Dispatcher:
    """Locks and starts runs, and hands in what the outbox holds; everything here happens in the scheduler's event loop."""

    def __init__(self, services: Services, runner: Runner) -> None:
        """Lock from the store of `services` what `runner` is to run."""
        self._services, self._store, self._clock, self._config = services, services.store, services.clock, services.config
        self._runner, self._runs = runner, runner.runs
        self.limits = Limits(services, runner)
        """How much of each kind may be locked."""
        self.loop = Loop("dispatch", self._turn, services)
        runner.on_room = self.loop.wake.ring
        self.is_locking = True
        """Set to False to take no more work; what ends is still written."""
        self._losses = Losses(services)
        self._outbox = Outbox(services, self._runs, self.loop.wake.ring)
        self._unanswered: _Call | None = None
        self._one_at_a_time = asyncio.Lock()
        self._busy_kinds: set[str] = set()
        self._in_vain = 0
        """Turns in a row that locked nothing."""
        self._next_ask: datetime | None = None
        """When the store is to be asked again at the latest; None = at the poll."""

    @property
    def unwritten(self) -> int:
        """How many runs ended that are not written yet; a call without an answer, which may have locked more, counts as one."""
        return len(self._outbox) + (self._unanswered is not None)

    # -- the loop

    async def _turn(self) -> timedelta:
        await asyncio.sleep(0)  # jobs that are about to end with the one that rang ride on the same exchange
        self._in_vain = 0 if await self.run_once() else self._in_vain + 1
        poll = jittered(self._config.poll, by=0.25)
        left_out = await self.next_left_out()
        if left_out is not None and self._in_vain >= len(self._services.registry.kinds):
            # Every kind had its turn: what is due is not to be had just now.
            left_out = max(left_out, self._clock.now() + jittered(BUSY_PAUSE, by=0.5))
        asks = [ask for ask in (self._next_ask, left_out, self.limits.next_ask) if ask is not None]
        return max(timedelta(0), min(min(asks) - self._clock.now(), poll)) if asks else poll

    async def next_left_out(self) -> datetime | None:
        """Return when the next task is due of those kinds that the last request had no room for: the next one asks for others."""
        left_out = self.limits.left_out
        return await self._store.next_run(left_out) if left_out else None

    async def run_once(self) -> int:
        """Write what ended, lock what is due and start it; return how many tasks were locked.

        Raises:
            DulyError: of the store. If the call may have happened, the next one repeats it exactly, for as long as what it
                locked can be trusted.

        """
        async with self._one_at_a_time:
            handed_in = self._outbox.content
            if self._unanswered and self._clock.monotonic() >= self._trusted_until(self._unanswered):
                self._unanswered = None  # repeated now, it would lock tasks under leases that have ended
                self.limits.drop()
            call = self._unanswered or await self._new_call([each.live for each in handed_in])
            if call.request is None and not handed_in:
                self._next_ask = None
                await self.limits.settle(())
                return 0
            try:
                exchange = await self._exchange(call, handed_in)
            except DulyError as error:
                if is_about_outcomes(error):
                    await self._outbox.write_singly(handed_in, call.now)
                raise  # and the loop turns again soon
            self._note(call, exchange)
            if self._outbox.settle(handed_in, exchange.refused):
                self._ask_again(BUSY_PAUSE)
            suspects = sum(map(is_suspect, exchange.tasks))
            for task in exchange.tasks:
                self._start(task, call, is_one_of_many=suspects > 1)
            self._runs.changed.ring()
            refused = {each.outcome.task.lease_id for each in exchange.refused}
            await self.limits.settle([each.outcome for each in handed_in if each.live.lease_id not in refused])
            return len(exchange.tasks)

    async def _new_call(self, ending: list[LiveRun]) -> _Call:
        now, sent = self._clock.now(), self._clock.monotonic()
        rooms = await self.limits.rooms(now, self._free(len(ending)), self._busy_kinds, ending)
        if not rooms or not self.is_locking:  # a drain may have begun meanwhile
            return _Call(now, sent, None)
        return _Call(now, sent, LockRequest(node=self._services.node, rooms=rooms, lease=self._config.lease, token=uuid4().hex))

    def _free(self, ending: int) -> int:
        return self._config.concurrency - len(self._runs) + ending - self._runner.abandoned if self.is_locking else 0

    async def _exchange(self, call: _Call, handed_in: list[PendingWrite]) -> Exchange:
        self._unanswered = call
        try:
            exchange = await self._store.exchange(call.now, [each.outcome for each in handed_in], call.request)
        except ClockSkew as error:
            self._unanswered = None
            self._clock.start_over(error.store_now, sent=call.sent, received=self._clock.monotonic())
            raise
        except Exception as error:
            if not getattr(error, "retryable", False):
                self._unanswered = None
            raise
        self._unanswered = None
        self._clock.observe(exchange.store_now, sent=call.sent, received=self._clock.monotonic())
        return exchange

    def _note(self, call: _Call, exchange: Exchange) -> None:
        """Decide when to ask next: at once for a kind of which more may be due; after a pause for what is due but was not to be had."""
        rooms = {} if call.request is None else call.request.rooms
        self._busy_kinds = filled(rooms, [task.kind for task in exchange.tasks])
        self._next_ask = exchange.next_run
        if exchange.next_run is not None and exchange.next_run <= call.now and not exchange.tasks:
            self._ask_again(BUSY_PAUSE)

    def _ask_again(self, pause: timedelta) -> None:
        self._next_ask = self._clock.now() + jittered(pause, by=0.5)

    def forget(self) -> None:
        """Let go of what ended and of a call without an answer, as a kill would."""
        self._outbox.forget()
        self._unanswered = None

    # -- what was locked

    def _start(self, task: Task, call: _Call, *, is_one_of_many: bool) -> None:
        """Begin a run, unless the task is better handed back; `is_one_of_many`: the same call locked several suspects.

        Of those none is begun: it may take the process's life before the others' way back is written, and they would
        lose one more run that they never had. Handed back, each of them comes again by itself.
        """
        registered = self._services.registry.find(task.kind)
        live = LiveRun(task, locked=call.sent, trusted_until=self._trusted_until(call), registered=registered)
        suspects = [each for each in self._runs if is_suspect(each.task)] if is_suspect(task) else []
        self._runs.add(live)
        self._losses.look_at(task)
        if not self.is_locking:
            self._outbox.hand_back(live, "this node is stopping")
        elif task.paused and task.request is not Request.RUN_NOW:
            self._outbox.hand_back(live, "it was paused while its former node had it")
        elif is_suspect(task) and (suspects or is_one_of_many):
            pause = len(suspects) * SUSPECT_STEP + (not all(each.has_ended for each in suspects)) * SUSPECT_PAUSE
            self._outbox.hand_back(live, "it lost several runs, and this node has another such task: they are run one at a time", pause)
        elif registered is None:
            self._outbox.hand_back(live, "its kind was deregistered while it was being locked")
        else:
            self._fire(live, registered)

    def _trusted_until(self, call: _Call) -> float:
        return call.sent + (self._config.lease - self._config.margin).total_seconds()

    def _fire(self, live: LiveRun, registered: RegisteredJob) -> None:
        task = live.task
        try:
            registered = registered.reading(task)
            trigger = trigger_of(task, registered)
            fire = plan_fire(task, trigger)
        except UnreadablePayload as error:
            self._outbox.put_off(live, f"this node cannot read its payload: {error}")
            return
        except Exception as error:  # noqa: BLE001 - a trigger may be anybody's code, and the lock has other tasks
            self._outbox.put_off(live, f"this node cannot follow its trigger: {error}")
            return
        if fire.instead is not None:
            self._end(live, fire.fire_time, fire.at, fire.at, fire.instead)
            return
        if fire.cancel_at is not None:
            live.timer = self._clock.call_later(fire.cancel_at - self._clock.now(), lambda: live.end_early(Stopped(NEXT_FIRE)))
        started = RunStarted(node=self._services.node, task=task, fire_time=fire.fire_time)
        if isinstance(registered.job, DeliveryQueue):
            live.on_begin = lambda: self._services.publish(started)
        else:
            self._services.publish(started)
        live.working = asyncio.create_task(self._runner.run(live, registered, fire.fire_time), name=f"duly {task.slug}")
        live.working.add_done_callback(lambda working: self._stopped_working(live, fire.fire_time, working))

    def _stopped_working(self, live: LiveRun, fire_time: datetime, working: "asyncio.Task[Ending]") -> None:
        if live.has_ended:
            return  # it was given up
        # Cancelled by nobody here: by the job itself or by other code of the program, and then it has failed; or the event loop is being
        # shut down under us, and nobody writes this: the lease will end, and the run be recorded as lost.
        ending = live.cut_short or Raised("the task in which it ran was cancelled") if working.cancelled() else working.result()
        if live.started_at is None or ending is None:
            self._outbox.hand_back(live, ending.reason if isinstance(ending, Interrupted) else "its run was cut short before it began")
            return
        self._end(live, fire_time, live.started_at, max(self._clock.now(), live.started_at), ending)

    def give_up(self, live: LiveRun) -> None:
        """Let a run that was cut short count as ended, although its job goes on: one in the event loop may ignore its cancelling.

        As with a thread that cannot be killed, it is on record, and its attempt refunded; left to its lease, it would count as a crash.
        """
        if live.has_ended or live.cut_short is None or live.started_at is None or live.fire_time is None:
            return
        reason = f"{live.cut_short.reason}; its job ignores that it was cancelled, and may still be at work"
        ending = evolve(live.cut_short, reason=reason)
        self._end(live, live.fire_time, live.started_at, max(self._clock.now(), live.started_at), ending)

    def _end(self, live: LiveRun, fire_time: datetime, started_at: datetime, ended_at: datetime, ending: Ending) -> None:
        self._outbox.finish(live, EndedRun(task=live.task, fire_time=fire_time, started_at=started_at, ended_at=ended_at, ending=ending))


class Losses:
    """Publishes `RunLost` once for every loss of a run whose task this node locks."""

    def __init__(self, services: Services) -> None:
        """Tell through `services`."""
        self._services = services
        self._told: deque[tuple[str, datetime | None, int]] = deque(maxlen=_REMEMBERED)

    def look_at(self, task: Task) -> None:
        """Tell of the run that `task`, just locked, lost last; not again when it comes back after a failure or a hand-back."""
        loss = (task.slug, task.first_run_at, task.crashes)  # the n-th loss of one fire, which is first locked once
        if not task.crashes or loss in self._told:
            return
        self._told.append(loss)
        self._services.publish(
            RunLost(node=self._services.node, slug=task.slug, kind=task.kind, crashes=task.crashes, lease_ended_at=task.ended_at)
        )
