"""Which kinds a scheduler fetches, beside the jobs that it has registered."""

from collections.abc import Callable

from duly.jobs import InvalidValue, JobRegistry, RegisteredJob
from duly.jobs.registered import KnownJobs
from duly.scheduler.errors import SchedulerClosed
from duly.scheduler.executors.fetched.delivery_queue import DeliveryQueue, Subscription
from duly.scheduler.runs.live_runs import LiveRuns
from duly.scheduler.services import Services


class NodeJobs(KnownJobs):
    """The jobs of an application as one of its schedulers sees them: with the kinds that are fetched there.

    A registry is shared by all schedulers of a process. A kind that one of them fetches is none of the others' business: what
    they locked of it, nobody there would read.
    """

    def __init__(self, shared: JobRegistry) -> None:
        """Add nothing to `shared` yet."""
        self._shared = shared
        self._queues: dict[str, DeliveryQueue] = {}

    def find(self, kind: str) -> RegisteredJob | None:
        """Return what is registered under `kind`, or hands its tasks out, at this moment."""
        queue = self._queues.get(kind)
        return self._shared.find(kind) if queue is None else queue.registered

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds to lock; one that nobody reads just now is not among them."""
        return (*self._shared.kinds, *(kind for kind, queue in self._queues.items() if not queue.is_stalled))

    def obstacle(self, kind: str) -> str | None:
        """Say why no task of `kind` is locked here, although the kind is known; None if nothing keeps it from that."""
        queue = self._queues.get(kind)
        is_stalled = queue is not None and queue.is_stalled
        return "this node locks no more of its kind until somebody reads what it fetches" if is_stalled else None

    @property
    def queues(self) -> tuple[DeliveryQueue, ...]:
        """The delivery queues of the kinds that are fetched."""
        return tuple(self._queues.values())

    def queue(self, kind: str) -> DeliveryQueue | None:
        """Return the delivery queue of a kind, if it is fetched."""
        return self._queues.get(kind)

    def add(self, queue: DeliveryQueue) -> None:
        """Know the kind of a queue.

        Raises:
            InvalidValue: the kind is empty or too long.
            JobAlreadyRegistered: it has a job.

        """
        self._shared.reserve(queue.kind)
        self._queues = {**self._queues, queue.kind: queue}

    def remove(self, queue: DeliveryQueue) -> None:
        """Know it no more."""
        if self._queues.get(queue.kind) is queue:
            self._queues = {kind: each for kind, each in self._queues.items() if each is not queue}
            self._shared.release(queue.kind)


class Subscriptions:
    """All subscriptions of one scheduler; in its event loop only."""

    def __init__(self, known: NodeJobs, services: Services) -> None:
        """Begin with none."""
        self._known, self._services = known, services
        self._is_ending = False

    def open(self, kind: str, max_in_flight: int, runs: LiveRuns, ring: Callable[[], None]) -> Subscription:
        """Return a new subscription to a kind; `runs` are the node's, and `ring` lets it look what is due.

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
        """Let other nodes have the tasks of a kind that nobody fetches any more; else look what is due."""
        if not queue.subscriptions:
            self._known.remove(queue)
        ring()

    def end(self) -> None:
        """Hand back what nobody has read; every iteration ends. What was read may be acknowledged for as long as the node drains."""
        self._is_ending = True
        for queue in self._known.queues:
            queue.stop_reading()

    def clear(self) -> None:
        """Forget every subscription: the node has stopped."""
        for queue in self._known.queues:
            queue.close()
        self._is_ending = False
