"""Where jobs run; imports no node.

They run in the event loop, in threads, in child processes, or in a user's executor. The tasks of a fetched kind are
processed by the program that fetches them.
"""

from duly.scheduler.executors.base import Executor, Remains
from duly.scheduler.executors.coroutine import CoroutineExecutor
from duly.scheduler.executors.fetched.executor import FetchedExecutor
from duly.scheduler.executors.pool import PoolExecutor
from duly.scheduler.executors.process.executor import ProcessExecutor
from duly.scheduler.executors.thread import ThreadExecutor

__all__ = [
    "CoroutineExecutor",
    "Executor",
    "FetchedExecutor",
    "PoolExecutor",
    "ProcessExecutor",
    "Remains",
    "ThreadExecutor",
]
