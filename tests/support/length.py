"""A test that takes more than ten seconds says so with the mark `slow`, or fails.

Meant are seconds of a quiet machine. On a busy one the time on the wall counts less: by as much as there are more programs that want a
processor than processors. Work counts whatever the machine does, and under coverage or a debugger half.
"""

import os
import sys
from collections.abc import Generator

import pytest
from attrs import frozen

LIMIT = 10.0
_MARGIN = 1.5
"""A processor is faster in one minute than in the next, and the load average tells of the last minute only."""
_TRACED = 2.0
"""Coverage makes pure Python take up to twice as long."""

_BEGAN = pytest.StashKey["Moment"]()


@frozen
class Moment:
    """What had been used when it was looked at."""

    spent: float
    """Seconds of a processor, by this process and by those children of it that have ended."""
    load: float
    """Programs that wanted a processor in the last minute, for each processor that there is."""

    @classmethod
    def now(cls) -> "Moment":
        """Look at the system."""
        times = os.times()
        return cls(spent=sum(times[:4]), load=os.getloadavg()[0] / (os.cpu_count() or 1))


def excess(wall: float, began: Moment, ended: Moment, *, is_traced: bool = False) -> str | None:
    """Return why a test took too long to go without the mark, or None if it did not."""
    slowness = _MARGIN * (_TRACED if is_traced else 1)
    worked = (ended.spent - began.spent) / slowness
    passed = wall / slowness / max(1, began.load, ended.load)
    if max(worked, passed) <= LIMIT:
        return None
    return f"took {wall:.1f} s, {ended.spent - began.spent:.1f} s of them at work: more than {LIMIT:.0f} s need the mark `slow`"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Look at the system before the test."""
    item.stash[_BEGAN] = Moment.now()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that passed, but too slowly and without the mark."""
    report = yield
    if report.when == "call" and report.passed and item.get_closest_marker("slow") is None:
        reason = excess(call.duration, item.stash[_BEGAN], Moment.now(), is_traced=sys.gettrace() is not None)
        if reason is not None:
            report.outcome, report.longrepr = "failed", f"{item.nodeid} {reason}"
    return report
