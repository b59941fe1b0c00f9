"""Stop a scheduler in a test as a kill would."""

from duly.scheduler.std import StdScheduler


async def kill(scheduler: StdScheduler) -> None:
    """Stop a running scheduler as a kill would: it writes nothing more, and its leases run out.

    It hands back and announces nothing. With several schedulers in one process, a test can check what the other nodes do.
    Jobs in the event loop are
    cancelled, and their outcomes are dropped. Jobs in threads go on, because no thread can be killed.

    Raises:
        SchedulerClosed: it is not started.

    """
    await scheduler.running_node.kill()
