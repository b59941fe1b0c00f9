"""Where jobs run: in the event loop, in a thread, in a process of their own, or in an executor of the user's."""

from detent.scheduler.executors.base import Executor, Remains
from detent.scheduler.executors.coroutine import CoroutineExecutor
from detent.scheduler.executors.foreign import ForeignExecutor
from detent.scheduler.executors.process import ProcessExecutor
from detent.scheduler.executors.thread import ThreadExecutor

__all__ = [
    "CoroutineExecutor",
    "Executor",
    "ForeignExecutor",
    "ProcessExecutor",
    "Remains",
    "ThreadExecutor",
]
