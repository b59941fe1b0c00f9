"""Why a task is not running: for every reason the exact sentence."""

from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from duly.jobs import Request, Task, TaskState, TriggerSource
from duly.jobs.task import RECORD_VERSION
from duly.scheduler.rules.explain import Here, Surroundings, explain
from duly.scheduler.wording import handed_back_note
from duly.stores import Node
from duly.stores.rules import transitions
from duly.triggers import Trigger, parse_trigger

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)

TRACEBACK = "Traceback (most recent call last):\n  File ...\nValueError: no luck.\n"


def a_task(run_at: datetime = NOON - MINUTE, **fields: object) -> Task:
    """A one-off of the kind `report`, a minute overdue."""
    return Task(slug="r", kind="report", run_at=run_at, anchor=run_at, **fields)  # type: ignore[arg-type]  # fields of Task, by name


def locked(task: Task, at: datetime = NOON - 10 * SECOND, lease: timedelta = 30 * SECOND) -> Task:
    """Let node n1 lock it."""
    taken = transitions.lock(evolve(task, due_at=at), node="n1", lease_id="lease", now=at, lease=lease)
    assert taken is not None
    return taken.task


def a_node(name: str = "n1", *kinds: str, until: datetime = NOON + MINUTE) -> Node:
    """A node that announced itself."""
    return Node(name=name, kinds=kinds, started_at=NOON - HOUR, seen_at=until - 2 * MINUTE, until=until)


HERE = Here(name="me", kinds=("report",), slots=10, taken=3, poll=5 * SECOND)
HOURLY = a_task(NOON + 3 * HOUR + 5 * MINUTE, trigger="@every 1h")
RETRYING = a_task(NOON - HOUR, attempt=2, retry_at=NOON + MINUTE, last_error=TRACEBACK)
FAILED = a_task(state=TaskState.FAILED, attempt=3, ended_at=NOON - HOUR, last_error=TRACEBACK)
ENDED = locked(a_task(), NOON - 40 * SECOND)

