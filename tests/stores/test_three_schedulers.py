"""One random life of three schedulers, one on each store.

The same jobs, run at the same times, leave the same tasks and histories.

Each has a clock that is moved by hand. After each step all that the stores hold is compared, but for the leases' random names;
that no wait depends on these, retries come without jitter.
`DULY_EXAMPLES=20` runs twenty times as many lives, as `test_three_stores.py` says.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any

import pytest
from attrs import field, mutable
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from duly.jobs import Consistency, JobRegistry, Misfire, Overlap, RetryPolicy, Task, TaskOptions
from duly.scheduler import StdScheduler
from duly.scheduler.testing import ManualClock, kill, run_due
from duly.stores import IfExists, JobStore
from support.scripted_jobs import KINDS, Act, acts, scripted
from support.tasks import HOUR, LEASE, MINUTE, NOON, SECOND
from support.three_stores import NAMES, Content, Servers, ThreeStores, a_few, answered, side_by_side, without_lease

SLUGS = ("a", "b/c", "ü")
EDITS = ("pause_job", "resume_job", "trigger_job", "trigger_job", "stop_job", "restart_job", "delete_job")

slugs = st.sampled_from(SLUGS)
triggers = st.none() | st.sampled_from(
    ["@every 20s", "@every 1m", "*/1 * * * *", "FIXED_DELAY=yes @every 40s", "@after 90s", "HASH=a @jitter 10s (* * * * *)", "@every 5m"]
)
policies = st.builds(
    RetryPolicy,
    limit=st.integers(0, 2),
    min_backoff=st.sampled_from([timedelta(0), SECOND]),
    max_backoff=st.just(MINUTE),
    jitter=st.just(0.0),
    delays=st.sampled_from([(), (3 * SECOND, LEASE)]),
)
options = st.builds(
    TaskOptions,
    retry=policies,
    consistency=st.sampled_from(Consistency),
    time_limit=st.none() | st.just(LEASE),
    misfire=st.sampled_from(Misfire),
    misfire_grace_time=st.none() | st.sampled_from([SECOND, MINUTE]),
    catch_up_limit=st.sampled_from([1, 3]),
    overlap=st.sampled_from(Overlap),
    queue_limit=st.sampled_from([1, 3]),
    max_fires=st.none() | st.integers(1, 4),
    pause_on_failure=st.booleans(),
)
firsts = st.sampled_from([{}, {}, {}, {"delay": timedelta(0)}, {"delay": 30 * SECOND}, {"at": NOON}, {"at": NOON + 5 * MINUTE}])
spans = st.sampled_from([timedelta(0), SECOND, 20 * SECOND, LEASE, MINUTE, 2 * MINUTE])


@mutable
class Side:
    """A scheduler and what it needs; a new one after each kill."""

    store: JobStore
    jobs: JobRegistry
    played: list[tuple[Any, ...]]
    clock: ManualClock = field(factory=partial(ManualClock, NOON))
    scheduler: StdScheduler = field(init=False)

    async def start(self, node: str) -> None:
        """Start a scheduler of this name."""
        self.scheduler = StdScheduler(self.store, jobs=self.jobs, clock=self.clock, node=node, lease=LEASE, grace=timedelta(0))
        await self.scheduler.start()

    async def do(self, call: Callable[["Side"], Awaitable[Any]]) -> object:
        """Return the answer of the call, or its error."""
        return await answered(call(self))


class Lives(RuleBasedStateMachine):
    """People, time and accidents, as they come."""

    def __init__(self, servers: Servers) -> None:
        super().__init__()
        self.world = ThreeStores(servers)
        self.sides: list[Side] = []
        self.nodes = count()

    def teardown(self) -> None:
        """Drop the schedulers, and close the stores."""
        try:
            self.world.wait(side_by_side(kill(side.scheduler) for side in self.sides))
        finally:
            self.world.close()

    def ask(self, call: Callable[[Side], Awaitable[Any]]) -> object:
        """Let every side do the same; they answer the same."""
        answers = [
            without_lease(answer) if isinstance(answer, Task) else answer
            for answer in self.world.wait(side_by_side(side.do(call) for side in self.sides))
        ]
        for name, answer in zip(NAMES, answers, strict=True):
            assert answer == answers[0], f"the one on {name} answered otherwise than the one on memory:\n  {answer!r}\n  {answers[0]!r}"
        return answers[0]

    @invariant()
    def everything_is_the_same_everywhere(self) -> None:
        """What the stores hold, and what ran."""
        if self.sides:
            self.world.content(Content.without_leases)
            for name, side in zip(NAMES, self.sides, strict=True):
                assert side.played == self.sides[0].played, f"other runs on {name}"

    @initialize(script=st.lists(acts, min_size=1, max_size=6).map(tuple))
    def begin(self, script: tuple[Act, ...]) -> None:
        """Start the schedulers."""
        for store in self.world.stores:
            played: list[tuple[Any, ...]] = []
            self.sides.append(Side(store, scripted(script, played), played))
        self._start()

    def _start(self) -> None:
        node = f"node-{next(self.nodes)}"
        self.ask(lambda side: side.start(node))

    # -- people

    @rule(
        slug=slugs,
        kind=st.sampled_from(KINDS),
        trigger=triggers,
        first=firsts,
        options=options,
        if_exists=st.sampled_from(["error", "keep", "replace", "replace"]),
    )
    def schedule(self, slug: str, kind: str, first: dict[str, Any], if_exists: IfExists, **when: Any) -> None:  # noqa: ANN401 - fields of NewTask
        """Schedule a task, or declare it again."""
        self.ask(lambda side: side.scheduler.schedule_job(slug, kind, if_exists=if_exists, **first, **when))

    @rule(slug=slugs, way=st.sampled_from(EDITS))
    def edit(self, slug: str, way: str) -> None:
        """Ask something of a task."""
        self.ask(lambda side: getattr(side.scheduler, way)(slug))

    @rule(slug=slugs, delay=spans)
    def reschedule(self, slug: str, delay: timedelta) -> None:
        """Move the next run."""
        self.ask(lambda side: side.scheduler.reschedule_job(slug, delay=delay))

    @rule(
        slug=slugs,
        changes=st.fixed_dictionaries(
            {}, optional={"payload": st.just(b"new"), "trigger": triggers.filter(bool), "options": options, "metadata": st.just({"a": "b"})}
        ),
    )
    def update(self, slug: str, changes: dict[str, Any]) -> None:
        """Change the definition of a task."""
        self.ask(lambda side: side.scheduler.update_job(slug, **changes))

    @rule(is_meant=st.sampled_from([False, False, False, True]))
    def clear(self, is_meant: bool) -> None:  # noqa: FBT001 - a rule's argument
        """Delete all, now and then."""
        if is_meant:
            self.ask(lambda side: side.scheduler.clear())

    # -- time and accidents

    @rule(span=spans)
    def run(self, span: timedelta) -> None:
        """Let time pass, and everything run at its time."""
        self.ask(lambda side: run_due(side.scheduler, until=side.clock.now() + span))

    @rule(span=st.sampled_from([SECOND, LEASE, MINUTE, 10 * MINUTE, HOUR]))
    def stand_still(self, span: timedelta) -> None:
        """Let time pass while nobody looks."""

        async def advance(side: Side) -> None:
            side.clock.advance(span)

        self.ask(advance)

    @rule()
    def close_and_start_again(self) -> None:
        """Stop the nodes, which cut short what runs, and start others."""
        self.ask(lambda side: side.scheduler.close())
        self._start()

    @rule()
    def kill(self) -> None:
        """Kill the nodes, and start others."""
        self.ask(lambda side: kill(side.scheduler))
        self._start()


@pytest.mark.postgres
@pytest.mark.firestore
@pytest.mark.slow
def test_three_schedulers_live_the_same_life(servers: Servers) -> None:
    """Every answer, every run, and after every step all that the stores hold."""

    class LivesThere(Lives):
        def __init__(self) -> None:
            super().__init__(servers)

    run_state_machine_as_test(LivesThere, settings=a_few(examples=20, steps=25))
