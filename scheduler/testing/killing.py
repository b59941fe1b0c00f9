"""A scheduler, cut off as by a kill."""

from duly.scheduler.std import StdScheduler


async def kill(scheduler: StdScheduler) -> None:
    """Stop a running scheduler as a kill would: nothing more is written, handed back or said; its leases run out.

    For tests of what the other nodes do then, with several schedulers in one process. Jobs in the event loop are
    cancelled and their ends dropped; jobs in threads go on, as no thread can be killed.

    Raises:
        SchedulerClosed: it is not started.

    """
    await scheduler.running_node.kill()
