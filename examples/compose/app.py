"""The program of the Compose example: a cron job in every replica, run at each tick by one of them.

DULY_STORE=postgresql://postgres@localhost/postgres python -P examples/compose/app.py
"""

import os

from duly.jobs import JobContext
from duly.scheduler import Cron


def hello(ctx: JobContext) -> None:
    """Say which tick this is, and who runs it."""
    print(f"hello world! {ctx.fire_time:%H:%M:%S} on {ctx.node}", flush=True)


if __name__ == "__main__":
    Cron().go("example", os.environ.get("CRON", "* * * * *"), hello).run()
