"""A call of every method of `BlockingScheduler` that needs its event loop.

Harmless on a store without tasks.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from duly.scheduler import BlockingScheduler
from duly.stores import RunQuery, TaskQuery

CALLS: Final[Mapping[str, Callable[[BlockingScheduler], object]]] = {
    "at": lambda scheduler: scheduler.at(datetime(2100, 1, 1, tzinfo=UTC), "work"),
    "in_": lambda scheduler: scheduler.in_(timedelta(days=1), "work"),
    "schedule_job": lambda scheduler: scheduler.schedule_job("t", "work", if_exists="keep"),
    "schedule_jobs": lambda scheduler: scheduler.schedule_jobs([]),
    "get_job_slugs": lambda scheduler: scheduler.get_job_slugs(),
    "get_scheduled_job": lambda scheduler: scheduler.get_scheduled_job("t"),
    "search_jobs": lambda scheduler: scheduler.search_jobs(TaskQuery()),
    "iterate_jobs": lambda scheduler: list(scheduler.iterate_jobs(TaskQuery())),
    "count_jobs": lambda scheduler: scheduler.count_jobs(TaskQuery()),
    "delete_job": lambda scheduler: scheduler.delete_job("t"),
    "pause_job": lambda scheduler: scheduler.pause_job("t"),
    "resume_job": lambda scheduler: scheduler.resume_job("t"),
    "trigger_job": lambda scheduler: scheduler.trigger_job("t"),
    "stop_job": lambda scheduler: scheduler.stop_job("t"),
    "restart_job": lambda scheduler: scheduler.restart_job("t"),
    "update_job": lambda scheduler: scheduler.update_job("t", payload=b""),
    "reschedule_job": lambda scheduler: scheduler.reschedule_job("t", delay=timedelta(0)),
    "reencrypt_payloads": lambda scheduler: scheduler.reencrypt_payloads(),
    "clear": lambda scheduler: scheduler.clear(),
    "runs": lambda scheduler: scheduler.runs(RunQuery()),
    "fetch": lambda scheduler: scheduler.fetch("fetched").close(),
    "why": lambda scheduler: scheduler.why("t"),
    "iterate_runs": lambda scheduler: list(scheduler.iterate_runs(RunQuery())),
    "nodes": lambda scheduler: scheduler.nodes(),
    "start": lambda scheduler: scheduler.start(),
    "drain": lambda scheduler: scheduler.drain(timedelta(0)),
    "stop_now": lambda scheduler: scheduler.stop_now(),
    "close": lambda scheduler: scheduler.close(),
    "run": lambda scheduler: scheduler.run(),
}

ANYWHERE: Final = frozenset({"register_job", "job", "handle", "scheduled", "subscribe", "events"})
"""Methods that need no event loop, and are the same in every thread and process."""
