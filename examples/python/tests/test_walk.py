import subprocess
import sys

import numpy as np
import pytest

import pycambium as pc


def dense_walk(seeds, affinity, radius, beta, steps):
    """The walk as IRNet's code writes it: a dense matrix of all cells."""
    height, width = affinity.shape[1:]
    matrix = np.eye(height * width)
    for k, (dy, dx) in enumerate(pc.disc(radius)):
        for y in range(height):
            for x in range(width):
                if 0 <= y + dy < height and 0 <= x + dx < width:
                    a, b = y * width + x, (y + dy) * width + x + dx
                    matrix[a, b] = matrix[b, a] = float(affinity[k, y, x]) ** beta
    matrix /= matrix.sum(axis=1, keepdims=True)
    out = seeds.reshape(len(seeds), -1).astype(np.float64)
    for _ in range(steps):
        out = out @ matrix.T
    return out.reshape(seeds.shape)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_walk_is_the_power_of_the_dense_matrix(rng, dtype):
    boundary = rng.random((7, 9)).astype(dtype)
    seeds = rng.random((3, 7, 9)).astype(dtype)
    affinity = pc.path_affinity(boundary, radius=2)
    transition = pc.make_transition(affinity, radius=2, beta=3.0)
    got = pc.random_walk(seeds, transition, steps=16)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, dense_walk(seeds, affinity, 2, 3.0, 16), atol=2e-6)


def test_errors_name_the_argument():
    seeds = np.zeros((1, 4, 4), np.float32)
    transition = pc.make_transition(pc.path_affinity(np.zeros((4, 4), np.float32)))
    with pytest.raises(
        TypeError, match=r"random_walk: seeds is int64 \(1,4,4\); expected dtype float32"
    ):
        pc.random_walk(seeds.astype(np.int64), transition)
    with pytest.raises(
        ValueError, match=r"random_walk: seeds is float32 \(4,4\) with 2 axes; expected 3"
    ):
        pc.random_walk(seeds[0], transition)
    with pytest.raises(ValueError, match="negative strides"):
        pc.random_walk(seeds[:, ::-1], transition)
    with pytest.raises(ValueError, match=r"random_walk: seeds\(0,1,2\) is nan"):
        seeds[0, 1, 2] = np.nan
        pc.random_walk(seeds, transition)
    with pytest.raises(TypeError, match="path_affinity: boundary is NoneType"):
        pc.path_affinity(None)
    with pytest.raises(TypeError, match="path_affinity: boundary is numpy.ndarray of dtype >f8"):
        pc.path_affinity(np.zeros((2, 2), ">f8"))


def test_a_capsule_that_was_used_is_refused():
    class Once:
        def __init__(self, array):
            self.capsule = array.__dlpack__()

        def __dlpack__(self, **_):
            return self.capsule

        def __dlpack_device__(self):
            return (1, 0)

    once = Once(np.zeros((3, 3), np.float32))
    assert pc.path_affinity(once).shape == (34, 3, 3)
    with pytest.raises(TypeError, match="boundary"):
        pc.path_affinity(once)


def test_a_transition_shows_its_arrays(rng):
    affinity = pc.path_affinity(rng.random((6, 7)), radius=3)
    transition = pc.make_transition(affinity, radius=3, beta=2.0)
    assert repr(transition) == "Transition(shape=(12, 6, 7), radius=3, dtype=float64)"
    assert transition.shape == (12, 6, 7) and transition.radius == 3
    np.testing.assert_array_equal(transition.edges, pc.disc(3))
    np.testing.assert_allclose(transition.weight, affinity**2)
    degree = np.ones((6, 7))
    for weight, (dy, dx) in zip(transition.weight, transition.edges, strict=True):
        degree += weight
        far = np.zeros((6, 7))
        left, right = max(dx, 0), min(dx, 0)
        far[dy:, left : 7 + right] = weight[: 6 - dy, -right : 7 - left]
        degree += far
    np.testing.assert_allclose(transition.inverse_degree, 1 / degree)
    weight = transition.weight
    with pytest.raises(ValueError, match="read-only"):
        weight[0, 0, 0] = 1
    with pytest.raises(AttributeError):
        transition.weight = weight
    del transition
    np.testing.assert_allclose(weight, affinity**2)  # the array keeps the transition alive


def test_a_transition_of_arrays(rng):
    seeds = rng.random((2, 6, 7))
    made = pc.make_transition(pc.path_affinity(rng.random((6, 7))))
    want = pc.random_walk(seeds, made)
    for given in (pc.Transition(made.weight, made.inverse_degree), pc.Transition(made.weight)):
        np.testing.assert_array_equal(pc.random_walk(seeds, given), want)
    weight, inverse = made.weight.copy(), made.inverse_degree
    with pytest.raises(
        ValueError, match=r"Transition: weight is \[34,6,7\] but the disc has 12 offsets"
    ):
        pc.Transition(weight, radius=3)
    with pytest.raises(
        ValueError, match=r"Transition: inverse_degree\(0,0\) is 2; expected 1 / \(1 \+ the weights"
    ):
        pc.Transition(weight, np.full((6, 7), 2.0))
    with pytest.raises(ValueError, match=r"Transition: weight is .* but inverse_degree is \[6,6\]"):
        pc.Transition(weight, inverse[:, :6].copy())
    with pytest.raises(TypeError, match="Transition: inverse_degree is float32"):
        pc.Transition(weight, inverse.astype(np.float32))
    weight[0, 0, 6] = 0.5
    with pytest.raises(
        ValueError, match=r"Transition: weight\(0,0,6\) is 0.5, but the edge \(0,1\) leaves the map"
    ):
        pc.Transition(weight)
    weight[0, 0, 6] = -1
    with pytest.raises(ValueError, match=r"Transition: weight\(0,0,6\) is -1"):
        pc.Transition(weight)
    with pytest.raises(ValueError, match="stencil::disc: radius 18"):
        pc.Transition(weight, radius=18)


