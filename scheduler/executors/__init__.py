"""Where jobs run: in the event loop, or in a thread."""

from detent.scheduler.executors.base import Executor
from detent.scheduler.executors.coroutine import CoroutineExecutor
from detent.scheduler.executors.thread import ThreadExecutor

__all__ = ["CoroutineExecutor", "Executor", "ThreadExecutor"]
