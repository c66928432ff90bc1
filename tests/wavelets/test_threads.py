"""Work spread over threads: nothing twice, nothing left out, errors, callers at once, nested and forked."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import wavelets
from wavelets import DualTreePackets1D, DualTreePackets2D
from wavelets.engine import threads
from wavelets.engine.threads import PIECES, at_most, over_batch, over_parts

PATIENCE = 60  # seconds before something counts as stuck


@pytest.fixture(autouse=True)
def default_threads():
    yield
    wavelets.set_num_threads(None)


# ---- the spreading --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_every_index_is_worked_on_once(threads):
    wavelets.set_num_threads(threads)
    for count in [*range(35), 100, 1001]:
        parts = []  # appending is atomic
        over_batch(parts.append, count)
        assert all(part.start < part.stop and part.step is None for part in parts)
        assert sorted(i for part in parts for i in range(part.start, part.stop)) == list(range(count))
        assert len(parts) == min(count, 1 if threads == 1 else PIECES * threads)
        for most in (1, 3, 16, 2000):
            parts = []
            over_parts(lambda begin, end, parts=parts: parts.append((begin, end)), count, most)
            assert all(0 < end - begin <= most for begin, end in parts)
            assert sorted(i for part in parts for i in range(*part)) == list(range(count))


@pytest.mark.parametrize("unit", [2, 5, 40])
def test_slices_are_whole_units(unit):
    wavelets.set_num_threads(3)
    for count in [*range(20), 101]:
        parts = []
        over_batch(parts.append, count, unit)
        parts.sort(key=lambda part: part.start)
        assert [i for part in parts for i in range(part.start, part.stop)] == list(range(count))
        assert all(part.start < part.stop and part.start % unit == 0 for part in parts)


def test_all_threads_take_part():
    wavelets.set_num_threads(3)
    everyone = threading.Barrier(3, timeout=PATIENCE)
    names = set()

    def work(part):
        everyone.wait()
        names.add(threading.current_thread().name)

    over_batch(work, 3)
    assert len(names) == 3 and threading.current_thread().name in names
    assert sum(name.startswith("wavelets") for name in names) == 2


@pytest.mark.parametrize("in_caller", [True, False])
def test_an_error_comes_out_once_all_parts_have_stopped(in_caller):
    wavelets.set_num_threads(3)
    everyone = threading.Barrier(3, timeout=PATIENCE)
    caller = threading.current_thread()
    begun, ended = [], []

    def work(part):
        begun.append(part)
        everyone.wait()
        if (threading.current_thread() is caller) == in_caller:
            raise ArithmeticError("part of the work")
        time.sleep(0.05)
        ended.append(part)

    with pytest.raises(ArithmeticError, match="part of the work"):
        over_batch(work, 3)
    assert len(begun) == 3 and len(ended) == (2 if in_caller else 1)
    parts = []
    over_batch(parts.append, 9)  # and the threads are there for the next
    assert len(parts) == 9


def test_nobody_goes_on_after_several_interruptions(monkeypatch):
    wavelets.set_num_threads(2)
    caller, wait, interruptions = threading.current_thread(), threads.wait, iter([KeyboardInterrupt] * 2)
    both, ended = threading.Barrier(2, timeout=PATIENCE), []

    def work(part):
        both.wait()
        if threading.current_thread() is caller:
            raise KeyboardInterrupt
        time.sleep(0.05)
        ended.append(part)

    def interrupted(started):
        if interruption := next(interruptions, None):
            raise interruption
        return wait(started)

    monkeypatch.setattr(threads, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        over_batch(work, 2)
    assert len(ended) == 1


def test_after_an_error_no_part_is_begun():
    wavelets.set_num_threads(2)
    begun = []

    def work(part):
        begun.append(part)
        time.sleep(0.02)
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        over_batch(work, 100)
    assert len(begun) <= 2 < PIECES * 2


def test_a_small_call_does_not_wait_for_the_large_one_of_another_thread():
    wavelets.set_num_threads(2)
    go_on, occupied = threading.Event(), threading.Barrier(3, timeout=PATIENCE)
    ended = []

    def long_work(part):
        occupied.wait()
        go_on.wait(PATIENCE)
        ended.append(part)

    other = threading.Thread(target=over_batch, args=(long_work, 2))
    other.start()
    occupied.wait()  # the caller and the pool's only thread are in it
    parts = []
    over_batch(parts.append, 8)
    assert not ended and sum(part.stop - part.start for part in parts) == 8
    go_on.set()
    other.join(PATIENCE)


def test_amounts_of_work_do_not_multiply_threads():
    wavelets.set_num_threads(6)
    before = set(threading.enumerate())
    for count in range(2, 9):
        over_batch(lambda part: time.sleep(0.001), count)
    assert len(set(threading.enumerate()) - before) <= 5


def test_pools_of_other_numbers_are_closed():
    before = set(threading.enumerate())
    for count in (3, 5, 2, 4):
        wavelets.set_num_threads(count)
        over_batch(lambda part: time.sleep(0.001), 20)
    deadline = time.monotonic() + PATIENCE
    while len(left := set(threading.enumerate()) - before) > 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(left) <= 3


def test_a_thread_may_be_limited_and_others_are_not():
    wavelets.set_num_threads(4)
    with at_most(2):
        assert wavelets.get_num_threads() == 2
        with at_most(3):
            assert wavelets.get_num_threads() == 2
        other = []
        thread = threading.Thread(target=lambda: other.append(wavelets.get_num_threads()))
        thread.start()
        thread.join()
        assert other == [4]
    assert wavelets.get_num_threads() == 4
    with at_most(1):
        names = set()
        over_batch(lambda part: names.add(threading.current_thread().name), 20)
        assert names == {threading.current_thread().name}
    with pytest.raises(ArithmeticError), at_most(1):
        raise ArithmeticError
    assert wavelets.get_num_threads() == 4


@pytest.mark.parametrize("started", [0, 1, 2])
def test_where_no_thread_can_be_had_the_others_do_the_work(monkeypatch, started):
    wavelets.set_num_threads(4)
    before = set(threading.enumerate())
    start = threading.Thread.start

    def refuse(thread):
        if len(set(threading.enumerate()) - before) >= started:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threads, "_pools", {})
    monkeypatch.setattr(threading.Thread, "start", refuse)
    for _ in range(20):
        parts, ended = [], []

        def work(part, parts=parts, ended=ended):
            parts.append(part)
            time.sleep(0.001)
            ended.append(part)

        over_batch(work, 20)
        assert len(ended) == len(parts)  # nobody goes on
        assert sorted(i for part in parts for i in range(part.start, part.stop)) == list(range(20))
    for pool in threads._pools.values():
        pool.shutdown()


class Cores:
    """Cores of a machine that is not there: which the caller is on, and what the system is asked for."""

    def __init__(self, monkeypatch, cores, refused=False):
        self.here, self.cores, self.asked, self.refused = 0, cores, [], refused
        monkeypatch.setattr(threads, "_pools", {})
        monkeypatch.setattr(threads, "_places", {})
        monkeypatch.setattr(threads, "_caller", None)
        monkeypatch.setattr(threads, "_core", lambda: self.here)
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(self.cores), raising=False)
        monkeypatch.setattr(os, "sched_setaffinity", self.ask, raising=False)

    def ask(self, thread, cores):
        self.asked.append((thread, cores))
        if self.refused:
            raise PermissionError

    def call(self, core):
        """Spread work from a core, and return what was asked of the system meanwhile."""
        self.here, self.asked = core, []
        everyone = threading.Barrier(3, timeout=PATIENCE)
        over_batch(lambda part: everyone.wait(), 3)
        return self.asked


def test_threads_keep_off_the_core_of_the_caller(monkeypatch):
    wavelets.set_num_threads(3)
    machine = Cores(monkeypatch, {0, 1, 5})
    asked = machine.call(0)  # the first call, which starts the threads
    assert [cores for _, cores in asked] == [{1, 5}] * 2
    members = {thread for thread, _ in asked}
    assert len(members) == 2 and threading.get_native_id() not in members
    assert machine.call(0) == []  # nothing new
    assert {thread for thread, _ in machine.call(5)} == members and machine.asked[0][1] == {0, 1}
    machine.cores = {0, 5}  # the caller's mask is another
    assert [cores for _, cores in machine.call(5)] == [{0}] * 2
    for pool in threads._pools.values():
        pool.shutdown()
    threads._pools.clear()
    machine.call(0)
    living = {thread.native_id for thread in threads._places if thread.is_alive()}
    assert {thread for thread, _ in machine.call(5)} == living  # and not the numbers of those that ended


def test_threads_are_left_alone_where_the_core_of_the_caller_is_not_known(monkeypatch):
    wavelets.set_num_threads(3)
    machine = Cores(monkeypatch, {0, 1})
    assert machine.call(7) == machine.call(7) == []


def test_threads_stay_on_the_cores_of_a_caller_that_has_but_one(monkeypatch):
    wavelets.set_num_threads(3)
    machine = Cores(monkeypatch, {0, 1, 2})
    machine.call(2)
    machine.cores = {2}
    assert [cores for _, cores in machine.call(2)] == [{2}] * 2 and machine.call(2) == []


def test_a_system_that_refuses_is_asked_once(monkeypatch):
    wavelets.set_num_threads(3)
    machine = Cores(monkeypatch, {0, 1}, refused=True)
    assert len(machine.call(0)) == 2 and machine.call(0) == []


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no masks of cores on this system")
def test_the_caller_keeps_its_cores():
    wavelets.set_num_threads(2)
    before = os.sched_getaffinity(0)
    for _ in range(3):
        over_batch(lambda part: time.sleep(0.001), 8)
    assert os.sched_getaffinity(0) == before


LATE = """
import atexit, sys, threading, time
import numpy as np
import wavelets
from wavelets.engine.threads import over_batch

