"""Ending a process whose threads can't all be told to end."""

import logging
import os
import sys
import threading


def leave(code: int) -> None:
    """End this process here and now with `code` if a daemon thread still runs; else return, for Python to end it.

    A thread that waits in a camera's driver for a picture can't be interrupted, and comes back while Python takes
    itself apart. Python (up to 3.13) then ends it in the middle of C++ code, which aborts the process: to systemd and
    to a nucleus a crash, after all was done well. So nothing may be left to do when this is called.
    """
    if any(thread.daemon for thread in threading.enumerate()):
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
