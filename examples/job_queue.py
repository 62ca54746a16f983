"""A queue of typed jobs, first in, first out, that loses none: what a worker takes lies in its own list until it is done.

python examples/job_queue.py [URL]
"""

import sys
import threading

from pydantic import BaseModel

from redisorm import RedisList, connect


class Job(BaseModel):
    id: int
    picture: str


def work(name: str, crash_at: int | None = None) -> None:
    queue, working, done = RedisList[Job]("queue:jobs"), RedisList[Job](f"working:{name}"), RedisList[str]("done")
    while (job := queue.move(working, timeout=0.5)) is not None:  # BLMOVE: the job is in one of the two lists at any time
        if job.id == crash_at:
            print(f"{name} crashes at job {job.id}")
            return
        done.push(f"{name} painted {job.picture}")
        working.remove(job)


with connect(sys.argv[1] if len(sys.argv) > 1 else "embedded://") as db:
    queue, done = RedisList[Job]("queue:jobs"), RedisList[str]("done")
    queue.push(*(Job(id=number, picture=f"picture {number}") for number in range(1, 7)))
    print(len(queue), "jobs, the first is", queue[0])

    workers = [threading.Thread(target=work, args=("Ann",)), threading.Thread(target=work, args=("Bob", 4))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    left = RedisList[Job]("working:Bob")
    while left.move(queue) is not None:  # whoever looks after the workers gives back what a crashed one had taken
        print("job", queue[-1].id, "is given back")
    work("Ann")

    print(*done, sep="\n")
    assert sorted(line.rpartition(" ")[2] for line in done) == list("123456")
    assert not queue
    assert not left
