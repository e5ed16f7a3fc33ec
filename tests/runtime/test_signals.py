import gc
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from jaxgan.runtime.signals import SIGNALS, Interrupted, exit_on_signals, graceful_signals

STUCK = """
import sys, threading, time
from jaxgan.runtime.signals import exit_on_signals, graceful_signals
with exit_on_signals("toy"), graceful_signals() as stop:
    print("ready", flush=True)
    while not stop():
        time.sleep(0.01)
    print("asked", flush=True)
    try:
        threading.Event().wait()  # as for a disk that does not answer
    finally:
        threading.Event().wait()
"""


@pytest.mark.parametrize("signum", SIGNALS)
def test_the_first_signal_is_a_request_and_the_second_is_not_caught(signum):
    before = signal.getsignal(signum)
    with graceful_signals() as stop:
        assert stop() is None
        os.kill(os.getpid(), signum)
        assert stop() == signum
        assert signal.getsignal(signum) is before
    assert signal.getsignal(signum) is before


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_command_leaves_its_second_signal_to_the_system(signum):
    before = signal.getsignal(signum)
    with exit_on_signals("toy"), graceful_signals() as stop:
        os.kill(os.getpid(), signum)
        assert stop() == signum
        assert {signal.getsignal(each) for each in SIGNALS} == {signal.SIG_DFL}
    assert signal.getsignal(signum) is before


@pytest.mark.parametrize(("first", "second"), [(signal.SIGTERM, signal.SIGTERM), (signal.SIGHUP, signal.SIGINT)])
def test_a_second_signal_ends_a_command_that_waits_for_ever(first, second):
    process = subprocess.Popen([sys.executable, "-c", STUCK], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(first)
    assert process.stdout.readline() == "asked\n"
    began = time.monotonic()
    process.send_signal(second)
    assert process.wait(timeout=30) == -second
    assert time.monotonic() - began < 5
    process.stdout.close()


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_before_it_trains_a_command_ends_in_one_line(signum, code, capsys):
    with pytest.raises(SystemExit) as stopped, exit_on_signals("toy"):
        signal.raise_signal(signum)
    assert stopped.value.code == code
    assert capsys.readouterr().err == "toy: error: terminated\n"


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with exit_on_signals("toy"), graceful_signals() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop() is None
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


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


@pytest.mark.parametrize(
    ("signum", "ending"),
    [(signal.SIGTERM, SystemExit), pytest.param(signal.SIGINT, KeyboardInterrupt, marks=pytest.mark.exhaustive)],
)
@pytest.mark.slow
def test_a_signal_that_comes_during_garbage_collection_ends_a_command(signum, ending, capsys):
    def collected(phase, info):  # Python drops what is raised here; JAX has such a callback
        gc.callbacks.remove(collected)
        signal.raise_signal(signum)

    def collect():
        gc.callbacks.append(collected)
        gc.collect()
        time.sleep(5)

    with pytest.raises(ending), exit_on_signals("toy"):
        collect()
    assert capsys.readouterr().err == ("toy: error: terminated\n" if signum == signal.SIGTERM else "")
