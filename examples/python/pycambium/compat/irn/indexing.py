"""Stands for misc/indexing.py of jiwoon-ahn/irn, on the CPU.

    from pycambium.compat.irn import indexing

    rw = indexing.propagate_to_edge(cam, edge, beta=10, exp_times=8, radius=5)

Every function takes NumPy arrays or CPU tensors of PyTorch and answers in kind. propagate_to_edge()
never makes a dense matrix; affinity_sparse2dense() and to_transition_matrix() do, since that is
what they are asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ... import _cambium

__all__ = [
    "PathIndex",
    "affinity_sparse2dense",
    "edge_to_affinity",
    "propagate_to_edge",
    "to_transition_matrix",
]


def _is_tensor(array: Any) -> bool:
    return type(array).__module__.partition(".")[0] == "torch"


def _expects_array(given: Any, what: str) -> None:
    if isinstance(given, np.ma.MaskedArray) and np.ma.is_masked(given):
        raise TypeError(f"{what} is a masked array with masked cells: say .filled(value)")
    if not hasattr(given, "reshape") or not hasattr(given, "shape"):
        raise TypeError(f"{what} is {type(given).__name__}; expected an array or a tensor")


class PathIndex:
    """The cells on the paths between a cell and its neighbours, as indices into a flattened map.

    radius        [cells] neighbours are nearer than this; 2 to 17
    default_size  (height, width) of the map

    radius_floor  ceil(radius) - 1: margin of the sources to the left, right and bottom border
    search_paths  a list of arrays [n, length, 2] of (dy,dx), one a path length: the neighbour
                  first, (0,0) last
    search_dst    [K,2] (dy,dx) of the neighbours, in the order of search_paths
    path_indices  a list of arrays [n, length, sources]: search_paths laid at each source
    src_indices   [sources]
    dst_indices   [K, sources]
    """

    def __init__(self, radius: float, default_size: Sequence[int]) -> None:
        self.radius = radius
        self.radius_floor = math.ceil(radius) - 1
        self.search_paths, self.search_dst = self.get_search_paths_dst(radius)
        self.path_indices, self.src_indices, self.dst_indices = self.get_path_indices(default_size)

    def get_search_paths_dst(self, max_radius: float = 5) -> tuple[list[np.ndarray], np.ndarray]:
        """The paths to neighbours nearer than a radius, grouped by length, and the neighbours."""
        # disc() takes whole radii; of a fractional one the neighbours between are left out.
        around = _cambium.disc(math.ceil(max_radius))
        near = around[(around**2).sum(axis=1) < max_radius * max_radius]
        if len(near) == 0:
            raise ValueError(
                f"PathIndex: radius is {max_radius}; no cell is nearer. Expected more than 1"
            )
        groups: dict[int, list[np.ndarray]] = {}
        for dy, dx in near.tolist():
            path = _cambium.path(dy, dx)
            groups.setdefault(len(path), []).append(path)
        paths = [np.stack(groups[length]) for length in sorted(groups)]
        return paths, np.concatenate([group[:, 0] for group in paths])

    def get_path_indices(
        self, size: Sequence[int]
    ) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
        """Indices of paths, sources and destinations on a map of (height, width)."""
        height, width = (int(side) for side in size)
        margin = self.radius_floor
        rows, columns = height - margin, width - 2 * margin
        if rows < 1 or columns < 1:
            raise ValueError(
                f"PathIndex: default_size is ({height}, {width}); at radius {self.radius} "
                f"expected at least ({margin + 1}, {2 * margin + 1})"
            )
        first = np.arange(rows, dtype=np.int64)[:, None] * width + margin
        sources = (first + np.arange(columns)).reshape(-1)
        paths = []
        for group in self.search_paths:
            step = group[..., 0].astype(np.int64) * width + group[..., 1]
            paths.append(step[..., None] + sources)
        return paths, sources, np.concatenate([path[:, 0] for path in paths])


def edge_to_affinity(edge: Any, paths_indices: Sequence[Any]) -> Any:
    """Affinity of each source with its neighbours: 1 - the largest edge on the path between them.

    edge           [B,...] maps, flattened from the second axis on
    paths_indices  PathIndex.path_indices for the size of these maps

    Returns [B, K, sources]. Gradients of tensors pass to the first maximum of each path.
    """
    _expects_array(edge, "edge_to_affinity: edge")
    flat = edge.reshape(edge.shape[0], -1)
    if _is_tensor(edge):
        import torch

        most = [flat[:, torch.as_tensor(path)].max(dim=2).values for path in paths_indices]
        return 1 - torch.cat(most, dim=1)
    affinity = []
    for path in paths_indices:
        most = flat[:, path[:, 0]]
        for i in range(1, path.shape[1]):
            np.maximum(most, flat[:, path[:, i]], out=most)
        affinity.append(1 - most)
    return np.concatenate(affinity, axis=1)


def affinity_sparse2dense(affinity_sparse: Any, ind_from: Any, ind_to: Any, n_vertices: int) -> Any:
    """The symmetric matrix of affinities, with ones on its diagonal.

    affinity_sparse  K * sources affinities of one map, from edge_to_affinity()
    ind_from         [sources] PathIndex.src_indices
    ind_to           [K, sources] PathIndex.dst_indices
    n_vertices       cells of the map

    Returns [n_vertices, n_vertices]: dense, so 4 * n_vertices**2 bytes at float32.
    """
    _expects_array(affinity_sparse, "affinity_sparse2dense: affinity_sparse")
    if _is_tensor(affinity_sparse):
        import torch

        to = torch.as_tensor(ind_to).reshape(-1, len(ind_from))
        start = torch.as_tensor(ind_from).expand_as(to)
        near = affinity_sparse.reshape(to.shape)
        dense = torch.eye(n_vertices, dtype=near.dtype)
        return dense.index_put((start, to), near).index_put((to, start), near)
    to = np.asarray(ind_to).reshape(-1, len(ind_from))
    near = affinity_sparse.reshape(to.shape)
    dense = np.eye(n_vertices, dtype=near.dtype)
    dense[ind_from, to] = near
    dense[to, ind_from] = near
    return dense


def to_transition_matrix(affinity_dense: Any, beta: float, times: int) -> Any:
    """The dense matrix of a walk of 2**times steps.

    Affinities to the power of beta, their columns divided by their sums, squared `times` times.

    propagate_to_edge() applies it without making it.
    """
    _expects_array(affinity_dense, "to_transition_matrix: affinity_dense")
    step = affinity_dense**beta
    step = step / step.sum(0, keepdims=True)
    for _ in range(times):
        step = step @ step
    return step


def propagate_to_edge(
    x: Any,
    edge: Any,
    radius: int = 5,
    beta: float = 10,
    exp_times: int = 8,
    *,
    tolerance: float = 0.0,
    threads: int = 0,
) -> Any:
    """Spread scores up to the edges: multiply by 1 - edge, then walk 2**exp_times steps.

    x          [C,H,W], or any shape ending in H, W; finite, float32 or float64
    edge       [H,W] or [1,H,W], in [0,1]
    radius     [cells] whole, 1 to 17
    beta       power of the affinities, > 0
    exp_times  0 to 40; 8 is the paper's 256 steps
    tolerance  see pycambium.random_walk(); 0: exact
    threads    0: all cores

    Returns [C,1,H,W] of the type of x * (1 - edge). No gradient passes: a tensor that requires one
    is refused.
    """
    for name, given in (("x", x), ("edge", edge)):
        _expects_array(given, f"propagate_to_edge: {name}")
    if len(x.shape) < 2:
        raise ValueError(f"propagate_to_edge: x is {tuple(x.shape)}; expected [C,H,W]")
    height, width = x.shape[-2:]
    if tuple(edge.shape[-2:]) != (height, width) or math.prod(edge.shape) != height * width:
        raise ValueError(
            f"propagate_to_edge: edge is {tuple(edge.shape)}; expected one map of "
            f"({height}, {width}), as x"
        )
    tensors = _is_tensor(x) or _is_tensor(edge)
    if tensors:
        import torch

        x, edge = torch.as_tensor(x), torch.as_tensor(edge)
        dtype = torch.promote_types(x.dtype, edge.dtype)
        x, edge = x.to(dtype), edge.to(dtype)
        # contiguous() keeps the negative bit, which is not in the memory
        seeds = x.reshape(-1, height, width).contiguous().resolve_neg()
        boundary = edge.reshape(height, width).contiguous().resolve_neg()
    else:
        dtype = np.result_type(x, edge)
        seeds = np.ascontiguousarray(x, dtype).reshape(-1, height, width)
        boundary = np.ascontiguousarray(edge, dtype).reshape(height, width)
    if str(dtype).removeprefix("torch.") not in ("float32", "float64"):
        raise TypeError(
            f"propagate_to_edge: x * (1 - edge) is {dtype}; expected float32 or float64"
        )
    walked = _cambium.propagate_to_edge(
        seeds,
        boundary,
        radius=radius,
        beta=beta,
        exp_times=exp_times,
        tolerance=tolerance,
        threads=threads,
    )[:, None]
    return torch.from_numpy(walked) if tensors else walked
