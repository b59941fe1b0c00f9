"""What can go wrong between a node and its store."""

from datetime import datetime, timedelta

from duly.triggers import DulyError


class StoreError(DulyError):
    """A store could not do what was asked."""


class JobNotFound(StoreError, LookupError):
    """No task with that slug in this namespace."""

    slug: str
    """Slug that was looked for."""
    namespace: str
    """Namespace that was looked in."""

    def __init__(self, slug: str, namespace: str) -> None:
        """Name the slug and the namespace that was looked in."""
        super().__init__(f"no task {slug!r} in namespace {namespace!r}")
        self.slug, self.namespace = slug, namespace


class UnreadableTask(StoreError):
    """The task is there, but this version of duly cannot read its row.

    A later version or a person wrote it.

    It is left as it is, for a node that can read it. To be rid of it, delete it by its slug.
    """

    slug: str
    """Slug of the task."""
    reason: str
    """What cannot be read, and why."""

    def __init__(self, slug: str, reason: str) -> None:
        """Name the task, and what cannot be read."""
        super().__init__(f"task {slug!r} cannot be read by this version of duly: {reason}")
        self.slug, self.reason = slug, reason


class JobAlreadyScheduled(StoreError, ValueError):
    """Tasks with these slugs exist, and are under way; nothing was written."""

    slugs: tuple[str, ...]
    """Slugs that were taken, in the order given."""

    def __init__(self, slugs: tuple[str, ...]) -> None:
        """Name every slug that was taken."""
        super().__init__(f"scheduled already: {', '.join(map(repr, slugs))}; pass if_exists='keep' or 'replace' to allow that")
        self.slugs = slugs


class LockLost(StoreError):
    """Another node locked the task, or somebody deleted it, before this write of its former holder."""

    slug: str
    """Slug of the task."""
    lease_id: str
    """Lease that is no longer held."""

    def __init__(self, slug: str, lease_id: str) -> None:
        """Name the task and the lease that is no longer held."""
        super().__init__(f"task {slug!r}: lease {lease_id} is no longer held")
        self.slug, self.lease_id = slug, lease_id


class Conflict(StoreError):
    """The task was changed after the version that this edit was made on: read it again, and decide again."""

    slug: str
    """Slug of the task."""
    version: int
    """Version that the edit was made on."""

    def __init__(self, slug: str, version: int) -> None:
        """Name the task and the version that the edit was made on."""
        super().__init__(f"task {slug!r}: version {version} is no longer the newest")
        self.slug, self.version = slug, version


class ClockSkew(StoreError):
    """A node's time is ahead of the store's by more than is allowed; nothing was locked or written."""

    now: datetime
    """Time of the caller."""
    store_now: datetime
    """Time of the store's clock."""
    limit: timedelta
    """How far `now` may be ahead."""

    def __init__(self, now: datetime, store_now: datetime, limit: timedelta) -> None:
        """Give both times and the limit."""
        super().__init__(f"now {now.isoformat()} is {now - store_now} ahead of the store's clock: expected at most {limit}")
        self.now, self.store_now, self.limit = now, store_now, limit


class StoreClosed(StoreError):
    """The store was used before it was opened or after it was closed."""

    store: str
    """Class of the store."""

    def __init__(self, store: str) -> None:
        """Name the store."""
        super().__init__(
            f"{store} is not open: use it inside 'async with', or between open() and close(); a scheduler opens its store when it starts"
        )
        self.store = store


class StoreUnavailable(StoreError):
    """The store did not answer, or not in time; what was asked may have happened.

    The driver's error is the cause.
    """

    retryable = True


class Unsupported(StoreError):
    """What was asked is beyond this store, though others can do it; nothing was read or written."""

    store: str
    """Class of the store."""
    what: str
    """What it cannot do, as the end of a sentence."""
    instead: str
    """What does as well."""

    def __init__(self, store: str, what: str, instead: str) -> None:
        """Name the store, what it cannot do, and what does as well."""
        super().__init__(f"{store} cannot {what}: {instead}")
        self.store, self.what, self.instead = store, what, instead


class InvalidStoreURL(StoreError, ValueError):
    """A store URL that names no store."""

    url: str
    """The URL, with its password hidden."""
    expected: str
    """What was expected of it."""

    def __init__(self, url: str, expected: str) -> None:
        """Show the URL (its password hidden by the caller) and what was expected."""
        super().__init__(f"store URL {url!r}: expected {expected}")
        self.url, self.expected = url, expected


class SchemaMismatch(StoreError):
    """The store's schema is newer than this version of duly can serve."""

    found: int
    """Version of the schema in the store."""
    known: int
    """Newest version that this duly knows."""

    def __init__(self, found: int, known: int) -> None:
        """Give the schema's version and the newest known here."""
        super().__init__(f"the store's schema is version {found}, this duly knows up to {known}: upgrade duly on this node")
        self.found, self.known = found, known
