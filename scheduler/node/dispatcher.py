"""The node's main loop: write the outcomes of ended runs and lock due tasks, in one exchange.

Between turns it sleeps exactly until the next task is due. Outcomes of runs that end during an exchange wait for the
next one. So a busy node writes in batches without a timer, and an idle node writes at once.
"""

import asyncio
from datetime import datetime, timedelta
from uuid import uuid4

from attrs import evolve, frozen

from duly.jobs import RegisteredJob, Request, Task, UnreadablePayload
from duly.scheduler.events.runs import RunStarted, TaskUnreadable
from duly.scheduler.node.limits import Limits
from duly.scheduler.node.loop import Loop, jittered
from duly.scheduler.node.losses import Losses
from duly.scheduler.node.outbox import Outbox, PendingWrite, is_about_outcomes
from duly.scheduler.node.runner import Runner, result_of
from duly.scheduler.rules.endings import Ending, Interrupted, Raised
from duly.scheduler.rules.fair_share import filled
from duly.scheduler.rules.firing import is_suspect, plan_fire, trigger_of
from duly.scheduler.runs.lease import RunLease
from duly.scheduler.runs.live_run import LiveRun
from duly.scheduler.services import Services
from duly.scheduler.waiting import Wake
from duly.scheduler.wording import headline
from duly.stores import ClockSkew, Exchange, LockRequest

BUSY_PAUSE = timedelta(milliseconds=100)
"""Pause before the next request if another transaction holds a row."""

SUSPECT_PAUSE = timedelta(seconds=1)
"""How long a suspect waits while this node runs another: it runs one at a time."""

SUSPECT_STEP = timedelta(milliseconds=100)
"""Distance between the new due instants of several suspects that were locked at once."""


@frozen
class _Call:
    """A request that was sent; it is repeated unchanged until the store answers."""

    now: datetime
    sent: float
    request: LockRequest | None


