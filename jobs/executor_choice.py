"""Where a job runs.

In the scheduler's event loop, in a thread, in a process of its own, or wherever an executor takes it.

A fact of the code, not of the task: it stands beside the job in the registry, and no store keeps it.
"""

import os
import pickle
from concurrent.futures import Executor
from types import FunctionType
from typing import Literal, TypeAlias

from duly.jobs.base import FunctionJob, Job, TypedCall
from duly.jobs.errors import InvalidValue, JobNotPicklable

ExecutorChoice: TypeAlias = Literal["auto", "thread", "process"] | Executor
"""`auto`: an `async def` job in the event loop, a `def` job in a thread. An executor is the user's, and stays it."""


def check_executor(executor: object, job: Job) -> None:
    """Refuse what is no place, and a job that can be seen not to reach it.

    Raises:
        InvalidValue: `executor` is none of those.
        JobNotPicklable: another process is to run the job, and it could never be sent there.

    """
    if isinstance(executor, Executor) or executor in ("auto", "thread"):
        return
    if executor != "process":
        raise InvalidValue("executor", executor, "'auto', 'thread', 'process' or a concurrent.futures.Executor")
    if os.name != "posix":
        raise InvalidValue("executor", executor, "another place on this system: processes of jobs need POSIX")
    function = job.function if isinstance(job, FunctionJob | TypedCall) else None
    if isinstance(function, FunctionType):
        # A decorator registers a function before its module has it, so that pickling it could only fail as yet.
        if "<" in function.__qualname__:
            raise JobNotPicklable(job.kind, f"{function.__qualname__} is no function of a module: a child process could not import it")
        return
    pickled(job.kind, job)


def pickled(kind: str, value: object) -> bytes:
    """Return the pickle of `value`, which is to go to a child of this process.

    Raises:
        JobNotPicklable: it cannot be; the `__cause__` says why.

    """
    try:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # whatever a class raises when it is pickled
        raise JobNotPicklable(kind, str(error)) from error
