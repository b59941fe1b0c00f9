"""duly at its job: three nodes on one store, and one of them is killed in the middle of a job.

`python -P examples/demo.py` starts an embedded PostgreSQL and three node processes. A schedule fires every second, on
whichever node is first; a one-off fires after its delay; a job that fails is retried with backoff; and the node that runs
the long job is killed with SIGKILL: another takes it over when its lease has ended. At the end everything that began
and ended is counted. `--store memory` does the same with three schedulers in this process, one of which is cut off;
`--store URL` uses a store that is there already.
"""

import argparse
import asyncio
import json
import signal
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from attrs import asdict, define, field, frozen

from duly.jobs import JobContext, JobRegistry, RetryPolicy
from duly.scheduler import NewTask, StdScheduler
from duly.scheduler.testing import kill
from duly.stores import JobStore, MemoryStore, RunQuery, RunStatus, open_store

NAMES = ("Ada", "Bo", "Cleo")
SECOND = timedelta(seconds=1)
LEASE = 3 * SECOND
LONG = 4 * SECOND
DEADLINE = 60 * SECOND
"""How long anything is waited for."""
CALM = 3 * SECOND
"""How long the demonstration goes on after the long job was taken over and has ended."""


@frozen
class Fact:
    """Something that a job did, told by the node on which it ran."""

    what: str
    slug: str
    fire: str
    attempt: int
    node: str
    at: str


def make_jobs(tell: Callable[[Fact], None]) -> JobRegistry:
    """Return the jobs of the application, each of which tells when it begins, ends and fails."""
    jobs = JobRegistry()

    @contextmanager
    def telling(ctx: JobContext) -> Iterator[None]:
        def fact(what: str) -> Fact:
            return Fact(what, ctx.slug, ctx.fire_time.isoformat(), ctx.attempt, ctx.node, datetime.now(UTC).isoformat())

        tell(fact("begins"))
        try:
            yield
        except Exception:
            tell(fact("fails"))
            raise
        tell(fact("ends"))

    @jobs.scheduled("tick", trigger="* * * * * *")
    async def tick(ctx: JobContext) -> None:
        with telling(ctx):
            pass

    @jobs.job("letter")
    def letter(ctx: JobContext) -> None:
        with telling(ctx):
            pass

    @jobs.job("flaky", retry=RetryPolicy(limit=5, min_backoff=SECOND / 2))
    async def flaky(ctx: JobContext) -> None:
        with telling(ctx):
            if ctx.attempt <= 2:
                raise RuntimeError("not yet")

    @jobs.job("long")
    async def long(ctx: JobContext) -> None:
        with telling(ctx):
            await ctx.sleep(LONG)

    return jobs


# -- the nodes: processes, or schedulers in this one


async def be_a_node(name: str, url: str, namespace: str) -> None:
    """Run one node until it is told to stop, telling its facts on the standard output."""

    def tell(fact: Fact) -> None:
        sys.stdout.write(f"{json.dumps(asdict(fact))}\n")  # in one piece: jobs tell from several threads
        sys.stdout.flush()

    jobs = make_jobs(tell)
    await StdScheduler(open_store(url, namespace=namespace), jobs=jobs, node=name, lease=LEASE).run()


async def listen_to(process: asyncio.subprocess.Process, tell: Callable[[Fact], None]) -> None:
    """Pass on what a node's process tells, until it ends."""
    while process.stdout is not None and (line := await process.stdout.readline()):
        tell(Fact(**json.loads(line)))


@define
class ProcessNode:
    """A node in a process of its own."""

    process: asyncio.subprocess.Process
    listening: asyncio.Task[None]

    @classmethod
    async def start(cls, name: str, url: str, namespace: str, tell: Callable[[Fact], None]) -> "ProcessNode":
        """Start the process, and listen to what it tells."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", __file__, "--node", name, "--store", url, "--namespace", namespace), stdout=asyncio.subprocess.PIPE
        )

        return cls(process, asyncio.create_task(listen_to(process, tell)))

    async def kill(self) -> None:
        """Take its life, without a word."""
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> None:
        """Ask it to stop, and see that it does so in order."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            if await self.process.wait() != 0:
                raise SystemExit(f"a node ended with status {self.process.returncode}")
        await self.listening


@define
class SchedulerNode:
    """A node in this process."""

    scheduler: StdScheduler

    @classmethod
    async def start(cls, name: str, store: JobStore, tell: Callable[[Fact], None]) -> "SchedulerNode":
        """Start the scheduler."""
        scheduler = StdScheduler(store, jobs=make_jobs(tell), node=name, lease=LEASE)
        await scheduler.start()
        return cls(scheduler)

    async def kill(self) -> None:
        """Cut it off, without a farewell."""
        await kill(self.scheduler)

    async def stop(self) -> None:
        """Drain and close it."""
        await self.scheduler.drain()
        await self.scheduler.close()


Nodes = dict[str, ProcessNode | SchedulerNode]


@asynccontextmanager
async def running_nodes(where: str, tell: Callable[[Fact], None]) -> AsyncIterator[tuple[Nodes, JobStore]]:
    """Start three nodes, and yield them with a store on the same tasks; stop them in the end."""
    if where == "memory":
        store: JobStore = MemoryStore()
        nodes: Nodes = {name: await SchedulerNode.start(name, store.sibling(), tell) for name in NAMES}
    else:
        namespace = f"demo-{uuid4().hex}"  # of its own: a store that is there already may have tasks of somebody else's
        store = open_store(where, namespace=namespace)
        nodes = {name: await ProcessNode.start(name, where, namespace, tell) for name in NAMES}
    async with store:
        try:
            yield nodes, store
        finally:
            await asyncio.gather(*(node.stop() for node in nodes.values()))
            await store.clear()
            await store.prune(None, 0, 10_000)


