"""The errors' root, and the door for datetimes."""

import pickle
from datetime import UTC, datetime, timedelta, timezone, tzinfo

import pytest

from duly.triggers import DulyError, NaiveDatetime, TriggerError, require_aware


class Picky(DulyError):
    """An error whose constructor takes more than its message."""

    retryable = True

    def __init__(self, slug: str, *, lease: int) -> None:
        super().__init__(f"{slug}: {lease}")
        self.slug, self.lease = slug, lease


@pytest.mark.parametrize(
    "error",
    [TriggerError("is odd", text="t", field="f", value="v", expected="e"), NaiveDatetime("at", 5), Picky("s", lease=3), DulyError("x")],
)
def test_errors_survive_pickling(error: DulyError) -> None:
    """They come back from process pools whole."""
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_trigger_errors_are_value_errors() -> None:
    """So code that guards against bad values needs no import of ours; and there is one root."""
    assert issubclass(TriggerError, ValueError)
    assert issubclass(NaiveDatetime, ValueError)
    assert issubclass(TriggerError, DulyError)
    assert not DulyError.retryable


def test_an_aware_datetime_passes_in_utc() -> None:
    """The same instant; one that is in UTC already passes as it is."""
    noon = datetime(2024, 5, 1, 12, tzinfo=UTC)

    assert require_aware(noon, "at") is noon
    passed = require_aware(noon.astimezone(timezone(timedelta(hours=-3))), "at")
    assert passed == noon
    assert passed.tzinfo is UTC


class Nowhere(tzinfo):
    """A zone that does not know its offset."""

    def utcoffset(self, _: datetime | None) -> timedelta | None:
        """Say nothing."""
        return None

    dst = utcoffset

    def tzname(self, _: datetime | None) -> str | None:
        """Say nothing."""
        return None


@pytest.mark.parametrize("value", [datetime(2024, 5, 1), datetime(2024, 5, 1, tzinfo=Nowhere()), "2024-05-01", None])  # noqa: DTZ001
def test_anything_else_is_refused_by_name(value: object) -> None:
    """Without an offset there is no instant."""
    with pytest.raises(NaiveDatetime, match=r"^at must be an aware datetime") as caught:
        require_aware(value, "at")  # type: ignore[arg-type]
    assert (caught.value.what, caught.value.value) == ("at", value)
