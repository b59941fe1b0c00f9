"""Where jobs run: in the event loop, in a thread, in a process of their own, or in an executor of the user's."""

from duly.scheduler.executors.base import Executor, Remains
from duly.scheduler.executors.coroutine import CoroutineExecutor
from duly.scheduler.executors.pool import PoolExecutor
from duly.scheduler.executors.process.executor import ProcessExecutor
from duly.scheduler.executors.thread import ThreadExecutor

__all__ = [
    "CoroutineExecutor",
    "Executor",
    "PoolExecutor",
    "ProcessExecutor",
    "Remains",
    "ThreadExecutor",
]
