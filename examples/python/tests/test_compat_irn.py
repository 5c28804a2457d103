import subprocess
import sys

import numpy as np
import pytest

from golden import golden_cases
from pycambium.compat.irn import indexing


def neighbours(radius):
    return [
        (dy, dx)
        for dy in range(radius)
        for dx in range(-radius + 1, radius)
        if (dy, dx) > (0, 0) and dy * dy + dx * dx < radius * radius
    ]


def line(dy, dx):
    """Cells of the box that are nearer than 1 to the line from (0,0) to (dy,dx)."""
    return [
        (y, x)
        for y in range(dy + 1)
        for x in range(min(dx, 0), max(dx, 0) + 1)
        if (dy * x - dx * y) ** 2 < dy * dy + dx * dx
    ]


def dense_affinity(edge, radius):
    height, width = edge.shape
    matrix = np.eye(height * width)
    for dy, dx in neighbours(radius):
        for y in range(height - dy):
            for x in range(max(0, -dx), min(width, width - dx)):
                affinity = 1 - max(edge[y + py, x + px] for py, px in line(dy, dx))
                a, b = y * width + x, (y + dy) * width + x + dx
                matrix[a, b] = matrix[b, a] = affinity
    return matrix


def dense_walk(x, edge, radius, beta, exp_times):
    step = dense_affinity(edge.astype(np.float64), radius) ** beta
    step /= step.sum(axis=0)
    power = np.linalg.matrix_power(step, 2**exp_times)
    return ((x * (1 - edge)).reshape(len(x), -1) @ power).reshape(len(x), 1, *edge.shape)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("radius, beta, exp_times", [(5, 10, 8), (3, 1, 0), (2, 7.5, 3)])
def test_propagate_to_edge_is_the_dense_computation(rng, dtype, radius, beta, exp_times):
    x = rng.normal(size=(3, 8, 11)).astype(dtype)
    edge = rng.random((1, 8, 11)).astype(dtype) ** 2
    edge[0, :, 4] = 1
    got = indexing.propagate_to_edge(x, edge, radius, beta, exp_times)
    assert got.shape == (3, 1, 8, 11) and got.dtype == dtype
    want = dense_walk(x, edge[0], radius, beta, exp_times)
    np.testing.assert_allclose(got, want, atol=2e-5 if dtype == np.float32 else 1e-12)
    np.testing.assert_array_equal(
        indexing.propagate_to_edge(x, edge[0], beta=beta, exp_times=exp_times, radius=radius), got
    )


def test_the_original_s_steps_give_the_same(rng):
    """A script that calls the parts: padding, sparse and dense affinity, the matrix."""
    height, width, radius = 6, 7, 3
    edge, x = rng.random((height, width)), rng.random((2, height, width))
    padded = np.pad(edge, ((0, radius), (radius, radius)), constant_values=1.0)
    index = indexing.PathIndex(radius, padded.shape)
    sparse = indexing.edge_to_affinity(padded[None], index.path_indices)
    assert sparse.shape == (1, len(index.search_dst), len(index.src_indices))
    cells = padded.size
    dense = indexing.affinity_sparse2dense(sparse, index.src_indices, index.dst_indices, cells)
    inside = np.arange(cells).reshape(padded.shape)[:height, radius:-radius].reshape(-1)
    dense = dense[np.ix_(inside, inside)]
    np.testing.assert_allclose(dense, dense_affinity(edge, radius), atol=1e-15)
    matrix = indexing.to_transition_matrix(dense, beta=4, times=5)
    want = (x * (1 - edge)).reshape(2, -1) @ matrix
    np.testing.assert_allclose(
        indexing.propagate_to_edge(x, edge, radius, 4, 5).reshape(2, -1), want, rtol=1e-9
    )


@pytest.mark.parametrize("radius", [2, 3, 5, 8])
def test_path_index(radius):
    size = (radius + 4, 2 * radius + 5)
    index = indexing.PathIndex(radius=radius, default_size=size)
    assert index.radius_floor == radius - 1
    assert sorted(map(tuple, index.search_dst.tolist())) == neighbours(radius)
    flat = np.arange(size[0] * size[1]).reshape(size)
    margin = radius - 1
    sources = flat[: size[0] - margin, margin : size[1] - margin].reshape(-1)
    np.testing.assert_array_equal(index.src_indices, sources)
    k = 0
    for paths, laid in zip(index.search_paths, index.path_indices, strict=True):
        assert paths.shape[:2] == laid.shape[:2] and laid.shape[2] == len(sources)
        for path, cells in zip(paths.tolist(), laid, strict=True):
            dy, dx = index.search_dst[k].tolist()
            assert path[0] == [dy, dx] and path[-1] == [0, 0]
            assert sorted(map(tuple, path)) == sorted(line(dy, dx))
            for (py, px), at in zip(path, cells, strict=True):
                np.testing.assert_array_equal(at, sources + py * size[1] + px)
            np.testing.assert_array_equal(index.dst_indices[k], cells[0])
            k += 1
    assert index.dst_indices.shape == (k, len(sources))


