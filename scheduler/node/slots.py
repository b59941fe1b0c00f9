"""The slots that a node holds of the kinds with a limit over all nodes.

The limit rests on one rule: **no lease outlives the slot under it**. A task of such a kind is locked, and its lease
extended, only with a `now` for which its slot was got or renewed just before. Whoever finds a slot free, because its
end has passed, knows that the lease under it has ended, too; and its run was cut short before, because a run trusts
its lease for less than its length (`RunLease.trusted_until`). So a slot needs no trust of its own: a node that cannot
renew a slot extends no lease under it. A slot is given back only after the lease under it has ended, by its written
outcome or by time.

A node holds as many slots as it has runs of the kind, and requests more only when something of the kind is due. It
gives back at once what a lock did not use, and what an ended run without a successor left.

All requests of a node come from one event loop, one after the other. Each answer replaces what the node held, so two
requests at once would leave a wrong number. The loop is the heartbeat's, because a job that blocks the scheduler's
event loop must lose neither its lease nor its slot.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from duly.scheduler.events.loops import LoopFailed, LoopRecovered
from duly.scheduler.runs.live_run import LiveRun
from duly.scheduler.services import Services
from duly.stores import ClockSkew, StoreError


class Slots:
    """The slots of a node; await its methods in the event loop in which the store of `services` is open."""

    def __init__(self, services: Services, in_use: Callable[[str], int]) -> None:
        """Hold no slots.

        `in_use` returns how many slots of a kind this node needs now; it is called in this event loop's thread.
        """
        self._services, self._in_use = services, in_use
        self._one_at_a_time = asyncio.Lock()
        self._held: dict[str, int] = {}
        """The number that the last answer granted, per kind; less, if some were to be given back since."""
        self._unsure: set[str] = set()
        self._is_failing = False
        """Kinds whose last request had no answer: the store may count more slots than this node knows."""
        self._latest: dict[str, datetime] = {}
        """The latest `now` sent for each kind, so that the end of a slot never moves back."""
        self._limits: dict[str, int] = {}
        """The limits under which slots are held: current runs of a deregistered kind keep their slots."""

    def held(self, kind: str) -> int:
        """Return how many slots of a kind this node holds, as far as it knows; safe from any thread."""
        return self._held.get(kind, 0)

    def limit(self, kind: str) -> int | None:
        """Return the limit of a kind over all nodes, or None; of a deregistered kind, its last known limit."""
        registered = self._services.registry.find(kind)
        return self._limits.get(kind) if registered is None else registered.global_limit

    async def get(self, now: datetime, kinds: Iterable[str]) -> dict[str, int]:
        """Hold the slots in use of each kind, until `now + lease` at least; return how many were granted.

        A kind without an answer has 0.
        """
        async with self._one_at_a_time:
            return {kind: await self._hold(now, kind, self._in_use(kind)) for kind in kinds}

    @property
    def are_too_many(self) -> bool:
        """Whether more slots are held than are in use; safe from any thread."""
        return bool(self._surplus())

    async def give_back(self, now: datetime) -> None:
        """Give back the slots that are not in use."""
        async with self._one_at_a_time:
            for kind in self._surplus():
                await self._hold(now, kind, self._in_use(kind))

    def _surplus(self) -> list[str]:
        return [kind for kind, held in self._held.copy().items() if held > self._in_use(kind)]

    async def renew(self, now: datetime) -> dict[str, int]:
        """Call `get` for every kind of which slots are held or in use; give back those of unused kinds."""
        known = dict.fromkeys((*self._services.registry.kinds, *self._limits))
        kinds = [kind for kind in known if self.limit(kind) is not None]
        return await self.get(now, [kind for kind in kinds if self.held(kind) or kind in self._unsure or self._in_use(kind)])

    @property
    def is_unsure(self) -> bool:
        """Whether a request had no answer and should be repeated soon."""
        return bool(self._unsure)

    def with_slot(self, runs: Iterable[LiveRun], granted: Mapping[str, int]) -> list[LiveRun]:
        """Return the runs whose leases may be extended after `granted` was renewed.

        Of a limited kind these are at most as many as its slots. A run of such a kind whose lease has ended is left out, even
        if nobody took its task: its slot was free then. An ended run, not yet written because another transaction holds its
        row, may share its slot with a successor; the successor comes first.
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
        """Request slots from the store; return how many it granted.

        If the store does not answer, publish the error and return 0, so that other kinds are not affected.
        """
        services, total = self._services, self.limit(kind)
        if total is None:  # registered again without a limit: its slots are given back under the former one
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
                del self._latest[kind]  # a clock was set: the former instant may stay in the future for long
            self._is_failing = True
            services.publish(LoopFailed(node=services.node, loop="slots", error=error))
            return 0
        if self._is_failing:
            self._is_failing = False
            services.publish(LoopRecovered(node=services.node, loop="slots"))
        self._unsure.discard(kind)
        self._held[kind] = granted
        return granted


def is_leased(run: LiveRun, services: Services) -> bool:
    """Tell whether the lease of a run may not have ended yet, trusted or not."""
    return services.clock.monotonic() < run.lease.trusted_until + services.config.margin.total_seconds()
