"""The signal that asks a run to end, and who listens to it."""

from duly.scheduler.runs.stop_signal import StopSignal


def test_a_listener_is_called_once_for_the_first_reason() -> None:
    """Later reasons change nothing."""
    signal, heard = StopSignal(), list[str | None]()
    signal.listen(lambda: heard.append(signal.reason))
    signal.set("asked to")
    signal.set("the end")
    assert heard == ["asked to"]


def test_a_listener_that_comes_late_is_called_at_once() -> None:
    """Nothing is missed between looking and listening."""
    signal, heard = StopSignal(), list[str | None]()
    signal.set("asked to")
    signal.listen(lambda: heard.append(signal.reason))
    assert heard == ["asked to"]


def test_a_listener_that_has_left_is_not_called() -> None:
    """Its event loop may be closed."""
    signal, heard = StopSignal(), list[str | None]()
    signal.listen(lambda: heard.append(signal.reason))
    signal.listen(None)
    signal.set("asked to")
    assert heard == []
