"""The kinds that a scheduler fetches, beside the kinds of its registered jobs."""

from collections.abc import Callable

from duly.jobs import InvalidValue, JobRegistry, RegisteredJob
from duly.jobs.registered import KnownJobs
from duly.scheduler.errors import SchedulerClosed
from duly.scheduler.executors.fetched.delivery_queue import DeliveryQueue, Subscription
from duly.scheduler.runs.live_runs import LiveRuns
from duly.scheduler.services import Services


class NodeJobs(KnownJobs):
    """The jobs of a registry as one scheduler sees them, with the kinds that it fetches.

    All schedulers of a process may share a registry. A kind that one of them fetches must stay unknown to the others: they
    would lock tasks of it that nobody there reads.
    """

    def __init__(self, shared: JobRegistry) -> None:
        """Begin with the jobs of `shared`, and no fetched kind."""
        self._shared = shared
        self._queues: dict[str, DeliveryQueue] = {}

    def find(self, kind: str) -> RegisteredJob | None:
        """Return the current registration of `kind`, a job's or a delivery queue's; None if there is none."""
        queue = self._queues.get(kind)
        return self._shared.find(kind) if queue is None else queue.registered

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds to lock, without fetched kinds that nobody reads at the moment."""
        return (*self._shared.kinds, *(kind for kind, queue in self._queues.items() if not queue.is_stalled))

    def obstacle(self, kind: str) -> str | None:
        """Say why this node locks no task of `kind` although it knows the kind; None if nothing prevents it."""
        queue = self._queues.get(kind)
        is_stalled = queue is not None and queue.is_stalled
        return "this node locks no more of its kind until somebody reads what it fetches" if is_stalled else None

    @property
    def queues(self) -> tuple[DeliveryQueue, ...]:
        """The delivery queues of all fetched kinds."""
        return tuple(self._queues.values())

    def queue(self, kind: str) -> DeliveryQueue | None:
        """Return the delivery queue of a kind; None if it is not fetched."""
        return self._queues.get(kind)

    def add(self, queue: DeliveryQueue) -> None:
        """Add a delivery queue and its kind.

        Raises:
            InvalidValue: the kind is empty or too long.
            JobAlreadyRegistered: it has a job.

        """
        self._shared.reserve(queue.kind)
        self._queues = {**self._queues, queue.kind: queue}

    def remove(self, queue: DeliveryQueue) -> None:
        """Remove a delivery queue and its kind."""
        if self._queues.get(queue.kind) is queue:
            self._queues = {kind: each for kind, each in self._queues.items() if each is not queue}
            self._shared.release(queue.kind)


class Subscriptions:
    """All subscriptions of one scheduler; used in its event loop only."""

    def __init__(self, known: NodeJobs, services: Services) -> None:
        """Begin with none."""
        self._known, self._services = known, services
        self._is_ending = False

    def open(self, kind: str, max_in_flight: int, runs: LiveRuns, ring: Callable[[], None]) -> Subscription:
        """Return a new subscription to a kind; `runs` are the node's.

        `ring` is called when the node should check again what is due.

        Raises:
            SchedulerClosed: the node is stopping.
            JobAlreadyRegistered: the kind has a job.
            InvalidValue: the kind is empty or too long, or `max_in_flight` is less than 1.

        """
        if self._is_ending:
            raise SchedulerClosed
        if not isinstance(max_in_flight, int) or isinstance(max_in_flight, bool) or max_in_flight < 1:
            raise InvalidValue("max_in_flight", max_in_flight, "an integer of 1 or more")
        if (queue := self._known.queue(kind)) is None:
            services = self._services
            queue = DeliveryQueue(kind, runs, services.clock, services.config.lease, lambda changed: self._changed(changed, ring))
            self._known.add(queue)
        return queue.subscribe(max_in_flight)

    def _changed(self, queue: DeliveryQueue, ring: Callable[[], None]) -> None:
        """Forget a kind without subscriptions, so that other nodes get its tasks; then check what is due."""
        if not queue.subscriptions:
            self._known.remove(queue)
        ring()

    def end(self) -> None:
        """Hand back what nobody has read, and end every iteration.

        What was read may be acknowledged as long as the node drains.
        """
        self._is_ending = True
        for queue in self._known.queues:
            queue.stop_reading()

    def clear(self) -> None:
        """End and forget every subscription, because the node has stopped."""
        for queue in self._known.queues:
            queue.close()
        self._is_ending = False
