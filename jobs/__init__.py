"""What is done: jobs, the tasks they serve, and the rules for running them."""

from detent.jobs.base import FunctionJob, Job
from detent.jobs.cipher import PayloadKeys
from detent.jobs.context import JobContext
from detent.jobs.curl import CurlFailed, CurlJob
from detent.jobs.ending import Cancel, Fail, JobEnding, Retry
from detent.jobs.errors import (
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
from detent.jobs.logs import RunFacts, RunLogFilter, current_run
from detent.jobs.options import Consistency, Misfire, Overlap, TaskOptions
from detent.jobs.payload import PAYLOAD_LIMIT, PAYLOAD_MAX
from detent.jobs.placing import Place
from detent.jobs.print import PrintJob
from detent.jobs.registry import DeclaredTask, JobRegistry, RegisteredJob
from detent.jobs.retry import RetryPolicy
from detent.jobs.shell import CommandNotStarted, InvalidCommand, ShellFailed, ShellJob
from detent.jobs.task import Request, Task, TaskState, Then, TriggerSource
from detent.jobs.typed import TypedJob
from detent.triggers import MissingExtra

__all__ = [
    "PAYLOAD_LIMIT",
    "PAYLOAD_MAX",
    "Cancel",
    "CommandNotStarted",
    "Consistency",
    "CurlFailed",
    "CurlJob",
    "DeclaredTask",
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
    "Place",
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