def test_the_result_can_be_written_into_an_array(rng):
    seeds = rng.random((2, 6, 7)).astype(np.float32)
    transition = pc.make_transition(pc.path_affinity(rng.random((6, 7)).astype(np.float32)))
    want, out = pc.random_walk(seeds, transition), np.empty_like(seeds)
    assert pc.random_walk(seeds, transition, out=out) is out
    np.testing.assert_array_equal(out, want)
    both = np.zeros((3, 6, 7), np.float32)
    both[:2] = seeds
    for wrong, error, says in (
        (
            np.empty((2, 6, 8), np.float32),
            ValueError,
            r"random_walk: out is float32 \(2,6,8\); expected \[2,6,7\]",
        ),
        (np.empty((2, 6, 7)), TypeError, "random_walk: out is float64"),
        (
            np.empty((2, 7, 6), np.float32).transpose(0, 2, 1),
            ValueError,
            "random_walk: out .* gaps or permuted axes",
        ),
        (transition.weight[:2], ValueError, "random_walk: out is read-only"),
        (seeds, ValueError, "random_walk: seeds and out overlap"),
        ([0.0], TypeError, "random_walk: out is list"),
    ):
        with pytest.raises(error, match=says):
            pc.random_walk(seeds, transition, out=wrong)
    with pytest.raises(ValueError, match="overlap"):
        pc.random_walk(both[:2], transition, out=both[1:])


def test_exp_times_stand_for_steps(rng):
    seeds = rng.random((1, 5, 6))
    transition = pc.make_transition(pc.path_affinity(rng.random((5, 6))))
    np.testing.assert_array_equal(
        pc.random_walk(seeds, transition, exp_times=3), pc.random_walk(seeds, transition, steps=8)
    )
    with pytest.raises(
        ValueError, match="random_walk: steps is 8 and exp_times is 3; expected one of them"
    ):
        pc.random_walk(seeds, transition, steps=8, exp_times=3)
    for wrong, says in (
        ({"exp_times": 41}, "exp_times is 41"),
        ({"steps": -1}, "steps is -1"),
        ({"tolerance": 1}, "tolerance is 1"),
        ({"threads": -1}, "threads is -1"),
    ):
        with pytest.raises(ValueError, match=says):
            pc.random_walk(seeds, transition, **wrong)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_tolerance_bounds_the_error(rng, dtype):
    seeds = rng.random((3, 12, 14)).astype(dtype)
    transition = pc.make_transition(pc.path_affinity(rng.random((12, 14)).astype(dtype)))
    exact = pc.random_walk(seeds, transition)
    near = pc.random_walk(seeds, transition, tolerance=1e-4)
    span = np.ptp(seeds, axis=(1, 2))[:, None, None]
    assert (np.abs(near - exact) <= 1e-4 * span + 1e-5).all()
    assert (near >= seeds.min(axis=(1, 2), keepdims=True)).all()


def test_paths():
    np.testing.assert_array_equal(pc.path(1, 1), [[1, 1], [0, 1], [1, 0], [0, 0]])
    for wrong in ((17, 0), (2**31 - 1, 2**31 - 1), (-12, -13)):
        with pytest.raises(ValueError, match="path: .* expected a step shorter than 17 cells"):
            pc.path(*wrong)


def test_a_long_walk_ends_with_control_c():
    code = (
        "import numpy as np, signal, threading, time, os, pycambium as pc\n"
        "t = pc.make_transition(pc.path_affinity(np.zeros((200, 200), 'f4')))\n"
        "threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
        "start = time.monotonic()\n"
        "try:\n"
        "    pc.random_walk(np.ones((4, 200, 200), 'f4'), t, exp_times=30)\n"
        "except KeyboardInterrupt:\n"
        "    assert time.monotonic() - start < 2.5\n"
        "else:\n"
        "    raise SystemExit('no interrupt')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("threads", [1, 2])
def test_control_c_ends_a_walk_of_any_number_of_steps(threads):
    """Two threads once waited for each other, since a product with the number of steps overflowed."""
    import signal

    def ring(*_: object) -> None:
        raise TimeoutError

    boundary = np.zeros((60, 80), np.float32)
    transition = pc.make_transition(pc.path_affinity(boundary, radius=2), radius=2)
    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(TimeoutError):
            pc.random_walk(
                np.ones((1, 60, 80), np.float32), transition, steps=2**63 - 1, threads=threads
            )
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
