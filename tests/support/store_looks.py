"""The half of a machine on the three stores that only looks: every way to ask for tasks and runs."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from duly.jobs import TaskState
from duly.stores import JobStore, RunQuery, RunStatus, TaskQuery
from support.store_life import KINDS, SLUGS, metadata, picks, slugs
from support.tasks import HOUR, NOON
from support.three_stores import Failure, Servers, ThreeStores

rooms = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(1, 3)), min_size=1, max_size=3, unique_by=lambda room: room[0]).map(dict)
limits = st.sampled_from([1, 2, 100])
prefixes = st.sampled_from(["", "a", "a@", "ü", "\U0001f552", "none"])
afters = st.none() | st.sampled_from([*SLUGS, "zzz"])
some_kinds = st.none() | st.lists(st.sampled_from([*KINDS, "none"]), max_size=2).map(tuple)
spans = st.tuples(st.none() | st.sampled_from([-HOUR, timedelta(0)]), st.none() | st.sampled_from([timedelta(0), HOUR]))
"""From when to when, by the distance from now."""


class Looking(RuleBasedStateMachine):
    """Somebody who asks the three stores at random."""

    def __init__(self, servers: Servers) -> None:
        super().__init__()
        self.world = ThreeStores(servers)
        self.now = NOON
        self.cursors: list[str] = []

    def teardown(self) -> None:
        """Close the stores."""
        self.world.close()

    def look(self, call: Callable[[JobStore, int], Awaitable[Any]]) -> tuple[Any, ...]:
        """Make a call that only reads."""
        return self.world.ask(self.now, call)

    @rule(
        kinds=some_kinds,
        states=st.none() | st.lists(st.sampled_from(TaskState), max_size=2, unique=True).map(tuple),
        paused=st.none() | st.booleans(),
        prefix=prefixes,
        metadata=metadata,
        due=spans,
        page=st.tuples(limits, afters),
    )
    def search(self, due: tuple[timedelta | None, timedelta | None], page: tuple[int, str | None], **conditions: Any) -> None:  # noqa: ANN401 - of the query
        """Look for tasks, and count them."""
        since, until = (None if each is None else self.now + each for each in due)
        query = TaskQuery(**conditions, due_from=since, due_until=until, limit=page[0], after=page[1])
        self.look(lambda store, _: store.search(query))
        self.look(lambda store, _: store.count(query))

    @rule(prefix=prefixes, limit=limits, after=afters, kinds=rooms)
    def list_slugs(self, prefix: str, limit: int, after: str | None, kinds: Mapping[str, int]) -> None:
        """List the slugs, and ask when the next is due."""
        self.look(lambda store, _: store.get_slugs(prefix=prefix, limit=limit, after=after))
        self.look(lambda store, _: store.next_run([*kinds]))

    @rule(
        slug=st.none() | slugs,
        kinds=some_kinds,
        statuses=st.none() | st.lists(st.sampled_from(RunStatus), max_size=3, unique=True).map(tuple),
        finished=spans,
        limit=limits,
        prefix=prefixes,
        node=st.none() | st.sampled_from(["a", "b", "none"]),
        pick=st.none() | picks,
    )
    def runs(self, finished: tuple[timedelta | None, timedelta | None], pick: int | None, **conditions: Any) -> None:  # noqa: ANN401 - of the query
        """Look into the history, and go on from a page of before."""
        since, until = (None if each is None else self.now + each for each in finished)
        cursors = self.cursors
        after = None if pick is None or not cursors else cursors[pick % len(cursors)]
        query = RunQuery(**conditions, since=since, until=until, after=after)
        page = self.look(lambda store, _: store.runs(query))[0]
        if not isinstance(page, Failure) and page.next is not None:
            self.cursors.append(page.next)
