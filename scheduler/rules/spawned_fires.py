"""The fires of a schedule with `Overlap.ALLOW`: each becomes a one-off task. Pure."""

from datetime import datetime

from duly.jobs import Task
from duly.jobs.with_changes import with_changes


def spawned_slug(slug: str, fire: datetime) -> str:
    """Return the slug of the one-off task for the fire at `fire`."""
    return f"{slug}@{fire.isoformat()}"


def spawned_task(row: Task, fire: datetime) -> Task:
    """Return the one-off task for the fire at `fire` of the schedule `row`."""
    return Task(
        slug=spawned_slug(row.slug, fire),
        kind=row.kind,
        payload=row.payload,
        payload_version=row.payload_version,
        options=with_changes(row.options, max_fires=None),  # it limits the schedule's fires, not the steps of one fire
        metadata=row.metadata,
        run_at=fire,
        anchor=fire,
    )