# -- what is seen


@define
class Ledger:
    """What the nodes told, kept apart from the store: the judge of the count."""

    facts: list[Fact] = field(factory=list)
    news: asyncio.Event = field(factory=asyncio.Event)

    def tell(self, fact: Fact) -> None:
        """Show a fact, and keep it."""
        if fact.what != "begins" or fact.slug == "long":
            attempt = f"  (attempt {fact.attempt})" if fact.attempt > 1 else ""
            print(f"{fact.at[11:23]}  {fact.node:<5} {fact.slug:<7} {fact.what:<7} for {fact.fire[11:19]}{attempt}")
        self.facts.append(fact)
        self.news.set()

    async def wait_for(self, what: str, slug: str, attempt: int = 1) -> Fact:
        """Return the first such fact, as soon as there is one."""
        try:
            async with asyncio.timeout(DEADLINE.total_seconds()):
                while True:
                    for fact in self.facts:
                        if (fact.what, fact.slug) == (what, slug) and fact.attempt >= attempt:
                            return fact
                    self.news.clear()
                    await self.news.wait()
        except TimeoutError:
            raise SystemExit(f"no node told within {DEADLINE} that {slug!r} {what}") from None


async def watch(nodes: Nodes, store: JobStore, ledger: Ledger) -> str:
    """Schedule the one-offs, kill the node that runs the long job, and see the rest through.

    Return that node's name.
    """
    async with StdScheduler(store.sibling(), jobs=JobRegistry()) as publisher:
        await publisher.schedule_jobs(
            [
                NewTask("letter", "letter", delay=3 * SECOND, remote=True),
                NewTask("flaky", "flaky", remote=True),
                NewTask("long", "long", delay=SECOND, remote=True),
            ]
        )
    victim = (await ledger.wait_for("begins", "long")).node
    await ledger.wait_for("ends", "tick")
    await asyncio.sleep(1)
    await nodes.pop(victim).kill()
    killed = datetime.now(UTC)
    print(f"{killed.isoformat()[11:23]}  {victim} is killed in the middle of 'long'")
    taken_over = await ledger.wait_for("begins", "long", attempt=2)
    waited = datetime.fromisoformat(taken_over.at) - killed
    print(f"{taken_over.at[11:23]}  {taken_over.node} took 'long' over after {waited.total_seconds():.1f} s (two leases: {2 * LEASE})")
    if waited > 2 * LEASE:
        raise SystemExit("the takeover came too late")
    for slug in ("long", "letter", "flaky"):
        await ledger.wait_for("ends", slug)
    await asyncio.sleep(CALM.total_seconds())
    return victim


async def count(ledger: Ledger, store: JobStore, victim: str) -> bool:
    """Count what was fired, lost and doubled, by the ledger; return whether all of it is explained."""
    runs: dict[tuple[str, str], list[Fact]] = defaultdict(list)
    for fact in ledger.facts:
        runs[fact.slug, fact.fire].append(fact)
    skipped = (await store.runs(RunQuery(statuses=(RunStatus.SKIPPED,)))).items
    ended = {run for run, facts in runs.items() if any(fact.what == "ends" for fact in facts)}
    ticks = sorted(datetime.fromisoformat(fire) for slug, fire in ended if slug == "tick")
    due = round((ticks[-1] - ticks[0]) / SECOND) + 1
    lost = [run for run in runs if run not in ended] + ["tick"] * (due - len(ticks) - sum(run.count for run in skipped))
    doubled = {run for run, facts in runs.items() if _begun(facts) > 1}
    explained = {run for run in doubled if any(fact.node == victim for fact in runs[run]) and _begun(runs[run]) == 2}
    print(
        f"\nfired {len(ended)}   lost {len(lost)}   doubled {len(doubled)}, by the kill {len(explained)}   skipped on record {len(skipped)}"
    )
    for slug, fire in sorted(doubled):
        print(f"  {slug} for {fire[11:19]}: begun on {' and '.join(fact.node for fact in runs[slug, fire] if fact.what == 'begins')}")
    return not lost and doubled == explained


def _begun(facts: list[Fact]) -> int:
    """Return how often a fire was begun, apart from the attempts that failed and were retried."""
    return sum(fact.what == "begins" for fact in facts) - sum(fact.what == "fails" for fact in facts)


async def demonstrate(where: str) -> bool:
    """Show everything on a store; return whether all went well."""
    ledger = Ledger()
    async with running_nodes(where, ledger.tell) as (nodes, store):
        print(f"three nodes, {', '.join(NAMES)}, on {where.partition(':')[0]}; a lease is {LEASE.total_seconds():g} s\n")
        victim = await watch(nodes, store, ledger)
        await asyncio.gather(*(node.stop() for node in nodes.values()))
        return await count(ledger, store, victim)


def main() -> None:
    """Take the arguments, and start what the store needs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", default="embedded", help="embedded (PostgreSQL), memory, or a URL such as postgresql://...")
    parser.add_argument("--node", help=argparse.SUPPRESS)
    parser.add_argument("--namespace", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.node:
        asyncio.run(be_a_node(arguments.node, arguments.store, arguments.namespace))
        return
    if arguments.store == "embedded":
        from duly.stores.postgres import open_embedded  # noqa: PLC0415 - the other stores need no PostgreSQL

        with tempfile.TemporaryDirectory(prefix="duly-demo-") as directory, open_embedded(directory) as server:
            is_well = asyncio.run(demonstrate(server.url))
    else:
        is_well = asyncio.run(demonstrate(arguments.store))
    raise SystemExit(0 if is_well else 1)


if __name__ == "__main__":
    main()
