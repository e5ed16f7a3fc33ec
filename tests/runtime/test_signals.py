import os
import signal
import threading

import pytest

from jaxgan.runtime.signals import Interrupted, graceful_signals


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_a_request_and_the_second_is_not_caught(signum):
    before = signal.getsignal(signum)
    with graceful_signals() as stop:
        assert stop() is None
        os.kill(os.getpid(), signum)
        assert stop() == signum
        assert signal.getsignal(signum) is before
    assert signal.getsignal(signum) is before


def test_outside_of_the_main_thread_nothing_is_caught():
    found = []

    def body():
        with graceful_signals() as stop:
            found.append(stop())

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert found == [None]


def test_an_interruption_says_by_what_and_where():
    assert str(Interrupted(signal.SIGTERM, 937)) == "stopped by SIGTERM after step 937"
