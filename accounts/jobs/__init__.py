"""Work that runs later or repeatedly: the queue, the schedule, one run of a job at a time, and the watchdog."""


def run(name: str, due: str = "") -> str:
    """The rows of the schedule and of the queue name this function. It imports late: most processes run no jobs."""
    from accounts.jobs import running

    return running.run(name, due)