wavelets.set_num_threads(3)
def work():
    parts = []
    over_batch(parts.append, 12)
    assert sorted(i for part in parts for i in range(part.start, part.stop)) == list(range(12))
    print("done", flush=True)
"""

ENDS = {
    "atexit": "atexit.register(work)",
    "atexit, with threads waiting": "work(); atexit.register(work)",
    "main thread over": """
def late():
    threading.main_thread().join()
    time.sleep(0.1)
    work()
threading.Thread(target=late).start()
""",
    "a transform": """
t = wavelets.DualTreePackets1D(1, "cf_1_1")
expected = t.forward(np.ones((4, 8)))
def late():
    np.testing.assert_array_equal(t.forward(np.ones((4, 8))), expected)
    np.testing.assert_allclose(t.inverse(expected), 1)
    print("done", flush=True)
atexit.register(late)
""",
}


@pytest.mark.parametrize("end", ENDS)
def test_work_is_done_while_the_interpreter_ends(end):
    code = [sys.executable, "-c", LATE + ENDS[end]]
    result = subprocess.run(code, capture_output=True, text=True, timeout=PATIENCE)
    assert result.stderr == "" and result.stdout.split() == ["done"] * (2 if "waiting" in end else 1)


def test_the_environment_says_how_many(monkeypatch):
    monkeypatch.setenv("NUMBA_NUM_THREADS", " 5 ")
    assert wavelets.get_num_threads() == 5
    wavelets.set_num_threads(2)
    assert wavelets.get_num_threads() == 2
    wavelets.set_num_threads(None)
    for wrong in ("0", "many", "-1"):
        monkeypatch.setenv("NUMBA_NUM_THREADS", wrong)
        with pytest.raises(ValueError, match=f"NUMBA_NUM_THREADS is '{wrong}'"):
            wavelets.get_num_threads()
    monkeypatch.delenv("NUMBA_NUM_THREADS")
    assert 1 <= wavelets.get_num_threads() <= os.cpu_count()


# ---- callers --------------------------------------------------------------------------------------------------------

NESTED = """
import threading
import wavelets
from wavelets.engine.threads import over_batch

