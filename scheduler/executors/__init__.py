"""Where jobs run: in the event loop, threads, child processes, users' executors, or in the program that fetches; imports no node."""

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
