"""Schedulers in processes of their own, ended by signals, by forgetting them, and forked."""

import asyncio
import os
import signal
import threading
from signal import SIGINT, SIGTERM

import pytest

from duly.scheduler import NotMainThread
from duly.scheduler.signals import STOPPING, stop_signals
from support.blocking_calls import CALLS
from support.programs import program
from support.waiting import wait_until_async

FACES = ["std", "std-with", "blocking", "blocking-with"]


@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
@pytest.mark.parametrize("face", FACES)
def test_a_signal_drains_and_the_exit_status_is_0(face: str, number: signal.Signals) -> None:
    """The run that is under way comes to its end; inside a context too."""
    with program("running.py", face, "soon") as running:
        running.await_line("began")
        running.send(number)
        status, lines = running.end()
    assert status == 0, lines
    assert [line for line in lines[lines.index("draining") :] if line == "began"] == []
    assert lines[-1] == "closed"
    assert lines.count("began") == lines.count("ended") == lines.count("done")


@pytest.mark.parametrize("face", ["std", "blocking"])
def test_a_second_signal_cuts_the_grace_short(face: str) -> None:
    """The run is recorded as cancelled; the grace would have been ten minutes."""
    with program("running.py", face, "never") as running:
        running.await_line("began")
        running.send(SIGTERM)
        running.await_line("draining")
        running.send(SIGINT)
        status, lines = running.end()
    assert status == 0, lines
    assert lines == ["began", "draining", "cancelled", "closed"]


def test_ctrl_c_inside_the_context_drains() -> None:
    """Of the blocking scheduler; KeyboardInterrupt goes on to the program."""
    with program("running.py", "with", "soon") as running:
        running.await_line("began")
        running.send(SIGINT)
        status, lines = running.end()
    assert (status, lines[-2:]) == (0, ["interrupted", "closed"])
    assert lines.count("began") == lines.count("done")


def test_a_second_ctrl_c_cuts_the_drain_of_the_context_short() -> None:
    """What ran is recorded all the same."""
    with program("running.py", "with", "never") as running:
        running.await_line("began")
        running.send(SIGINT)
        running.await_line("draining")
        running.send(SIGINT)
        status, lines = running.end()
    assert (status, lines) == (0, ["began", "draining", "cancelled", "interrupted", "closed"])


@pytest.mark.parametrize(("where", "told"), [("nothing", ["done"]), ("thread", ["cancelled"]), ("loop", [])])
def test_a_program_that_forgets_to_close_ends_within_its_grace(where: str, told: list[str]) -> None:
    """Whatever is stuck, and wherever.

    A stuck thread's run is recorded, a stuck event loop cannot record anything.
    """
    with program("forgetful.py", where) as forgetful:
        forgetful.await_line("end of the program")
        status, lines = forgetful.end()
    assert status == 0, lines
    assert sorted(lines) == sorted(["end of the program", *told])


def test_after_a_fork_every_call_in_the_child_fails_with_one_line_and_the_parent_goes_on() -> None:
    """The event loop's thread stayed with the parent."""
    with program("forking.py") as forking:
        status, lines = forking.end()
    assert status == 0, lines
    told = [line for line in lines if line.startswith("child: ")]
    assert len(told) == len(CALLS) + 1
    for name, line in zip([*CALLS, "__exit__"], told, strict=True):
        assert line.startswith(f"child: {name}: ForkedScheduler: this scheduler belongs to process")
        assert line.endswith("make one after the fork")
    assert [line for line in lines if not line.startswith("child: ")][-3:] == ["child ended with 7", "parent: after done", "parent closed"]


# -- in this process


async def test_the_signals_are_collected_and_then_put_back() -> None:
    """What they did before, they do again."""
    before = [signal.getsignal(number) for number in STOPPING]
    with stop_signals() as received:
        for number in STOPPING:
            os.kill(os.getpid(), number)
        assert {await received.get(), await received.get()} == set(STOPPING)
    assert [signal.getsignal(number) for number in STOPPING] == before


async def test_signals_are_put_back_after_an_error() -> None:
    """The error is raised."""
    before = [signal.getsignal(number) for number in STOPPING]
    with pytest.raises(KeyError), stop_signals():
        raise KeyError
    assert [signal.getsignal(number) for number in STOPPING] == before


async def test_only_the_main_thread_can_take_signals() -> None:
    """Nothing is changed."""
    errors: list[NotMainThread] = []

    async def take() -> None:
        with stop_signals():
            pass

    def elsewhere() -> None:
        try:
            asyncio.run(take())
        except NotMainThread as error:
            errors.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    await wait_until_async(lambda: errors)
    thread.join()
