"""What a job may raise to say how its run ends."""

import pickle
from datetime import timedelta

import pytest

from duly.jobs import Cancel, Fail, InvalidValue, JobEnding, Retry


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        (Retry(), "the job asked for another try"),
        (Retry(timedelta(seconds=5), "rate limited"), "rate limited"),
        (Fail("no such customer"), "no such customer"),
        (Cancel(), "the job cancelled itself"),
        (Cancel("the order was withdrawn"), "the order was withdrawn"),
    ],
)
def test_an_ending_has_a_reason_and_survives_the_way_from_another_process(ending: JobEnding, reason: str) -> None:
    """It is the same on the other side."""
    there = pickle.loads(pickle.dumps(ending))  # noqa: S301 - our own

    assert (type(there), there.reason, str(there)) == (type(ending), reason, reason)
    assert getattr(there, "after", None) == getattr(ending, "after", None)


@pytest.mark.parametrize("after", [timedelta(seconds=-1), 5])
def test_a_retry_in_the_past_is_refused(after: object) -> None:
    """And so is a number, whose unit nobody knows."""
    with pytest.raises(InvalidValue, match="after"):
        Retry(after)  # type: ignore[arg-type]  # on purpose
