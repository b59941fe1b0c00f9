"""The root of the library's errors, and the errors of triggers.

The root lives here because this is the lowest room: every other room may import it.
"""

from collections.abc import Mapping
from typing import ClassVar

__all__ = ["DulyError", "MissingExtra", "NaiveDatetime", "TriggerError", "how_to_install", "require_choice", "require_count"]

INSTALL = 'pip install ".[{extra}]"'
"""How an extra is installed, from a checkout. Not by the name `duly` from the index: there it is not ours before the first release."""

_MOST_TIMES = 999_999_999
_MOST_SHOWN = 300
"""Characters of a text in a message; its attributes hold all of it."""


class DulyError(Exception):
    """The root of every error that this library raises.

    The message is for people, the attributes are for programs. Every subclass survives pickling, whatever
    its constructor takes, because errors travel back from process pools.
    """

    retryable: ClassVar[bool] = False
    """True when the same call may succeed later without any change by the caller."""

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as (class, args, attributes), so that the constructor's own signature does not matter."""
        return _revive, (type(self), self.args, self.__dict__)


def _revive(kind: type[DulyError], args: tuple[object, ...], attributes: Mapping[str, object]) -> DulyError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


def _cut(text: str | None) -> str | None:
    return text if text is None or len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


class TriggerError(DulyError, ValueError):
    """A trigger that cannot be built, written or followed.

    `problem` is the bare statement. `text` is what the user wrote (or the trigger's repr), `field` the part of it at
    fault, `value` what stands there and `expected` what is allowed there: each is None where it does not apply.
    """

    problem: str
    """What is wrong, without the place: `is out of range`."""
    text: str | None
    """What the user wrote, whole, or the trigger's repr; None where neither is known."""
    field: str | None
    """The part at fault, such as `hour`; None where the whole is."""
    value: str | None
    """What stands in that part; None where no part is named."""
    expected: str | None
    """What is allowed there; None where nothing can be said."""

    def __init__(
        self, problem: str, *, text: str | None = None, field: str | None = None, value: str | None = None, expected: str | None = None
    ) -> None:
        """Compose the message from the parts: where, what is wrong, what is allowed."""
        where = "" if text is None else f"{_cut(text)!r}: "
        what = "" if field is None else f"{field} {_cut(value)!r} "
        allowed = "" if expected is None else f"; expected {expected}"
        super().__init__(f"{where}{what}{problem}{allowed}")
        self.problem, self.text, self.field, self.value, self.expected = problem, text, field, value, expected


class NaiveDatetime(DulyError, ValueError):
    """A datetime without a time zone, refused at the door: guessing its zone would move the instant."""

    what: str
    """Name of the argument."""
    value: object
    """What was given in its place."""

    def __init__(self, what: str, value: object) -> None:
        """Name the argument (`what`) and the `value` that came in its place."""
        super().__init__(f"{what} must be an aware datetime (with a time zone), not {value!r}")
        self.what, self.value = what, value


class MissingExtra(DulyError, ImportError):
    """Something needs packages that are not installed."""

    what: str
    """What needs the packages, such as `CurlJob`."""
    extra: str
    """The extra that brings them, such as `http`."""

    def __init__(self, what: str, extra: str) -> None:
        """Name what needs them and the extra that brings them."""
        super().__init__(f"{what} needs packages that are not installed; {how_to_install(extra)}")
        self.what, self.extra = what, extra


def how_to_install(extra: str) -> str:
    """Return the end of an error message: the command that installs `extra`, and where to run it."""
    return f"in a checkout of duly run: {INSTALL.format(extra=extra)}"


def require_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Refuse, as `TriggerError`, a value of the option `name` that is not one of `allowed`."""
    if value not in allowed:
        raise TriggerError("is not a choice", field=name, value=str(value), expected=" or ".join(allowed))


def require_count(name: str, value: object) -> None:
    """Refuse, as `TriggerError`, what is not a whole number of times, as many as a text can say."""
    if type(value) is not int or not 1 <= value <= _MOST_TIMES:
        raise TriggerError("is not a number of times", field=name, value=str(value), expected=f"a whole number from 1 to {_MOST_TIMES}")