wavelets.set_num_threads(3)
everyone = threading.Barrier(3, timeout=30)
seen = []

def work(part):
    everyone.wait()  # all threads have some: none is free for what follows
    over_batch(lambda inner: seen.extend((part.start, i) for i in range(inner.start, inner.stop)), 20)

over_batch(work, 3)
assert sorted(seen) == [(n, i) for n in range(3) for i in range(20)]
"""


def test_work_may_spread_work():
    subprocess.run([sys.executable, "-c", NESTED], check=True, timeout=PATIENCE)  # a process that can be stopped


def test_python_threads_may_call_at_once():
    x = np.random.default_rng(1).random((7, 64, 64))
    t = DualTreePackets2D(3)
    wavelets.set_num_threads(1)
    serial = [t.forward(image) for image in x]
    back = t.inverse(serial[0])
    wavelets.set_num_threads(3)
    results = [None] * 4

    def work(slot):
        c = [t.forward(x[slot:]) for _ in range(5)][-1]
        results[slot] = c, t.inverse(c)

    workers = [threading.Thread(target=work, args=(slot,)) for slot in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for slot, (c, images) in enumerate(results):
        np.testing.assert_allclose(c, serial[slot:], rtol=0, atol=1e-13)
        np.testing.assert_allclose(images, x[slot:], rtol=0, atol=1e-13)
    np.testing.assert_allclose(back, x[0], rtol=0, atol=1e-13)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12: a process with threads is forked
def test_a_forked_child_starts_its_own_threads():
    wavelets.set_num_threads(3)
    two, one = DualTreePackets2D(1), DualTreePackets1D(1)
    x = np.random.default_rng(2).random((4, 6, 5))
    expected = two.forward(x), one.forward(x)  # the parent's threads run now

    def work():
        np.testing.assert_array_equal(two.forward(x), expected[0])
        np.testing.assert_array_equal(one.forward(x), expected[1])
        np.testing.assert_allclose(two.inverse(expected[0]), x, rtol=0, atol=1e-12)

    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join(PATIENCE)
    stuck = child.is_alive()
    if stuck:
        child.kill()
        child.join()
    assert not stuck and child.exitcode == 0
    work()
