"""Be a node of a fleet until a signal comes.

`node.py NAME URL NAMESPACE LEASE GRACE CONCURRENCY`, in seconds; see `support.fleet`.
"""

import asyncio
import sys
from datetime import timedelta

from duly.scheduler import StdScheduler
from duly.stores import open_store
from support.fleet import make_jobs
from support.programs import end_with_the_test

NAME, URL, NAMESPACE, LEASE, GRACE, CONCURRENCY = sys.argv[1:]

end_with_the_test()
scheduler = StdScheduler(
    open_store(URL, namespace=NAMESPACE),
    jobs=make_jobs(),
    node=NAME,
    lease=timedelta(seconds=float(LEASE)),
    grace=timedelta(seconds=float(GRACE)),
    concurrency=int(CONCURRENCY),
)
asyncio.run(scheduler.run())
