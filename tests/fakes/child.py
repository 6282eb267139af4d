"""Signals to child processes of the test."""

import os
import signal


def pause(pid: int) -> None:
    """SIGSTOP to a child; returns when its last thread has stopped, for until then it may answer."""
    os.kill(pid, signal.SIGSTOP)
    stopped = os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    assert stopped is not None
    assert stopped.si_code == os.CLD_STOPPED, "it ended"
