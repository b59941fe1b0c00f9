"""The slots that a node holds of the kinds that have a limit over all nodes.

The rule that the limit rests on: **no lease outlives the slot under it**. A task of such a kind is locked, and its lease
extended, only with a `now` with which its slot was got or renewed just before. So whoever finds a slot free, because
its end has passed, finds the lease under it ended too, and the run, which trusts a lease for less than its length
(`RunLease.trusted_until`), cut short before. A slot needs no trust of its own: a node that cannot renew it extends no lease
under it. Nor is a slot given back before the lease under it has ended, by the writing of its outcome or in time.

A node holds as many slots as it has runs of the kind, and asks for more only when something of the kind is due: what a
lock did not use, and what a run left that has no successor, is given back at once.

All calls of a node come from one event loop, one after the other: the answer to each replaces what the node held, so that
two on their way at once would leave it believing what is not so. That loop is the heartbeat's, because a job that blocks
the scheduler's own must lose neither its lease nor its slot.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from duly.scheduler.events.events import LoopFailed
from duly.scheduler.runs.live_run import LiveRun
from duly.scheduler.services import Services
from duly.stores import ClockSkew, StoreError


class Slots:
    """What a node holds; every coroutine here runs in the event loop in which the store of its `services` is open."""

    def __init__(self, services: Services, in_use: Callable[[str], int]) -> None:
        """Hold nothing. `in_use` tells how many slots of a kind this node needs for what it has; it is called from this loop's thread."""
        self._services, self._in_use = services, in_use
        self._one_at_a_time = asyncio.Lock()
        self._held: dict[str, int] = {}
        """What the last answer granted; less, if something was to be given back since."""
        self._unsure: set[str] = set()
        """Kinds of which the last call had no answer: the store may have more for this node than it believes to hold."""
        self._latest: dict[str, datetime] = {}
        """The latest `now` of each kind, so that an end is never moved back."""
        self._limits: dict[str, int] = {}
        """The limits under which slots are held: what is under way of a kind that was deregistered keeps its slot."""

    def held(self, kind: str) -> int:
        """Return how many slots this node believes to hold; safe from any thread."""
        return self._held.get(kind, 0)

    def limit(self, kind: str) -> int | None:
        """Return the limit of a kind over all nodes, if it has one; of a kind that was deregistered, the last one known."""
        registered = self._services.registry.find(kind)
        return self._limits.get(kind) if registered is None else registered.global_limit

    async def get(self, now: datetime, kinds: Iterable[str]) -> dict[str, int]:
        """Hold what is in use of each kind until `now + lease` at least; return how many were granted: 0 without an answer."""
        async with self._one_at_a_time:
            return {kind: await self._hold(now, kind, self._in_use(kind)) for kind in kinds}

    @property
    def are_too_many(self) -> bool:
        """Whether some are held that are not in use; safe from any thread."""
        return bool(self._surplus())

    async def give_back(self, now: datetime) -> None:
        """Hold no more than is in use."""
        async with self._one_at_a_time:
            for kind in self._surplus():
                await self._hold(now, kind, self._in_use(kind))

    def _surplus(self) -> list[str]:
        return [kind for kind, held in self._held.copy().items() if held > self._in_use(kind)]

    async def renew(self, now: datetime) -> dict[str, int]:
        """Do as `get` does for every kind of which anything is held or in use; and, when nothing is in use any more, give it back."""
        known = dict.fromkeys((*self._services.registry.kinds, *self._limits))
        kinds = [kind for kind in known if self.limit(kind) is not None]
        return await self.get(now, [kind for kind in kinds if self.held(kind) or kind in self._unsure or self._in_use(kind)])

    @property
    def is_unsure(self) -> bool:
        """Whether a call had no answer, and wants another try soon."""
        return bool(self._unsure)

    def with_slot(self, runs: Iterable[LiveRun], granted: Mapping[str, int]) -> list[LiveRun]:
        """Return the runs whose leases may be extended after `granted` was renewed: no more of a limited kind than slots.

        None of such a kind whose lease has ended, though nobody may have taken the task: its slot was free then. A run that
        has ended, and is not written because somebody holds its row, may share its slot with a successor: that comes first.
        """
        left = dict(granted)
        kept = []
        for run in sorted(runs, key=lambda run: (run.has_ended, run.lease.locked)):
            kind = run.task.kind
            if self.limit(kind) is not None:
                if left.get(kind, 0) <= 0 or not is_leased(run, self._services):
                    continue
                left[kind] -= 1
            kept.append(run)
        return kept

    async def _hold(self, now: datetime, kind: str, want: int) -> int:
        """Ask the store; return 0 if it does not answer, which is told as an event: another kind need not suffer by it."""
        services, total = self._services, self.limit(kind)
        if total is None:  # registered anew without a limit: what is held is given back under the former one
            total = self._limits.get(kind)
        if total is None:
            return 0
        self._limits[kind] = total
        at = self._latest[kind] = max(now, self._latest.get(kind, now))
        self._held[kind] = min(self.held(kind), want)
        self._unsure.add(kind)
        try:
            await services.store.open()
            granted = await services.store.slots(at, services.node, kind, want, total, services.config.lease)
        except StoreError as error:
            if isinstance(error, ClockSkew):
                del self._latest[kind]  # a clock was set: an instant of before may lie ahead for long
            services.publish(LoopFailed(node=services.node, loop="slots", error=error))
            return 0
        self._unsure.discard(kind)
        self._held[kind] = granted
        return granted


def is_leased(run: LiveRun, services: Services) -> bool:
    """Tell whether the lease of a run may not have ended yet, trusted or not."""
    return services.clock.monotonic() < run.lease.trusted_until + services.config.margin.total_seconds()
