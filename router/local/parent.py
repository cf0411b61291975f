"""Die with the parent: one kernel request, made by the child before anything else.

Loaded by the gateway's workers too, so nothing heavy is imported here.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

PR_SET_PDEATHSIG = 1
WATCH_EVERY_S = 0.5


def die_with_parent(signum: int = signal.SIGTERM) -> None:
    """Ask for ``signum`` when the parent ends, however it ends.

    On Linux the kernel does it; elsewhere a thread watches. Call it in the child, from its main thread.
    """
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signum)
        # The parent may have ended before the request was made.
        if os.getppid() != parent:
            os.kill(os.getpid(), signum)
        return
    threading.Thread(target=_watch, args=(parent, signum), daemon=True).start()


def _watch(parent: int, signum: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_EVERY_S)
    os.kill(os.getpid(), signum)
