"""The services that every loop of a node uses."""

from attrs import frozen

from duly.jobs.registered import KnownJobs
from duly.scheduler.clock import StoreClock
from duly.scheduler.config import SchedulerConfig
from duly.scheduler.events.events import Event
from duly.scheduler.events.publishing import Events
from duly.stores import JobStore


@frozen(kw_only=True, eq=False)
class Services:
    """A node's store, registry, clock, events and settings."""

    store: JobStore
    registry: KnownJobs
    clock: StoreClock
    events: Events
    config: SchedulerConfig

    @property
    def node(self) -> str:
        """The node's name."""
        return self.config.node

    def publish(self, event: Event) -> None:
        """Publish an event to all subscribers of this node."""
        self.events.publish(event)