@pytest.mark.parametrize("case", golden_cases("irnet", "s1_path_index"))
def test_path_index_of_the_original(case):
    index = indexing.PathIndex(case.params["radius"], case.params["default_size"])
    case.close(index.search_dst, "search_dst")
    case.close(
        np.concatenate([paths.reshape(-1, 2) for paths in index.search_paths]), "path_coords"
    )
    case.close(index.src_indices, "src_indices")
    case.close(index.dst_indices, "dst_indices")


@pytest.mark.parametrize("case", golden_cases("irnet", "s2_edge_to_affinity"))
def test_affinity_of_the_original(case):
    edge, radius = case["edge"], case.params["radius"]
    if edge.ndim == 2:
        edge = np.pad(edge, ((0, radius), (radius, radius)), constant_values=1)[None]
    index = indexing.PathIndex(radius, edge.shape[1:])
    got = indexing.edge_to_affinity(edge, index.path_indices)
    case.close(got.reshape(case["aff"].shape), "aff")


@pytest.mark.parametrize("case", golden_cases("irnet", "s3_random_walk"))
def test_walk_of_the_original(case):
    p = case.params
    if "x" in case:
        got = indexing.propagate_to_edge(
            case["x"], case["edge"], p["radius"], p["beta"], p["exp_times"]
        )
        case.close(got, "rw_f64" if "rw_f64" in case else "rw")
        return
    edge, radius = case["edge"].astype(np.float64), p["radius"]
    padded = np.pad(edge, ((0, radius), (radius, radius)), constant_values=1)
    index = indexing.PathIndex(radius, padded.shape)
    sparse = indexing.edge_to_affinity(padded[None], index.path_indices)
    dense = indexing.affinity_sparse2dense(
        sparse, index.src_indices, index.dst_indices, padded.size
    )
    inside = (
        np.arange(padded.size).reshape(padded.shape)[: edge.shape[0], radius:-radius].reshape(-1)
    )
    dense = dense[np.ix_(inside, inside)]
    name = "affinity_dense"
    case.close(dense, name + "_f64" if name + "_f64" in case else name)
    matrix = indexing.to_transition_matrix(dense, p["beta"], p["exp_times"])
    case.close(matrix, "trans_mat_f64" if "trans_mat_f64" in case else "trans_mat")


def test_tensors_are_answered_in_kind(rng):
    torch = pytest.importorskip("torch")
    height, width, radius = 6, 7, 3
    edge, x = (
        rng.random((height, width)).astype(np.float32),
        rng.random((2, height, width)).astype(np.float32),
    )
    want = indexing.propagate_to_edge(x, edge, radius)
    got = indexing.propagate_to_edge(torch.from_numpy(x), torch.from_numpy(edge)[None], radius)
    assert got.dtype == torch.float32 and got.shape == (2, 1, height, width)
    np.testing.assert_array_equal(got.numpy(), want)
    turned = torch.from_numpy(np.ascontiguousarray(x.transpose(0, 2, 1))).transpose(
        1, 2
    )  # not contiguous
    np.testing.assert_array_equal(
        indexing.propagate_to_edge(turned, torch.from_numpy(edge), radius).numpy(), want
    )
    wide = indexing.propagate_to_edge(torch.from_numpy(x), torch.from_numpy(edge).double(), radius)
    assert wide.dtype == torch.float64

    index = indexing.PathIndex(radius, (height, width))
    sparse = indexing.edge_to_affinity(torch.from_numpy(edge)[None, None], index.path_indices)
    plain = indexing.edge_to_affinity(edge[None], index.path_indices)
    np.testing.assert_array_equal(sparse.numpy(), plain)
    ends = index.src_indices, index.dst_indices, edge.size
    dense = indexing.affinity_sparse2dense(sparse, *ends)
    np.testing.assert_array_equal(dense.numpy(), indexing.affinity_sparse2dense(plain, *ends))
    np.testing.assert_allclose(
        indexing.to_transition_matrix(dense, 10, 3).numpy(),
        indexing.to_transition_matrix(dense.numpy(), 10, 3),
        atol=1e-5,
    )
    with pytest.raises(TypeError, match="requires gradients: say .detach"):
        indexing.propagate_to_edge(torch.from_numpy(x).requires_grad_(), torch.from_numpy(edge))