ROWS: list[tuple[str, Task, Surroundings, str]] = [
    (
        "it runs",
        locked(a_task(attempt=1)),
        Surroundings(now=NOON),
        "is running on node n1 since 2030-01-01T11:59:50+00:00 (10 s ago) for its fire at 2030-01-01T11:59:00+00:00, attempt 2",
    ),
    (
        "it needs a newer version",
        a_task(needs=RECORD_VERSION + 1),
        Surroundings(now=NOON, here=HERE),
        (
            "is due since 2030-01-01T11:59:00+00:00 (1 min ago), but it needs a newer version of duly: its record is of version "
            f"{RECORD_VERSION + 1}, and this one knows up to {RECORD_VERSION}"
        ),
    ),
    (
        "a node of another version put it off",
        a_task(due_at=NOON + MINUTE),
        Surroundings(now=NOON, here=HERE),
        "waits until 2030-01-01T12:01:00+00:00 (in 1 min), because a node of another version could not read it",
    ),
    (
        "it runs, for the latest of the fires that it missed",
        locked(a_task(NOON - 3 * HOUR, trigger="@every 1h"), NOON - SECOND),
        Surroundings(now=NOON, trigger=parse_trigger("@every 1h")),
        "is running on node n1 since 2030-01-01T11:59:59+00:00 (1 s ago) for its fire at 2030-01-01T11:00:00+00:00, attempt 1",
    ),
    (
        "it is asked to stop",
        evolve(locked(a_task()), request=Request.STOP),
        Surroundings(now=NOON),
        (
            "is running on node n1 since 2030-01-01T11:59:50+00:00 (10 s ago) for its fire at 2030-01-01T11:59:00+00:00, attempt 1, "
            "and is being asked to stop"
        ),
    ),
    (
        "it was paused while it ran",
        evolve(locked(a_task()), paused=True),
        Surroundings(now=NOON),
        (
            "is running on node n1 since 2030-01-01T11:59:50+00:00 (10 s ago) for its fire at 2030-01-01T11:59:00+00:00, attempt 1; "
            "it is paused, and waits after this run until it is resumed"
        ),
    ),
    (
        "its holder's lease has ended",
        ENDED,
        Surroundings(now=NOON, here=HERE),
        "is held by node n1, whose lease ended at 2030-01-01T11:59:50+00:00 (10 s ago): the next node that locks takes it over",
    ),
    (
        "its holder's lease has ended, and it is paused",
        evolve(ENDED, paused=True),
        Surroundings(now=NOON, here=HERE),
        (
            "is held by node n1, whose lease ended at 2030-01-01T11:59:50+00:00 (10 s ago): the next node that locks takes it over, "
            "and leaves it paused"
        ),
    ),
    (
        "its holder's lease has ended, and nobody is there to take it over",
        ENDED,
        Surroundings(now=NOON),
        "is held by node n1, whose lease ended at 2030-01-01T11:59:50+00:00 (10 s ago): no node is running",
    ),
    (
        "its holder is not heard of any more",
        locked(a_task(), lease=HOUR),
        Surroundings(now=NOON, nodes=(a_node(until=NOON),)),
        (
            "is held by node n1, which was last heard of at 2030-01-01T11:58:00+00:00 (2 min ago): "
            "its lease ends at 2030-01-01T12:59:50+00:00 (in 59 min 50 s), then the next node that locks takes it over"
        ),
    ),
    (
        "it failed for good",
        FAILED,
        Surroundings(now=NOON),
        (
            "is set aside as failed since 2030-01-01T11:00:00+00:00 (1 h ago) after 3 attempts, until somebody restarts or deletes it: "
            "ValueError: no luck"
        ),
    ),
    (
        "it failed for good, and is paused",
        evolve(FAILED, paused=True, attempt=1, last_error=None),
        Surroundings(now=NOON),
        (
            "is set aside as failed since 2030-01-01T11:00:00+00:00 (1 h ago) after 1 attempt, until somebody restarts or deletes it, "
            "and is paused"
        ),
    ),
    (
        "it crashed too often",
        evolve(FAILED, attempt=4, crashes=3, last_error="crashed 3 times: set aside until somebody restarts it"),
        Surroundings(now=NOON),
        (
            "is set aside as failed since 2030-01-01T11:00:00+00:00 (1 h ago) after 3 runs lost with their nodes, "
            "until somebody restarts or deletes it: crashed 3 times: set aside until somebody restarts it"
        ),
    ),
    (
        "it was set aside by hand",
        a_task(state=TaskState.FAILED),
        Surroundings(now=NOON),
        "is set aside as failed, until somebody restarts or deletes it",
    ),
    (
        "it is paused, and missed a fire",
        a_task(paused=True),
        Surroundings(now=NOON),
        "is paused: its fire at 2030-01-01T11:59:00+00:00 (1 min ago) waits until it is resumed",
    ),
    (
        "it is paused, and will miss a fire",
        evolve(HOURLY, paused=True),
        Surroundings(now=NOON),
        "is paused: its fire at 2030-01-01T15:05:00+00:00 (in 3 h 5 min) waits until it is resumed",
    ),
    (
        "it is paused, and has a retry ahead",
        evolve(RETRYING, paused=True),
        Surroundings(now=NOON),
        "is paused: retry 2 of its fire at 2030-01-01T11:00:00+00:00 waits until it is resumed",
    ),
    (
        "it waits for a retry",
        RETRYING,
        Surroundings(now=NOON),
        (
            "waits for retry 2 of its fire at 2030-01-01T11:00:00+00:00, at 2030-01-01T12:01:00+00:00 (in 1 min), "
            "because its last attempt failed: ValueError: no luck"
        ),
    ),
    (
        "its run was cut short, and is to be begun again after a pause; the fire before had failed",
        transitions.interrupt(locked(a_task(last_error=TRACEBACK)), now=NOON, pause=MINUTE),
        Surroundings(now=NOON),
        (
            "waits for its fire at 2030-01-01T11:59:00+00:00 (1 min ago), at 2030-01-01T12:01:00+00:00 (in 1 min), "
            "because its last run was cut short"
        ),
    ),
    (
        "it waits for a retry, after a lost run that is not one",
        evolve(RETRYING, crashes=1),
        Surroundings(now=NOON),
        (
            "waits for retry 1 of its fire at 2030-01-01T11:00:00+00:00, at 2030-01-01T12:01:00+00:00 (in 1 min), "
            "because its last attempt failed: ValueError: no luck"
        ),
    ),
    (
        "it was handed back",
        evolve(RETRYING, last_error=handed_back_note("n1", "this node cannot follow its trigger: no such moon")),
        Surroundings(now=NOON),
        "waits until 2030-01-01T12:01:00+00:00 (in 1 min): handed back unrun by n1: this node cannot follow its trigger: no such moon",
    ),
    (
        "it is not due",
        HOURLY,
        Surroundings(now=NOON, trigger=parse_trigger("@every 1h")),
        "is not due until 2030-01-01T15:05:00+00:00 (in 3 h 5 min), by its trigger: every hour",
    ),
    (
        "it is not due, and a one-off",
        a_task(NOON + MINUTE),
        Surroundings(now=NOON),
        "is not due until 2030-01-01T12:01:00+00:00 (in 1 min), as a one-off",
    ),
    (
        "it is not due, by a trigger that this node cannot read",
        evolve(HOURLY, trigger="@moon full"),
        Surroundings(now=NOON),
        "is not due until 2030-01-01T15:05:00+00:00 (in 3 h 5 min), by its trigger '@moon full', which this node cannot follow",
    ),
    (
        "it is not due, by a trigger in code that this node does not have",
        evolve(HOURLY, trigger=None, trigger_from=TriggerSource.JOB),
        Surroundings(now=NOON),
        "is not due until 2030-01-01T15:05:00+00:00 (in 3 h 5 min), by the trigger in its job's code, which this node cannot follow",
    ),
    (
        "no node is running",
        a_task(),
        Surroundings(now=NOON, nodes=(a_node("n1", "report", until=NOON),)),
        "is due since 2030-01-01T11:59:00+00:00 (1 min ago), but no node is running",
    ),
    (
        "no live node knows its kind",
        a_task(),
        Surroundings(now=NOON, nodes=(a_node("n1", "other"), a_node("n2", "report", until=NOON)), here=evolve(HERE, kinds=())),
        "is due since 2030-01-01T11:59:00+00:00 (1 min ago), but no live node knows its kind 'report'",
    ),
    (
        "its kind is at its limit",
        a_task(),
        Surroundings(now=NOON, here=HERE, limit="its kind is at its limit of 3 on this node"),
        "is due since 2030-01-01T11:59:00+00:00 (1 min ago), but its kind is at its limit of 3 on this node",
    ),
    (
        "this node is full",
        a_task(),
        Surroundings(now=NOON, here=evolve(HERE, taken=10)),
        "is due since 2030-01-01T11:59:00+00:00 (1 min ago), but this node is full: 10 of 10 slots are taken",
    ),
    (
        "this node is full, and there is another",
        a_task(),
        Surroundings(now=NOON, nodes=(a_node("me", "report"), a_node("n1", "report")), here=evolve(HERE, slots=1, taken=1)),
        (
            "is due since 2030-01-01T11:59:00+00:00 (1 min ago), but this node is full: 1 of 1 slot is taken, "
            "and node n1 has not locked it yet"
        ),
    ),
    (
        "this node is stopping",
        a_task(),
        Surroundings(now=NOON, here=evolve(HERE, is_stopping=True)),
        "is due since 2030-01-01T11:59:00+00:00 (1 min ago), but this node is stopping",
    ),
    (
        "this node cannot lock",
        a_task(),
        Surroundings(now=NOON, here=evolve(HERE, failure="ClockSkew: 7 s\ntoo early")),
        "is due since 2030-01-01T11:59:00+00:00 (1 min ago), but this node's last try to lock failed with ClockSkew: 7 s too early",
    ),
    (
        "only another node knows its kind",
        a_task(),
        Surroundings(now=NOON, nodes=(a_node("n1", "report"),), here=evolve(HERE, kinds=())),
        "is due since 2030-01-01T11:59:00+00:00 (1 min ago), and node n1, which knows its kind, has not locked it yet",
    ),
    (
        "two other nodes know its kind",
        a_task(),
        Surroundings(now=NOON, nodes=(a_node("n1", "report"), a_node("n2", "report"))),
        "is due since 2030-01-01T11:59:00+00:00 (1 min ago), and 2 other nodes, which know its kind, have not locked it yet",
    ),
    (
        "it should be locked at any moment",
        a_task(NOON),
        Surroundings(now=NOON, here=HERE),
        "is due since 2030-01-01T12:00:00+00:00 (less than 1 s ago), and should be locked within 5 s, the poll of this node",
    ),
    (
        "its retry is due",
        evolve(RETRYING, retry_at=NOON - SECOND),
        Surroundings(now=NOON, here=HERE),
        "is due for retry 2 since 2030-01-01T11:59:59+00:00 (1 s ago), and should be locked within 5 s, the poll of this node",
    ),
    (
        "the clock stands still",
        a_task(),
        Surroundings(now=NOON, here=evolve(HERE, poll=None)),
        "is due since 2030-01-01T11:59:00+00:00 (1 min ago), and runs when this node, whose clock stands still, is driven on",
    ),
]


