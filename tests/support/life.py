"""One random life of tasks on several stores at once.

Whatever one of them answers, the others answer too.

After each step everything that they hold is compared.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from itertools import cycle
from typing import Any

from attrs import evolve, mutable
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from duly.jobs import Request, Task, TaskState
from duly.stores import Exchange, Extended, Held, IfExists, JobStore, LockRequest, Node, Outcome, Refused
from duly.triggers import DulyError
from support.store_life import SLUGS, Edit, End, Scheduled, changes, ends, metadata, picks, scheduled, slugs, steps
from support.store_looks import Looking, rooms
from support.tasks import HOUR, LEASE, MINUTE, NOON, SECOND
from support.three_stores import Content, Failure, Servers

nodes = st.sampled_from(["a", "b", "ü/%"])
leases = st.sampled_from([SECOND, LEASE, LEASE, MINUTE])


@mutable
class Holding:
    """A task as each store gave it out, and what became of it."""

    locked: tuple[Task, ...]
    rows: tuple[Task, ...]
    """The tasks as their holder knows them now."""
    outcomes: tuple[Outcome, ...] | None = None
    """The last that was written of it."""

    @property
    def slug(self) -> str:
        """Which task it is."""
        return self.locked[0].slug


class Life(Looking):
    """People, nodes and time, as they come."""

    def __init__(self, servers: Servers) -> None:
        super().__init__(servers)
        self.tokens = 0
        self.holdings: list[Holding] = []
        self.read: list[tuple[Task, ...]] = []
        """Tasks as somebody read them once."""
        self.before = Content([], [], [])
        self.is_written = True
        """Whether anything was called since the last look that may have written."""
        self.last: Callable[[JobStore, int], Awaitable[Any]] | None = None
        self.last_now = self.now
        self.last_answer: object = None

    # -- asking

    def ask(self, call: Callable[[JobStore, int], Awaitable[Any]]) -> tuple[Any, ...]:
        """Make a call that may write; remember it, to make it again."""
        answers = self.world.ask(self.now, call)
        self.is_written = True
        self.last, self.last_now, self.last_answer = call, self.now, answers[0]
        return answers

    @invariant()
    def everything_is_the_same_everywhere(self) -> None:
        """And is as the rules of `duly.stores.rules.transitions` say."""
        if not self.is_written:
            return
        self.is_written = False
        content = self.world.content()
        for task in content.tasks:
            check_task(task, self.before.task(task.slug))
        self.before = content

    # -- people

    @initialize(new=st.lists(scheduled, min_size=2, max_size=5, unique_by=lambda each: each.slug))
    def begin(self, new: list[Scheduled]) -> None:
        """Begin with some tasks."""
        self.create(new, "error")

    @rule(new=st.lists(scheduled, min_size=1, max_size=3), if_exists=st.sampled_from(["replace", "replace", "keep", "error"]))
    def create(self, new: list[Scheduled], if_exists: IfExists) -> None:
        """Schedule one or several."""
        now, tasks = self.now, [each.at(self.now) for each in new]
        self.ask(lambda store, _: store.create(now, tasks, if_exists=if_exists))

    @rule(slug=slugs)
    def get(self, slug: str) -> None:
        """Read a task, for an edit that comes later."""
        answers = self.look(lambda store, _: store.get(slug))
        if not isinstance(answers[0], Failure):
            self.read.append(answers)

    @rule(pick=picks, change=changes, by=steps)
    def edit(self, pick: int, change: Edit, by: timedelta) -> None:
        """Change a task that is there."""
        self.now += by
        if self.before.tasks:
            slug = self.before.tasks[pick % len(self.before.tasks)].slug
            self._update(self.look(lambda store, _: store.get(slug)), change)

    @precondition(lambda self: self.read)
    @rule(pick=picks, change=changes)
    def edit_what_was_read(self, pick: int, change: Edit) -> None:
        """Change a task as somebody read it a while ago."""
        self._update(self.read[pick % len(self.read)], change)

    def _update(self, read: tuple[Task, ...], change: Edit) -> None:
        now = self.now
        try:
            edited = [change.of(task, now) for task in read]
        except DulyError:
            return  # refused before a store is asked
        answers = self.ask(lambda store, place: store.update(now, edited[place]))
        if not isinstance(answers[0], Failure):
            self.read.append(answers)

    @rule(slug=st.sampled_from([*SLUGS, None]), pick=picks, is_versioned=st.booleans())
    def delete(self, slug: str | None, pick: int, is_versioned: bool) -> None:  # noqa: FBT001 - a rule's argument
        """Delete a task, perhaps of a version that somebody read; or all of them."""
        version = self.read[pick % len(self.read)][0].version if is_versioned and self.read else None
        if slug is None:
            self.ask(lambda store, _: store.clear())
        else:
            self.ask(lambda store, _: store.delete(slug, version))

    # -- nodes

    @rule(by=steps, rooms=rooms, node=nodes, lease=leases)
    def lock(self, by: timedelta, rooms: Mapping[str, int], node: str, lease: timedelta) -> None:
        """Take what is due by then."""
        self.now += by
        now, request = self.now, self._request(rooms, node, lease)
        self._hold(self.ask(lambda store, _: store.lock(now, request)))

    @rule(by=steps, rooms=rooms, lasts=steps, ways=st.lists(ends, min_size=1, max_size=3), change=st.none() | changes)
    def work(self, by: timedelta, rooms: Mapping[str, int], lasts: timedelta, ways: list[End], change: Edit | None) -> None:
        """Take what is due, and hand in how it ended; somebody may have changed the first of it meanwhile."""
        held = len(self.holdings)
        self.lock(by, rooms, "a", LEASE)
        self.now += lasts
        if change is not None and self.holdings[held:]:
            self._update(self.holdings[held].locked, change)
        self._finish(list(zip(self.holdings[held:], cycle(ways), strict=False)), None, is_exchange=True)

    @rule(by=steps, rooms=rooms)
    def die(self, by: timedelta, rooms: Mapping[str, int]) -> None:
        """Take what is due and be gone; when the leases have ended another node takes over."""
        self.lock(by, rooms, "a", LEASE)
        self.lock(LEASE, rooms, "b", LEASE)

    def _request(self, rooms: Mapping[str, int], node: str, lease: timedelta) -> LockRequest:
        self.tokens += 1
        return LockRequest(node=node, rooms=rooms, lease=lease, token=f"t{self.tokens}")

    def _hold(self, locked: tuple[list[Task], ...]) -> None:
        self.holdings += [Holding(locked=tasks, rows=tasks) for tasks in zip(*locked, strict=True)]

    def _chosen(self, chosen: Sequence[int]) -> list[Holding]:
        """Return some of what was held, and perhaps still is.

        Of each task one, for no holder hands two outcomes of it in at once.
        """
        return list({each.slug: each for each in (self.holdings[-1 - pick % len(self.holdings)] for pick in chosen)}.values())

    @precondition(lambda self: self.holdings)
    @rule(chosen=st.lists(picks, min_size=1, max_size=3), lease=leases, is_forged=st.booleans())
    def extend(self, chosen: list[int], lease: timedelta, is_forged: bool) -> None:  # noqa: FBT001 - a rule's argument
        """Beat for some leases, held or not."""
        now, holdings = self.now, self._chosen(chosen)

        def held(place: int) -> list[Held]:
            rows = [each.rows[place] for each in holdings]
            forged = [Held(rows[0].slug, "forged"), Held("nobody", "forged")] if is_forged else []
            return [*(Held(row.slug, row.lease_id or "", row.etag) for row in rows), *forged]

        self.ask(lambda store, place: store.extend(now, held(place), lease))

    @precondition(lambda self: self.holdings)
    @rule(chosen=st.lists(picks, min_size=1, max_size=3), ways=st.lists(ends, min_size=3, max_size=3), rooms=st.none() | rooms)
    def finish(self, chosen: list[int], ways: list[End], rooms: Mapping[str, int] | None) -> None:
        """Hand in what ended, long ago perhaps, and take what is due."""
        request = None if rooms is None else self._request(rooms, "a", LEASE)
        self._finish(list(zip(self._chosen(chosen), ways, strict=False)), request, is_exchange=rooms is not None)

    def _finish(self, ended: list[tuple[Holding, End]], request: LockRequest | None, *, is_exchange: bool) -> None:
        """Hand in, and decide again what was edited meanwhile."""
        refused = self._hand_in(ended, request, is_exchange=is_exchange)
        edited = {each.outcome.task.slug: tuple(some[place].task for some in refused) for place, each in enumerate(refused[0])}
        again = [(each, end) for each, end in ended if None not in edited.get(each.slug, (None,))]
        for each, _ in again:
            each.rows = tuple(row for row in edited[each.slug] if row is not None)
        if again:
            self._hand_in(again, None, is_exchange=False)

    def _hand_in(self, ended: list[tuple[Holding, End]], request: LockRequest | None, *, is_exchange: bool) -> tuple[list[Refused], ...]:
        now, taken = self.now, {each.slug for each, _ in ended}
        for each, end in ended:
            # What several outcomes of one call do to one slug has no order: each is written by itself, Firestore's side by side.
            own = [new for new in end.follow_ups if new.slug not in taken - {each.slug}]
            taken |= {new.slug for new in own}
            way = evolve(end, follow_ups=own)
            each.outcomes = tuple(way.outcome(locked, row, now) for locked, row in zip(each.locked, each.rows, strict=True))
        outcomes = [[each.outcomes[place] for each, _ in ended if each.outcomes] for place in range(len(self.world.stores))]
        if not is_exchange:
            return self.ask(lambda store, place: store.reschedule(now, outcomes[place]))
        exchanges: tuple[Exchange, ...] = self.ask(lambda store, place: store.exchange(now, outcomes[place], request))
        self._hold(tuple(exchange.tasks for exchange in exchanges))
        return tuple(exchange.refused for exchange in exchanges)

    @precondition(lambda self: any(each.outcomes for each in self.holdings))
    @rule(pick=picks)
    def hand_in_late(self, pick: int) -> None:
        """Repeat an outcome of long ago, at the time of now."""
        written = [each.outcomes for each in self.holdings if each.outcomes]
        now, outcomes = self.now, written[pick % len(written)]
        self.ask(lambda store, place: store.reschedule(now, [outcomes[place]]))

    @precondition(lambda self: self.last is not None)
    @rule()
    def repeat(self) -> None:
        """Make the last call once more, as if its answer had been lost.

        It is answered alike, and changes nothing more.

        Only the last fire of a schedule with `Overlap.ALLOW` leaves neither a task nor a run, so that nothing tells of its outcome.
        """
        assert self.last is not None
        held = self.before
        first, again = self.last_answer, self.world.ask(self.last_now, self.last)[0]
        match first, again:
            case Exchange(), Exchange():
                assert (again.tasks, _traced(again.refused)) == (first.tasks, _traced(first.refused))
            case Extended(), Extended():
                assert again == first
            case [*_], [*_] if not any(isinstance(each, str) for each in (*first, *again)):  # slugs: what was created is there now
                assert _traced(again) == _traced(first)
            case _:
                self.is_written = True
                return
        assert self.world.content() == held, "the call was done twice"

    @rule(
        name=st.sampled_from(["a", "b", "ü/%"]), kinds=rooms, is_leaving=st.booleans(), info=metadata, want=st.integers(0, 3), lease=leases
    )
    def share(self, name: str, kinds: Mapping[str, int], is_leaving: bool, info: dict[str, str], want: int, lease: timedelta) -> None:  # noqa: FBT001 - a rule's arguments
        """A node comes, stays or leaves, and wants some of the places of a kind."""
        now, (kind, total) = self.now, next(iter(kinds.items()))
        until = now if is_leaving else now + lease
        node = Node(name=name, kinds=tuple(kinds), started_at=NOON, seen_at=now, until=until, info=info)
        self.ask(lambda store, _: store.announce(node))
        self.ask(lambda store, _: store.slots(now, name, kind, want, total, lease))

    # -- the history

    @rule(age=st.none() | st.sampled_from([timedelta(0), SECOND, HOUR]), keep=st.none() | st.integers(0, 2), limit=st.integers(1, 3))
    def prune(self, age: timedelta | None, keep: int | None, limit: int) -> None:
        """Cut the history back.

        By count Firestore goes task by task (its page says so): which runs go first differs, and so all that are too many must go.
        """
        before, limit = None if age is None else self.now - age, limit if keep is None else 10_000
        self.ask(lambda store, _: store.prune(before, keep, limit))
        self.last = None  # made again it goes on


def _traced(answers: Sequence[Any]) -> list[Any]:
    """Leave out the refusals of outcomes that leave nothing."""
    return [each for each in answers if not isinstance(each, Refused) or each.outcome.next is not None or each.outcome.runs]


def check_task(task: Task, before: Task | None) -> None:
    """Insist on what holds of a task in every state, and of two states of it."""
    is_waiting = task.request is Request.RUN_NOW or not (task.paused or task.state is TaskState.FAILED)
    if task.lease_id is None:
        assert (task.node, task.locked_at) == (None, None)
        assert task.state is not TaskState.RUNNING
        assert task.due_at == (task.retry_at or task.run_at if is_waiting else None)
    else:
        assert task.state is TaskState.RUNNING
        assert None not in (task.due_at, task.node, task.locked_at)
    assert list(task.owed) == sorted(set(task.owed))
    if before is not None and before.created_at == task.created_at and before.version == task.version:
        assert evolve(before, due_at=task.due_at) == task, "a change without a new version"