def test_gradients_pass_the_first_maximum(rng):
    torch = pytest.importorskip("torch")
    edge = torch.from_numpy(rng.integers(0, 3, (1, 5, 7)) / 4.0).requires_grad_()  # many ties
    index = indexing.PathIndex(3, (5, 7))
    affinity = indexing.edge_to_affinity(edge, index.path_indices)
    share = torch.from_numpy(rng.random(affinity.shape))
    (affinity * share).sum().backward()
    want = np.zeros(35)
    flat, k = edge.detach().numpy().reshape(-1), 0
    for group in index.path_indices:
        for path in group:
            first = flat[path].argmax(axis=0)
            np.add.at(want, path[first, np.arange(path.shape[1])], -share[0, k].numpy())
            k += 1
    np.testing.assert_allclose(edge.grad.numpy().reshape(-1), want)


def test_numpy_needs_no_torch():
    code = (
        "import sys, numpy as np\n"
        "from pycambium.compat.irn import indexing\n"
        "indexing.propagate_to_edge(np.ones((1, 3, 3), 'f4'), np.zeros((3, 3), 'f4'))\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_errors():
    x, edge = np.zeros((2, 4, 5), np.float32), np.zeros((1, 4, 5), np.float32)
    with pytest.raises(ValueError, match=r"edge is \(1, 5, 4\); expected one map of \(4, 5\)"):
        indexing.propagate_to_edge(x, edge.reshape(1, 5, 4))
    with pytest.raises(ValueError, match=r"edge is \(2, 4, 5\); expected one map"):
        indexing.propagate_to_edge(x, np.zeros((2, 4, 5), np.float32))
    with pytest.raises(ValueError, match="boundary"):
        indexing.propagate_to_edge(x, edge + 2)
    with pytest.raises(ValueError, match="scores"):
        indexing.propagate_to_edge(x + np.float32("nan"), edge)
    with pytest.raises(ValueError, match="beta is 0"):
        indexing.propagate_to_edge(x, edge, beta=0)
    with pytest.raises(ValueError, match="exp_times is -1"):
        indexing.propagate_to_edge(x, edge, exp_times=-1)
    with pytest.raises(
        TypeError, match="propagate_to_edge: edge is NoneType; expected an array or a tensor"
    ):
        indexing.propagate_to_edge(x, None)
    with pytest.raises(TypeError, match="edge_to_affinity: edge is list"):
        indexing.edge_to_affinity([1], [])
    with pytest.raises(ValueError, match=r"x is \(4,\); expected \[C,H,W\]"):
        indexing.propagate_to_edge(x[0, :, 0], edge)
    with pytest.raises(ValueError, match=r"default_size is \(3, 20\).*expected at least \(5, 9\)"):
        indexing.PathIndex(5, (3, 20))
    with pytest.raises(ValueError, match="radius is 1; no cell is nearer"):
        indexing.PathIndex(1, (9, 9))


def test_tensors_with_the_negative_bit(rng):
    torch = pytest.importorskip("torch")
    x, edge = torch.rand(2, 5, 6), torch.rand(5, 6)
    negative = torch._neg_view(x)
    assert negative.is_contiguous() and negative.is_neg()
    want = indexing.propagate_to_edge(negative.resolve_neg(), edge)
    assert (want < 0).all()
    assert torch.equal(indexing.propagate_to_edge(negative, edge), want)
    assert torch.equal(indexing.propagate_to_edge(x, torch._neg_view(-edge)), -want)


def test_types_and_masks_that_are_refused():
    x, edge = np.zeros((2, 4, 5), np.float16), np.zeros((4, 5), np.float16)
    with pytest.raises(TypeError, match=r"\(1 - edge\) is float16; expected float32 or float64"):
        indexing.propagate_to_edge(x, edge)
    with pytest.raises(TypeError, match="edge is a masked array with masked cells"):
        indexing.propagate_to_edge(x, np.ma.masked_array(edge, edge == 0))
