"""Tasks, runs, nodes and events as plain values for JSON."""

import json
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve, fields

import duly.scheduler
from duly.jobs import RetryPolicy, Task, TaskOptions, TaskState
from duly.jobs.plain import plain
from duly.scheduler import (
    ClockStepped,
    Event,
    EventsDropped,
    LeaseLost,
    LoopEnded,
    LoopFailed,
    LoopRecovered,
    NodeStalled,
    NodeStarted,
    NodeStopped,
    RunAbandoned,
    RunEnded,
    RunLost,
    RunReturned,
    RunStarted,
    ScheduleGoesOn,
    TaskUnreadable,
)
from duly.stores import LockLost, Node, Run, RunStatus
from duly.triggers import CronTrigger, Trigger
from support.tasks import NOON, a_schedule

TASK = a_schedule(
    "@every 1h", payload=b"\xff", options=TaskOptions(time_limit=timedelta(seconds=1.5), retry=RetryPolicy(never=[ValueError]))
)
RUN = Run(id="r", slug=TASK.slug, kind=TASK.kind, fire_time=NOON, started_at=NOON, finished_at=NOON, status=RunStatus.DONE, result="42")
NODE = Node(name="n", kinds=("a", "b"), started_at=NOON, seen_at=NOON, until=NOON, info={"pid": "1"})
ABOUT: dict[str, Any] = {"node": "n", "slug": TASK.slug, "kind": TASK.kind}

EVENTS: list[Event] = [
    NodeStarted(node="n", kinds=("a",)),
    NodeStopped(node="n", cut_short=0, left=1),
    RunStarted(node="n", task=TASK, fire_time=NOON),
    RunEnded(node="n", run=RUN, removed=False),
    LeaseLost(node="n", error=LockLost(TASK.slug, "lease"), kind=TASK.kind, reason="late"),
    RunLost(**ABOUT, crashes=1, lease_ended_at=None),
    RunReturned(**ABOUT, reason="full"),
    RunAbandoned(**ABOUT, run_id="r", reason="late", abandoned=1),
    LoopFailed(node="n", loop="dispatch", error=OSError("away")),
    LoopRecovered(node="n", loop="dispatch"),
    LoopEnded(node="n", loop="dispatch", error=None),
    NodeStalled(node="n", seconds=6.5, is_interpreter_held=False),
    ClockStepped(node="n", seconds=-8.0),
    EventsDropped(node="n", count=3),
    ScheduleGoesOn(**ABOUT, trigger=CronTrigger("0 9 * * *")),
]


OF_TASKS = (RunStarted, RunEnded, LeaseLost, RunLost, RunReturned, RunAbandoned, ScheduleGoesOn)


def test_an_event_of_an_unreadable_task_tells_its_slug() -> None:
    """Its kind may be what cannot be read."""
    told = TaskUnreadable(node="n", slug="a", reason="odd").to_dict()
    assert (told["slug"], told["kind"], told["reason"]) == ("a", None, "odd")


def read_back(value: Any) -> Any:  # noqa: ANN401 - JSON
    """What a reader of the JSON gets."""
    return json.loads(json.dumps(value, allow_nan=False))


@pytest.mark.parametrize("record", [TASK, RUN, NODE], ids=lambda each: type(each).__name__)
def test_a_record_is_told_field_by_field(record: Task | Run | Node) -> None:
    """All but what is opaque, and JSON brings it back as it is."""
    told = record.to_dict()
    assert list(told) == [each.name for each in fields(type(record)) if each.name != "etag"]
    assert read_back(told) == told


def test_values_are_told_in_the_form_that_programs_read() -> None:
    """Instants with their zone, lengths of time in seconds, bytes as Base64."""
    told = evolve(TASK, etag=object(), metadata={"team": "a"}).to_dict()
    assert (told["run_at"], told["state"], told["payload"]) == (NOON.isoformat(), TaskState.SCHEDULED.value, "/w==")
    assert told["options"]["time_limit"] == 1.5
    assert told["options"]["retry"]["never"] == ["builtins.ValueError"]
    assert (told["metadata"], told["paused"]) == ({"team": "a"}, False)
    assert (RUN.to_dict()["status"], NODE.to_dict()["kinds"]) == ("done", ["a", "b"])


@pytest.mark.parametrize("event", EVENTS, ids=lambda each: type(each).__name__)
def test_an_event_is_told_with_what_all_of_them_have(event: Event) -> None:
    """Whoever reads them needs no knowledge of its class."""
    told = event.to_dict()
    assert read_back(told) == told
    assert (told["event"], told["message"], told["node"]) == (type(event).__name__, str(event), "n")
    is_of_a_task = event.slug is not None
    assert (told["slug"], told["kind"]) == ((TASK.slug, TASK.kind) if is_of_a_task else (None, None)) == (event.slug, event.kind)
    assert is_of_a_task == isinstance(event, OF_TASKS)
    assert told["level"] in ("DEBUG", "INFO", "WARNING", "ERROR")


def test_the_list_above_has_every_event() -> None:
    """So that a new one is told, too."""
    assert {each for each in vars(duly.scheduler).values() if isinstance(each, type) and issubclass(each, Event)} - {
        Event,
        TaskUnreadable,
    } == set(map(type, EVENTS))


def test_an_error_and_a_trigger_are_told_by_their_text() -> None:
    """Whatever else there is, by its repr."""

    class Own(Trigger):
        def next_fire_time(self, prev: object) -> None:
            """Never fire."""

        def __repr__(self) -> str:
            return "Own()"

    assert plain([OSError("away"), CronTrigger("0 9 * * *"), Own(), complex(1)]) == ["OSError: away", "0 9 * * *", "Own()", "(1+0j)"]