@pytest.mark.parametrize(("task", "around", "predicate"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_the_reason_is_one_sentence(task: Task, around: Surroundings, predicate: str) -> None:
    """The most specific one, with its instants in UTC."""
    assert explain(task, around) == f"Task 'r' {predicate}."


@pytest.mark.parametrize("text", ["\n", "a\r\nb\x1b[31m\u2028c..\n \n", "x" * 100_000, "Ende.\n"])
def test_no_text_of_others_breaks_the_sentence(text: str) -> None:
    """No line break, no escape sequence, no megabyte, and one full stop at the end."""
    for task in (evolve(FAILED, last_error=text), evolve(RETRYING, last_error=text), evolve(HOURLY, trigger="@" + text[:1000])):
        sentence = explain(task, Surroundings(now=NOON))
        assert sentence.isprintable()
        assert len(sentence) < 600
        assert sentence.endswith(".")
        assert not sentence.endswith("..")


def test_a_trigger_that_cannot_be_described_is_named() -> None:
    """It may be anybody's code."""

    class Moon(Trigger):
        def next_fire_time(self, prev: datetime) -> datetime | None:
            return prev + HOUR

        def __repr__(self) -> str:
            raise ZeroDivisionError

    sentence = explain(HOURLY, Surroundings(now=NOON, trigger=Moon()))
    assert sentence == "Task 'r' is not due until 2030-01-01T15:05:00+00:00 (in 3 h 5 min), by its trigger: a Moon."
