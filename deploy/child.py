"""Stands before each program that supervisor starts: `python -m deploy.child PID_FILE COMMAND...`

When a program is killed, its own children live on without it (a cluster's workers, on old code). Supervisor kills
groups only when it stops them, so the next start ends what the last one left, then becomes the program.
"""

import os
import sys
from pathlib import Path

from deploy.processes import end_group, record

if __name__ == "__main__":
    pid_file, command = Path(sys.argv[1]), sys.argv[2:]
    end_group(pid_file)
    record(pid_file, os.getpid())
    os.execv(command[0], command)  # noqa: S606  # the command is the supervisor's own
