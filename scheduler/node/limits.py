"""How many tasks of each kind this node may lock now: its share of the room, its own limit, and the slots over all nodes.

A kind at a limit is not asked for, and not waited for either, until one of its runs here ends. One whose slots other
nodes have is asked for again after a pause, and the kinds beside it get its share meanwhile.

Between nodes: one that has had slots of a kind for a lease without a break, and sees another node that knows the kind,
gives the slot of the next run that ends back instead of handing it on to a successor, and takes none for a *rest*,
which is longer than the pause after which a waiting node asks again. So no node keeps every slot for ever.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from duly.scheduler.node.loop import jittered
from duly.scheduler.node.runner import Runner
from duly.scheduler.node.slots import Slots, is_leased
from duly.scheduler.rules.fair_share import next_turn, share_out
from duly.scheduler.runs.live_run import LiveRun
from duly.scheduler.services import Services
from duly.stores import Outcome

T = TypeVar("T")


class Hop(Protocol):
    """Awaits some work in the event loop of the slots, and returns what it returns."""

    async def __call__(self, work: Callable[[], Awaitable[T]], /) -> T:
        """Await `work()` there."""
        ...


_REST = 1.5
"""A rest, in pauses: whoever waits asks within one, and its question takes time."""


class Limits:
    """Decides the rooms of lock requests; everything but `in_use` happens in the scheduler's event loop."""

    def __init__(self, services: Services, runner: Runner, slots: Slots, hop: Hop) -> None:
        """Decide for the node of `services`, by what `runner` has under way; `hop` leads to the event loop of `slots`."""
        self._services, self._registry = services, services.registry
        self._runner, self._runs = runner, runner.runs
        self.slots, self._hop = slots, hop
        self.turns = 0
        self.left_out: list[str] = []
        """Kinds that the last request had no room for, though they were at no limit."""
        self.next_ask: datetime | None = None
        """When a kind that was left out for want of slots may be asked for again; None = no such kind waits."""
        self._promised: Mapping[str, int] = {}
        """Slots for a lock that is on its way; some may be those of the runs that end with it."""
        self._ending: Collection[LiveRun] = ()
        self._stray: Mapping[str, int] = {}
        """Slots for a lock of which nobody will know any more what it locked."""
        self._promised_until = self._stray_until = 0.0
        """When the leases that those locks may have taken end, monotonic."""
        self._waits: dict[str, datetime] = {}
        """Kinds of which others had all slots, and when to ask for more."""
        self._rests: dict[str, datetime] = {}
        self._since: dict[str, datetime] = {}
        """Since when this node has had slots of a kind."""

    # -- what is taken

    def taken(self, kind: str) -> int:
        """Return how many runs of a kind are under way here: locked, at work, ended but not written, or abandoned in threads."""
        return sum(run.task.kind == kind for run in self._runs) + self._runner.abandoned_of(kind)

    def in_use(self, kind: str) -> int:
        """Return how many slots of a kind are needed here, for leases and a lock on its way; safe from any thread."""
        promised = self._promised.get(kind, 0) if self._services.clock.monotonic() < self._promised_until else 0
        leased, staying = self._leased(kind), self._leased(kind, but=self._ending)
        return staying + max(promised, leased - staying)

    def _leased(self, kind: str, *, but: Collection[LiveRun] = ()) -> int:
        """Return how many tasks of a kind may have a lease of this node's that has not ended, whether it is trusted or not."""
        runs = sum(run.task.kind == kind and is_leased(run, self._services) and run not in but for run in self._runs)
        return runs + (self._stray.get(kind, 0) if self._services.clock.monotonic() < self._stray_until else 0)

    def is_full(self, kind: str) -> str | None:
        """Return in words at which limit a kind is, as this node knows; None when it may be locked here."""
        registered = self._registry.find(kind)
        if registered is None:
            return None
        if (obstacle := self._registry.obstacle(kind)) is not None:
            return obstacle
        taken, now = self.taken(kind), self._services.clock.now()
        if registered.max_concurrency is not None and taken >= registered.max_concurrency:
            return f"{taken} of {registered.max_concurrency} slots of its kind are taken on this node"
        if registered.global_limit is None:
            return None
        if self._rests.get(kind, now) > now:
            return "this node leaves the slots of its kind to other nodes for a moment"
        if taken >= registered.global_limit or self._waits.get(kind, now) > now:
            return f"{registered.global_limit} of {registered.global_limit} slots of its kind are taken over all nodes"
        return None

    # -- what may be locked

    async def rooms(self, now: datetime, free: int, busy: Collection[str], ending: Collection[LiveRun]) -> dict[str, int]:
        """Return how many tasks of each kind to lock, in the order in which to visit them, `free` in all at most.

        `ending` runs are written in the same call, so that their successors may have their room.

        Raises:
            StoreError: of the store that tells what is due.

        """
        self._promised, self.next_ask, self.left_out = {}, None, []
        if free <= 0:
            return {}
        kinds = self._registry.kinds
        if limited := self._limited(kinds):
            await self._begin_rests(now, {run.task.kind for run in ending})
        caps = {kind: cap for kind in kinds if (cap := self._cap(kind, now, ending)) is not None}
        rooms = wish = share_out(free, kinds, busy, self.turns, caps)
        if limited:
            slots = await self._slots_for({kind: wish[kind] for kind in limited if kind in wish}, now, ending)
            rooms = share_out(free, kinds, busy, self.turns, caps | dict.fromkeys(limited, 0) | slots)
        self.left_out = [kind for kind in kinds if kind not in wish and kind not in rooms and caps.get(kind, 1) > 0]
        self.turns = next_turn(self.turns, kinds, wish, is_short=bool(self.left_out))
        self._expect((*self._waits.values(), *self._rests.values()), now)
        return rooms

    def _limited(self, kinds: Iterable[str]) -> list[str]:
        return [kind for kind in kinds if self.slots.limit(kind) is not None]

    def _cap(self, kind: str, now: datetime, ending: Collection[LiveRun]) -> int | None:
        """Return how many of a kind its own limits let this node lock, before it asks for slots; None = any number."""
        registered = self._registry.find(kind)
        if registered is None:
            return 0  # deregistered since the kinds were listed
        caps = []
        if registered.max_concurrency is not None:
            caps.append(registered.max_concurrency - self.taken(kind) + sum(run.task.kind == kind for run in ending))
        if registered.global_limit is not None:
            held, staying = self._leased(kind), self._leased(kind, but=ending)
            is_resting, is_waiting = self._rests.get(kind, now) > now, self._waits.get(kind, now) > now
            caps.append(0 if is_resting else held - staying if is_waiting else registered.global_limit - staying)
        return max(0, min(caps)) if caps else None

    async def _slots_for(self, wish: Mapping[str, int], now: datetime, ending: Collection[LiveRun]) -> dict[str, int]:
        """Return for how many tasks of each kind, of those that are due, this node has slots until `now + lease`."""
        due = await self._due(list(wish), now)
        if not due:
            return {}
        self._promised_until = self._services.clock.monotonic() + self._services.config.lease.total_seconds()
        self._ending, self._promised = ending, {kind: wish[kind] for kind in due}
        granted = await self._hop(lambda: self.slots.get(now, due))
        rooms = {kind: max(0, min(wish[kind], granted[kind] - self._leased(kind, but=ending))) for kind in due}
        self._promised = rooms
        for kind, room in rooms.items():
            if room < wish[kind]:
                self._waits[kind] = self._services.clock.now() + jittered(self._pause, by=0.5)
            if room:
                self._since.setdefault(kind, now)
        return rooms

    async def _due(self, kinds: list[str], now: datetime) -> list[str]:
        """Return the kinds of which something is due, and note when the first of the others will be: a slot is not asked for in vain."""
        if not kinds:
            return []
        store = self._services.store
        first = await store.next_run(kinds)
        if first is None or first > now:
            self._expect([first], now)
            return []
        if len(kinds) == 1:
            return kinds
        nexts = {kind: await store.next_run([kind]) for kind in kinds}
        self._expect(nexts.values(), now)
        return [kind for kind, instant in nexts.items() if instant is not None and instant <= now]

    def _expect(self, instants: Iterable[datetime | None], now: datetime) -> None:
        coming = [instant for instant in (self.next_ask, *instants) if instant is not None and instant > now]
        self.next_ask = min(coming, default=None)

    # -- rests

    @property
    def _pause(self) -> timedelta:
        """Longest time until a node that got no slot asks again."""
        return min(self._services.config.poll, self._services.config.heartbeat)

    async def _begin_rests(self, now: datetime, ending: Collection[str]) -> None:
        lease = self._services.config.lease
        tired = [kind for kind in ending if kind in self._since and now - self._since[kind] >= lease]
        if not tired:
            return
        nodes = [node for node in await self._services.store.nodes() if node.name != self._services.node and node.until > now]
        for kind in tired:
            self._since[kind] = now
            if any(kind in node.kinds for node in nodes):
                self._rests[kind] = now + _REST * self._pause

    # -- what became of it

    def drop(self) -> None:
        """Note that the lock on its way is given up without an answer: what it may have locked keeps its slots until the leases end."""
        self._stray, self._stray_until, self._promised = self._promised, self._promised_until, {}

    async def settle(self, written: Iterable[Outcome]) -> None:
        """Give back what the lock did not use, or a run left behind; look again for limited kinds of which outcomes were `written`."""
        self._promised = {}
        if self.slots.are_too_many:
            now = self._services.clock.now()
            await self._hop(lambda: self.slots.give_back(now))
        for kind in [kind for kind in self._since if not self.in_use(kind)]:
            del self._since[kind]
        if self._limited({task.kind for outcome in written for task in (outcome.task, *outcome.spawn)}):
            self.next_ask = self._services.clock.now()  # what they made due was not asked for yet


async def stay(work: Callable[[], Awaitable[T]], /) -> T:
    """Await `work()` in this event loop: the slots are held here."""
    return await work()
