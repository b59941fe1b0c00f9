"""The scheduler: jobs, triggers and a store wired into a running node; and every error of the library in one place."""

from detent.jobs import (
    InvalidDelay,
    InvalidJob,
    InvalidResult,
    InvalidSlug,
    InvalidValue,
    JobAlreadyRegistered,
    JobError,
    JobNotRegistered,
    MissingExtra,
    PayloadTooLarge,
    TimeLimitExceeded,
)
from detent.scheduler.blocking import BlockingScheduler
from detent.scheduler.clock import Clock, StoreClock, SystemClock
from detent.scheduler.config import SchedulerConfig
from detent.scheduler.errors import (
    ForkedScheduler,
    InvalidSchedule,
    NotMainThread,
    SchedulerClosed,
    SchedulerError,
    TriggerNeverFires,
    WrongThread,
)
from detent.scheduler.events import Event, HandedBack, LeaseLost, LoopFailed, RunEnded, RunStarted
from detent.scheduler.scheduling import NewTask
from detent.scheduler.std import StdScheduler
from detent.stores import (
    ClockSkew,
    Conflict,
    InvalidStoreURL,
    JobAlreadyScheduled,
    JobNotFound,
    LockLost,
    SchemaMismatch,
    StoreClosed,
    StoreError,
    StoreUnavailable,
)
from detent.triggers import DetentError, NaiveDatetime, TriggerError

__all__ = [
    "BlockingScheduler",
    "Clock",
    "ClockSkew",
    "Conflict",
    "DetentError",
    "Event",
    "ForkedScheduler",
    "HandedBack",
    "InvalidDelay",
    "InvalidJob",
    "InvalidResult",
    "InvalidSchedule",
    "InvalidSlug",
    "InvalidStoreURL",
    "InvalidValue",
    "JobAlreadyRegistered",
    "JobAlreadyScheduled",
    "JobError",
    "JobNotFound",
    "JobNotRegistered",
    "LeaseLost",
    "LockLost",
    "LoopFailed",
    "MissingExtra",
    "NaiveDatetime",
    "NewTask",
    "NotMainThread",
    "PayloadTooLarge",
    "RunEnded",
    "RunStarted",
    "SchedulerClosed",
    "SchedulerConfig",
    "SchedulerError",
    "SchemaMismatch",
    "StdScheduler",
    "StoreClock",
    "StoreClosed",
    "StoreError",
    "StoreUnavailable",
    "SystemClock",
    "TimeLimitExceeded",
    "TriggerError",
    "TriggerNeverFires",
    "WrongThread",
]
