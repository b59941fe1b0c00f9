"""Where a page of the history ends, as text: what `Page.next` of `runs` holds."""

from datetime import datetime

from duly.jobs import InvalidValue
from duly.jobs.validators import check_name
from duly.stores.records import Run
from duly.triggers import require_aware


def run_cursor(run: Run) -> str:
    """Return the place of `run` in the order of the history, as `RunQuery.after` takes it."""
    return f"{run.finished_at.isoformat()} {run.id}"


def parse_run_cursor(cursor: str) -> tuple[datetime, str]:
    """Read what `run_cursor` wrote: the end of a run and its id.

    Raises:
        InvalidValue: it is no such text.

    """
    try:
        instant, _, run_id = cursor.partition(" ")
        check_name("after", run_id)
        return require_aware(datetime.fromisoformat(instant), "after"), run_id
    except (AttributeError, TypeError, ValueError):  # no text; `InvalidValue`, `NaiveDatetime` and `TriggerError` are ValueErrors
        raise InvalidValue("after", cursor, "the 'next' of an earlier page") from None
