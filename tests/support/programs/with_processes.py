"""A node with a job in a process.

`with_processes.py idle|stuck|obedient|main FILE`, which the job touches.
"""

import sys
import time
from pathlib import Path

from duly.jobs import JobRegistry, Task
from duly.jobs.context import JobContext
from duly.scheduler import BlockingScheduler
from duly.stores import MemoryStore
from support import remote_jobs
from support.programs import say, stuck


def idle(_: JobContext, task: Task) -> None:
    """Begin, and end."""
    remote_jobs.began(task)


def main(_: JobContext, task: Task) -> None:
    """Tell under which name this module goes."""
    say(__name__)
    remote_jobs.began(task)


def run(job: str, file: Path) -> None:
    """Run the job, and then nothing, for ever."""
    jobs = JobRegistry()
    jobs.job("job", executor="process")({"idle": idle, "main": main}.get(job) or getattr(remote_jobs, job))
    with BlockingScheduler(MemoryStore(), jobs=jobs) as scheduler:
        scheduler.schedule_job("job", "job", payload=bytes(file))
        while not file.exists() or (job == "idle" and scheduler.get_job_slugs()):
            time.sleep(0.01)
        say("began")
        if job != "main":
            stuck()


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]))
