"""What runs later and again: the queue, the schedule, one run of a job at a time, and the watch over the workers."""


def run(name: str, due: str = "") -> str:
    """What the rows of the schedule, and of the queue, name. Loaded late: most who put work into the queue run none."""
    from accounts.jobs import running

    return running.run(name, due)