class Dispatcher:
    """Locks tasks, starts their runs, and writes the outbox; used in the scheduler's event loop only."""

    def __init__(self, services: Services, runner: Runner, limits: Limits, wake: Wake) -> None:
        """Lock tasks in the store of `services`, and run them with `runner`.

        It locks as many of each kind as `limits` allow. `wake` ends the pauses of the loop.
        """
        self._services, self._store, self._clock, self._config = services, services.store, services.clock, services.config
        self._runner, self._runs = runner, runner.runs
        self.limits: Limits = limits
        self.loop: Loop = Loop("dispatch", self._turn, services, wake)
        self.is_locking: bool = True
        """False: lock no more tasks; outcomes are still written."""
        self._losses = Losses(services)
        self._outbox = Outbox(services, self._runs, wake.ring)
        self._unanswered: _Call | None = None
        self._one_at_a_time = asyncio.Lock()
        self._busy_kinds: set[str] = set()
        self._in_vain = 0
        """How many turns in a row locked nothing."""
        self._next_ask: datetime | None = None
        """The latest instant of the next request; None: at the next poll."""

    @property
    def unwritten(self) -> int:
        """How many outcomes are not written yet.

        A request without an answer counts as one more, because it may have locked tasks.
        """
        return len(self._outbox) + (self._unanswered is not None)

    # -- the loop

    async def _turn(self) -> timedelta:
        await asyncio.sleep(0)  # other jobs that end at this moment join the same exchange
        self._in_vain = 0 if await self.run_once() else self._in_vain + 1
        poll = jittered(self._config.poll, by=0.25)
        left_out = await self.next_left_out()
        if left_out is not None and self._in_vain >= len(self._services.registry.kinds):
            # Every kind had its turn, and nothing was locked: what is due cannot be locked at the moment.
            left_out = max(left_out, self._clock.now() + jittered(BUSY_PAUSE, by=0.5))
        asks = [ask for ask in (self._next_ask, left_out, self.limits.next_ask) if ask is not None]
        return max(timedelta(0), min(min(asks) - self._clock.now(), poll)) if asks else poll

    async def next_left_out(self) -> datetime | None:
        """Return when the next task is due of the kinds that the last request had no room for; None: none.

        The next request asks for these kinds.
        """
        left_out = self.limits.left_out
        return await self._store.next_run(left_out) if left_out else None

    async def run_once(self) -> int:
        """Write the outcomes, lock due tasks and start their runs; return how many tasks were locked.

        Raises:
            Exception: the store failed. If the store may have executed the request, the next call repeats it unchanged, as long
                as the leases that it may have locked can be trusted.

        """
        async with self._one_at_a_time:
            handed_in = self._outbox.content
            if self._unanswered and self._clock.monotonic() >= self._trusted_until(self._unanswered):
                self._unanswered = None  # a repetition would lock tasks under leases that have ended
                self.limits.drop()
            call = self._unanswered or await self._new_call([each.run for each in handed_in])
            if call.request is None and not handed_in:
                self._next_ask = None
                await self.limits.settle(())
                return 0
            try:
                exchange = await self._exchange(call, handed_in)
            except Exception as error:
                if is_about_outcomes(error):
                    await self._outbox.write_singly(handed_in, call.now)
                raise  # the loop turns again soon
            self._note(call, exchange)
            if self._outbox.settle(handed_in, exchange.refused):
                self._ask_again(BUSY_PAUSE)
            for unreadable in exchange.unreadable:
                self._services.publish(TaskUnreadable(node=self._services.node, slug=unreadable.slug, reason=unreadable.reason))
            suspects = sum(map(is_suspect, exchange.tasks))
            for task in exchange.tasks:
                try:
                    self._start(task, call, is_one_of_many=suspects > 1)
                except Exception as error:  # noqa: BLE001 - one task must not strand those that were locked with it
                    lease = RunLease(task, locked=call.sent, trusted_until=self._trusted_until(call))
                    self._put_off(task, lease, f"this node cannot start it: {headline(error)}")
            self._runs.changed.ring()
            refused = {each.outcome.task.lease_id for each in exchange.refused}
            await self.limits.settle([each.outcome for each in handed_in if each.run.lease_id not in refused])
            return len(exchange.tasks)

    async def _new_call(self, ending: list[LiveRun]) -> _Call:
        now, sent = self._clock.now(), self._clock.monotonic()
        rooms = await self.limits.rooms(now, self._free(len(ending)), self._busy_kinds, ending)
        if not rooms or not self.is_locking:  # a drain may have begun during the wait
            return _Call(now, sent, None)
        request = LockRequest(
            node=self._services.node,
            rooms=rooms,
            lease=self._config.lease,
            token=uuid4().hex,
            live=frozenset(run.lease_id for run in self._runs),
            take_over=sent >= self._clock.stepped_ahead_at + self._config.lease.total_seconds(),
        )
        return _Call(now, sent, request)

    def _free(self, ending: int) -> int:
        return self._config.concurrency - len(self._runs) + ending - self._runner.abandoned_of() if self.is_locking else 0

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
        """Set the time of the next request.

        It is sent at once if more tasks of a kind may be due, and after a pause if something is due but could not be locked.
        """
        rooms = {} if call.request is None else call.request.rooms
        self._busy_kinds = filled(rooms, [task.kind for task in exchange.tasks])
        self._next_ask = exchange.next_run
        if exchange.next_run is not None and exchange.next_run <= call.now and not exchange.tasks:
            self._ask_again(BUSY_PAUSE)

    def _ask_again(self, pause: timedelta) -> None:
        self._next_ask = self._clock.now() + jittered(pause, by=0.5)

    def forget(self) -> None:
        """Drop all outcomes and a request without an answer, as a kill would."""
        self._outbox.forget()
        self._unanswered = None

    # -- what was locked

    def _start(self, task: Task, call: _Call, *, is_one_of_many: bool) -> None:
        """Start a run, or hand its task back; `is_one_of_many`: the same request locked several suspects.

        None of several suspects starts. It might kill the process before the others are written as handed back, and each of
        these would count a loss that it did not cause. After the hand-back each of them is locked again, by itself.
        """
        registered = self._services.registry.find(task.kind)
        suspects = [run for run in self._runs if is_suspect(run.task)] if is_suspect(task) else []
        self._losses.look_at(task)
        lease = RunLease(task, locked=call.sent, trusted_until=self._trusted_until(call))
        if not self.is_locking:
            self._hand_back(task, lease, "this node is stopping")
        elif task.paused and task.request is not Request.RUN_NOW:
            self._hand_back(task, lease, "it was paused while its former node had it")
        elif is_suspect(task) and (suspects or is_one_of_many):
            pause = len(suspects) * SUSPECT_STEP + (not all(run.has_ended for run in suspects)) * SUSPECT_PAUSE
            reason = "it lost several runs, and this node has another such task: they are run one at a time"
            self._hand_back(task, lease, reason, pause)
        elif registered is None:
            self._hand_back(task, lease, "its kind was deregistered while it was being locked")
        else:
            self._fire(task, lease, registered)

    def _trusted_until(self, call: _Call) -> float:
        return call.sent + (self._config.lease - self._config.margin).total_seconds()

    def _hand_back(self, task: Task, lease: RunLease, reason: str, pause: timedelta | None = None) -> None:
        self._outbox.hand_back(self._live(LiveRun(task, lease, self._clock)), reason, pause)

    def _fire(self, task: Task, lease: RunLease, registered: RegisteredJob) -> None:
        """Decide which fire the task runs for and start its run; or end the fire as `Fire.instead` says."""
        try:
            readable = registered.reading(task)
            fire = plan_fire(task, trigger_of(task, registered))
        except UnreadablePayload as error:
            self._put_off(task, lease, f"this node cannot read its payload: {error}")
            return
        except Exception as error:  # noqa: BLE001 - a trigger may be a user's code, and the lock has other tasks
            self._put_off(task, lease, f"this node cannot follow its trigger: {headline(error)}")
            return
        executor = self._runner.executor_of(registered)
        run = self._live(LiveRun(task, lease, self._clock, registered=registered, fire=fire, manner=executor.manner, on_begin=self._begun))
        if fire.instead is not None:
            self._outbox.finish(run, fire.instead)
        else:
            run.start(self._runner.run(run, readable, executor), self._ended)

    def _put_off(self, task: Task, lease: RunLease, reason: str) -> None:
        self._outbox.put_off(self._live(LiveRun(task, lease, self._clock)), reason)

    def _live(self, run: LiveRun) -> LiveRun:
        self._runs.add(run)
        return run

    def _begun(self, run: LiveRun) -> None:
        self._services.publish(RunStarted(node=self._services.node, task=run.task, fire_time=run.fire_time))

    def _ended(self, run: LiveRun, working: "asyncio.Task[Ending]") -> None:
        """Put the outcome of a run in the outbox; called when its asyncio task is done."""
        if run.has_ended:
            return  # it was given up
        # If it was cancelled but not cut short, the job itself or other code of the program cancelled it: it has failed. Or the event loop
        # shuts down: then nobody writes this outcome, the lease ends, and the run is recorded as lost.
        ending = run.cut_short or Raised("the task in which it ran was cancelled") if working.cancelled() else result_of(working)
        if run.has_begun:
            self._outbox.finish(run, ending)
        else:
            self._outbox.hand_back(run, ending.reason if isinstance(ending, Interrupted) else "its run was cut short before it began")

    def give_up(self, run: LiveRun) -> None:
        """Count a run that was cut short as ended although its job goes on: it ignores the cancellation.

        The run is recorded and its attempt refunded, as for a thread that cannot be killed. If it were left to the end of its
        lease, it would count as a crash.
        """
        if not run.has_ended and run.cut_short is not None and run.has_begun:
            reason = f"{run.cut_short.reason}; its job ignores that it was cancelled, and may still be at work"
            self._outbox.finish(run, evolve(run.cut_short, reason=reason))
