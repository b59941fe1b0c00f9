"""How many tasks of each kind this node may lock now: room, the node's own limit, and slots.

A kind at its limit is not requested again until one of its runs here ends. If other nodes have all slots of a kind,
this node asks for it again after a pause, and the other kinds get its share meanwhile.

Fairness between nodes: a node that has had slots of a kind for a whole lease, and sees another live node that knows
the kind, takes a *rest*. It gives back the slot of the next run that ends, and asks for no more during the rest. A
rest is longer than the pause after which a waiting node asks again. So no node keeps every slot for ever.
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
    """Awaits work in the event loop of the slots, and returns its result."""

    async def __call__(self, work: Callable[[], Awaitable[T]], /) -> T:
        """Await `work()` there."""
        ...


_REST = 1.5
"""Length of a rest, in pauses: a waiting node asks within one pause, and its request takes time."""


class Limits:
    """Decides how many tasks of each kind a lock request asks for.

    All but `in_use` is for the scheduler's event loop only.
    """

    def __init__(self, services: Services, runner: Runner, slots: Slots, hop: Hop) -> None:
        """Decide for the node of `services`, whose runs are those of `runner`.

        `hop` awaits work in the event loop of `slots`.
        """
        self._services, self._registry = services, services.registry
        self._runner, self._runs = runner, runner.runs
        self._hop = hop
        self.slots: Slots = slots
        self.turns: int = 0
        self.left_out: list[str] = []
        """Kinds below their limits that the last request had no room for."""
        self.next_ask: datetime | None = None
        """When to ask again for a kind that was left out because no slot was free; None: no kind waits."""
        self._promised: Mapping[str, int] = {}
        """Slots per kind for the lock under way; some of them may still be under runs that end with it."""
        self._ending: Collection[LiveRun] = ()
        self._stray: Mapping[str, int] = {}
        """Slots per kind for a lock whose answer this node will never get."""
        self._promised_until = self._stray_until = 0.0
        """When the leases of those locks end at the latest, in monotonic seconds."""
        self._waits: dict[str, datetime] = {}
        """Kinds whose slots other nodes had, with the instant at which to ask again."""
        self._rests: dict[str, datetime] = {}
        self._since: dict[str, datetime] = {}
        """Since when this node has had slots of a kind, without a break."""

    # -- what is taken

    def taken(self, kind: str) -> int:
        """Return how many runs of a kind this node has: locked, working, ended but unwritten, or abandoned."""
        return sum(run.task.kind == kind for run in self._runs) + self._runner.abandoned_of(kind)

    def in_use(self, kind: str) -> int:
        """Return how many slots of a kind this node needs, for leases and a lock under way; thread-safe."""
        promised = self._promised.get(kind, 0) if self._services.clock.monotonic() < self._promised_until else 0
        leased, staying = self._leased(kind), self._leased(kind, but=self._ending)
        return staying + max(promised, leased - staying)

    def _leased(self, kind: str, *, but: Collection[LiveRun] = ()) -> int:
        """Return how many tasks of a kind may have an unended lease of this node, trusted or not."""
        runs = sum(run.task.kind == kind and is_leased(run, self._services) and run not in but for run in self._runs)
        return runs + (self._stray.get(kind, 0) if self._services.clock.monotonic() < self._stray_until else 0)

    def is_full(self, kind: str) -> str | None:
        """Return as a clause why this node locks no more tasks of a kind, as far as it knows; None if it may."""
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
        """Return how many tasks of each kind to lock, at most `free` in all, in the order of visits.

        The outcomes of `ending` runs are written in the same request, so their successors may use their room.

        Raises:
            StoreError: the store cannot say what is due.

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
        """Return how many tasks of a kind its own limits allow, before slots are requested; None: any number."""
        registered = self._registry.find(kind)
        if registered is None:
            return 0  # it was deregistered after the kinds were listed
        caps = []
        if registered.max_concurrency is not None:
            caps.append(registered.max_concurrency - self.taken(kind) + sum(run.task.kind == kind for run in ending))
        if registered.global_limit is not None:
            held, staying = self._leased(kind), self._leased(kind, but=ending)
            is_resting, is_waiting = self._rests.get(kind, now) > now, self._waits.get(kind, now) > now
            caps.append(0 if is_resting else held - staying if is_waiting else registered.global_limit - staying)
        return max(0, min(caps)) if caps else None

    async def _slots_for(self, wish: Mapping[str, int], now: datetime, ending: Collection[LiveRun]) -> dict[str, int]:
        """Return for how many due tasks of each kind this node has slots until `now + lease`."""
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
        """Return the kinds of which a task is due; note when the first task of the others will be.

        So no slot is requested for a kind of which nothing is due.
        """
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
        """The longest time until a node that got no slot asks again."""
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

    # -- after the request

    def drop(self) -> None:
        """Note that the lock under way will get no answer.

        The slots of tasks that it may have locked stay in use until their leases would end.
        """
        self._stray, self._stray_until, self._promised = self._promised, self._promised_until, {}

    async def settle(self, written: Iterable[Outcome]) -> None:
        """Give back the slots that the lock or an ended run left unused.

        If outcomes of limited kinds were `written`, ask for these kinds again at once.
        """
        self._promised = {}
        if self.slots.are_too_many:
            now = self._services.clock.now()
            await self._hop(lambda: self.slots.give_back(now))
        for kind in [kind for kind in self._since if not self.in_use(kind)]:
            del self._since[kind]
        if self._limited({task.kind for outcome in written for task in (outcome.task, *outcome.spawn)}):
            self.next_ask = self._services.clock.now()  # the request did not include what these outcomes made due


async def stay(work: Callable[[], Awaitable[T]], /) -> T:
    """Await `work()` in this event loop, to which the slots belong."""
    return await work()
