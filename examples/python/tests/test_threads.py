"""Threads, the GIL, Control-C, processes."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import pycambium as pc


def long_walk() -> None:
    boundary = np.random.default_rng(0).random((120, 160), np.float32)
    transition = pc.make_transition(pc.path_affinity(boundary))
    pc.random_walk(np.ones((8, 120, 160), np.float32), transition, steps=1_000_000, threads=1)


def long_crf() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (600, 800, 3), np.uint8)
    unary = rng.random((21, 600, 800), np.float32)
    pc.dense_crf(image, unary, iterations=100_000, threads=1)


def long_components() -> None:
    # One call takes less than a second: it is repeated, as a script would.
    mask = (np.random.default_rng(0).random((6000, 6000)) < 0.5).astype(np.uint8)
    while True:
        pc.connected(mask, threads=1)


def long_irnet() -> None:
    rng = np.random.default_rng(0)
    cams = rng.random((8, 250, 250), np.float32)
    boundary = rng.random((250, 250), np.float32)
    pc.irnet(cams, list(range(8)), boundary, (1000, 1000), exp_times=20, threads=1)


LONG = {
    "random_walk": long_walk,
    "dense_crf": long_crf,
    "connected": long_components,
    "irnet": long_irnet,
}


@pytest.mark.parametrize("name", LONG)
def test_control_c_ends_a_long_call(name):
    assert hasattr(pc, name)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    sent: list[float] = []

    def send() -> None:
        sent.append(time.process_time())  # not the clock's: the machine may be busy with other work
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(1.5, send)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            LONG[name]()
        assert time.process_time() - sent[0] < 1
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, before)
    # The next call is not ended by the old signal.
    assert pc.path_affinity(np.zeros((3, 3), np.float32), radius=1).shape[1:] == (3, 3)


def test_the_exception_of_a_signal_s_handler_is_raised():
    class Alarm(Exception):
        pass

    def ring(*_: object) -> None:
        raise Alarm("now")

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(Alarm, match="now"):
            long_walk()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_python_thread_runs_on_during_a_call():
    boundary = np.random.default_rng(0).random((150, 200), np.float32)
    transition = pc.make_transition(pc.path_affinity(boundary))
    seeds = np.ones((4, 150, 200), np.float32)
    counted = 0
    done = threading.Event()

    def count() -> None:
        nonlocal counted
        while not done.wait(0.001):
            counted += 1

    counter = threading.Thread(target=count)
    counter.start()
    began = time.monotonic()
    at_start = counted
    pc.random_walk(seeds, transition, steps=2000, threads=1)
    took = time.monotonic() - began
    during = counted - at_start
    done.set()
    counter.join()
    assert took > 0.2, "the call is too short to tell"
    assert during > 20, f"the other thread ran {during} times in {took:.2f} s"


def work(seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    boundary = rng.random((40, 50), np.float32)
    transition = pc.make_transition(
        pc.path_affinity(boundary, radius=3, threads=2), radius=3, threads=2
    )
    walked = pc.random_walk(rng.random((3, 40, 50), np.float32), transition, steps=20, threads=2)
    mask = (rng.random((60, 70)) < 0.6).astype(np.uint8)
    return [walked, np.asarray(pc.connected(mask, threads=2).label)]


def test_python_threads_that_call_at_once_get_what_one_gets():
    alone = [work(seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            for one, other in zip(alone, pool.map(work, range(8))):
                for a, b in zip(one, other):
                    np.testing.assert_array_equal(a, b)


def test_two_threads_may_share_one_transition():
    boundary = np.random.default_rng(0).random((40, 50), np.float32)
    transition = pc.make_transition(pc.path_affinity(boundary))
    seeds = np.random.default_rng(1).random((2, 40, 50), np.float32)
    expected = pc.random_walk(seeds, transition, steps=30)
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(
            lambda _: pc.random_walk(seeds, transition, steps=30, threads=2), range(16)
        ):
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_process_pool_works_after_a_call(start, tmp_path):
    """A data loader forks. Threads do not survive that, so the child starts its own."""
    code = f"""
import multiprocessing as mp
import os
import numpy as np
import pycambium as pc

def work(seed):
    b = np.random.default_rng(seed).random((64, 64), np.float32)
    return float(pc.path_affinity(b, threads=2).sum())

def threads(seed):
    work(seed)
    return len(os.listdir("/proc/self/task"))

if __name__ == "__main__":
    alone = [work(i) for i in range(4)]
    with mp.get_context({start!r}).Pool(2) as pool:
        print(pool.map(work, range(4)) == alone, min(pool.map(threads, range(4))) > 1)
"""
    script = tmp_path / "pool.py"
    script.write_text(code)
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert ended.stdout.strip() == "True True", ended.stderr


def test_plain_results_travel_between_processes():
    at, score = np.array([[1.0, 2.0], [3.0, 4.5]]), np.array([0.5, 1.0])
    points = pc.Points(at, category=[3, 1], score=score)
    centres = pc.RegionCentres(np.array([[1.0, 2.0]]), [0, 0, 1])
    found = pc.connected(np.array([[1, 0, 1]], np.uint8))
    cams = np.zeros((1, 4, 4), np.float32)
    cams[0, 1:3, 1:3] = 1
    labels = pc.irnet(cams, [4], np.zeros((4, 4), np.float32), (16, 16))
    assert len(labels.objects) > 0
    for result, fields in (
        (points, ["at", "category", "score"]),
        (centres, ["at", "score", "first"]),
        (found, ["label", "count"]),
        (labels.objects, ["label", "category", "score", "area", "bounds"]),
    ):
        for again in (pickle.loads(pickle.dumps(result)), copy.deepcopy(result)):
            assert type(again) is type(result) and repr(again) == repr(result)
            for field in fields:
                want, have = getattr(result, field), getattr(again, field)
                assert np.asarray(have).dtype == np.asarray(want).dtype
                np.testing.assert_array_equal(have, want)
    again = pickle.loads(pickle.dumps(labels))
    np.testing.assert_array_equal(again.semantic, labels.semantic)
    np.testing.assert_array_equal(again.objects.label, labels.objects.label)
    np.testing.assert_array_equal(pc.statistics(copy.copy(found)).area, pc.statistics(found).area)
