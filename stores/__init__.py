"""What and when, kept: the store protocol, the values that pass through it, and the store in memory."""

from duly.stores.base import BaseStore, JobStore
from duly.stores.encrypted import EncryptedStore, Reencryption
from duly.stores.errors import (
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
    UnreadableTask,
    Unsupported,
)
from duly.stores.memory.store import MemoryStore
from duly.stores.nop import NopStore
from duly.stores.queries import Page, RunQuery, TaskQuery
from duly.stores.records import (
    Exchange,
    Extended,
    Held,
    IfExists,
    Kept,
    LockRequest,
    Node,
    Outcome,
    Refused,
    Run,
    RunStatus,
    Unreadable,
)
from duly.stores.url import open_store
from duly.stores.wrapped import WrappedStore
from duly.triggers.exports import name_exports

__all__ = [
    "BaseStore",
    "ClockSkew",
    "Conflict",
    "EncryptedStore",
    "Exchange",
    "Extended",
    "Held",
    "IfExists",
    "InvalidStoreURL",
    "JobAlreadyScheduled",
    "JobNotFound",
    "JobStore",
    "Kept",
    "LockLost",
    "LockRequest",
    "MemoryStore",
    "Node",
    "NopStore",
    "Outcome",
    "Page",
    "Reencryption",
    "Refused",
    "Run",
    "RunQuery",
    "RunStatus",
    "SchemaMismatch",
    "StoreClosed",
    "StoreError",
    "StoreUnavailable",
    "TaskQuery",
    "Unreadable",
    "UnreadableTask",
    "Unsupported",
    "WrappedStore",
    "open_store",
]

name_exports(__name__)
