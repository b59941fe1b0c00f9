"""What is done: jobs, the tasks they serve, and the rules for running them."""

from duly.jobs.base import FunctionJob, Job
from duly.jobs.builtin.curl import CurlFailed, CurlJob
from duly.jobs.builtin.print import PrintJob
from duly.jobs.builtin.shell import CommandNotStarted, InvalidCommand, ShellFailed, ShellJob
from duly.jobs.cipher import PayloadKeys
from duly.jobs.context import JobContext
from duly.jobs.ending import Cancel, Fail, JobEnding, Retry
from duly.jobs.errors import (
    InvalidDelay,
    InvalidJob,
    InvalidPayload,
    InvalidResult,
    InvalidSlug,
    InvalidValue,
    JobAlreadyRegistered,
    JobError,
    JobNotPicklable,
    JobNotRegistered,
    KindFetched,
    PayloadTooLarge,
    TimeLimitExceeded,
    UnreadablePayload,
)
from duly.jobs.executor_choice import ExecutorChoice
from duly.jobs.logs import RunFacts, RunLogFilter, current_run
from duly.jobs.options import Consistency, Misfire, Overlap, TaskOptions
from duly.jobs.payload import PAYLOAD_LIMIT, PAYLOAD_MAX
from duly.jobs.registered import DeclaredTask, RegisteredJob
from duly.jobs.registry import JobRegistry
from duly.jobs.retry import RetryPolicy
from duly.jobs.task import Request, Task, TaskState, Then, TriggerSource
from duly.jobs.typed import TypedJob
from duly.triggers import MissingExtra
from duly.triggers.exports import name_exports

__all__ = [
    "PAYLOAD_LIMIT",
    "PAYLOAD_MAX",
    "Cancel",
    "CommandNotStarted",
    "Consistency",
    "CurlFailed",
    "CurlJob",
    "DeclaredTask",
    "ExecutorChoice",
    "Fail",
    "FunctionJob",
    "InvalidCommand",
    "InvalidDelay",
    "InvalidJob",
    "InvalidPayload",
    "InvalidResult",
    "InvalidSlug",
    "InvalidValue",
    "Job",
    "JobAlreadyRegistered",
    "JobContext",
    "JobEnding",
    "JobError",
    "JobNotPicklable",
    "JobNotRegistered",
    "JobRegistry",
    "KindFetched",
    "Misfire",
    "MissingExtra",
    "Overlap",
    "PayloadKeys",
    "PayloadTooLarge",
    "PrintJob",
    "RegisteredJob",
    "Request",
    "Retry",
    "RetryPolicy",
    "RunFacts",
    "RunLogFilter",
    "ShellFailed",
    "ShellJob",
    "Task",
    "TaskOptions",
    "TaskState",
    "Then",
    "TimeLimitExceeded",
    "TriggerSource",
    "TypedJob",
    "UnreadablePayload",
    "current_run",
]

name_exports(__name__)
