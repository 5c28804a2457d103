"""The losses as nodes of PyTorch's autograd. Importing this module imports torch.

A loss and its gradients are computed together when the function is called; backward() scales them.
Inputs are tensors on the CPU, of float32 or float64. A tensor that is not contiguous is copied
first, as torch's own operations do. Labels of any integer type are converted. Only the variables of
a loss get a gradient: each function names them. Targets, labels and weights get none. A second
derivative raises RuntimeError.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

try:
    import torch  # type: ignore[import-not-found, unused-ignore]
except ImportError as error:
    raise ImportError("pycambium.losses needs PyTorch: pip install torch", name="torch") from error

from . import _cambium

__all__ = [
    "affinity_displacement_loss",
    "box_projection_loss",
    "cross_entropy",
    "differentiable",
    "focal_loss",
    "guided_absolute_error",
    "guided_square_error",
    "hardest_pixels_cross_entropy",
    "label_uncertainty_loss",
    "mean_absolute_error",
    "mean_square_error",
    "pairwise_loss",
    "tree_energy_loss",
]


class _OnceDifferentiable(torch.autograd.Function):  # type: ignore[misc, unused-ignore]
    """Passes a gradient on. Raises where its own derivative is asked for."""

    @staticmethod
    def forward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient.clone()

    @staticmethod
    def backward(ctx: Any, *by_gradient: torch.Tensor) -> Any:
        raise RuntimeError("pycambium: a loss has a gradient but no second derivative")


class _Loss(torch.autograd.Function):  # type: ignore[misc, unused-ignore]
    """A loss that computes its gradients itself."""

    @staticmethod
    def forward(ctx: Any, loss: Callable[..., Any], *inputs: torch.Tensor) -> torch.Tensor:
        value, gradients = loss(*(each.detach() for each in inputs))
        if len(gradients) != len(inputs):
            raise ValueError(
                f"differentiable: the loss gave {len(gradients)} gradients for {len(inputs)} inputs"
            )
        kept = []
        for i, (each, given) in enumerate(zip(inputs, gradients, strict=True)):
            by = torch.as_tensor(given)
            if by.shape != each.shape or by.dtype != each.dtype or by.device != each.device:
                raise ValueError(
                    f"differentiable: input {i} is {_described(each)} "
                    f"but its gradient is {_described(by)}"
                )
            kept.append(by)
        ctx.save_for_backward(*kept)
        return torch.tensor(value, dtype=torch.float64).to(inputs[0].dtype)  # too large: inf

    @staticmethod
    def backward(ctx: Any, *by_loss: torch.Tensor) -> Any:
        again = torch.is_grad_enabled()  # create_graph=True: the result may be differentiated
        out: list[torch.Tensor | None] = [None]
        with torch.no_grad():
            for i, gradient in enumerate(ctx.saved_tensors):
                scaled = gradient * by_loss[0] if ctx.needs_input_grad[i + 1] else None
                out.append(scaled)
        if again:
            out = [
                each if each is None else _OnceDifferentiable.apply(each.requires_grad_())
                for each in out
            ]
        return tuple(out)


def _node(loss: Callable[..., Any], *inputs: torch.Tensor) -> torch.Tensor:
    made: torch.Tensor = _Loss.apply(loss, *inputs)
    return made


def differentiable(loss: Callable[..., Any], *inputs: torch.Tensor) -> torch.Tensor:
    """Make a loss that computes its own gradients a node of autograd.

    loss    called once, immediately, with the inputs detached; returns (value, gradients): a
            number, and for each input an array or a tensor of its shape and type
    inputs  at least one floating-point tensor: the variables of the gradient

    Returns the value: a 0-dimensional tensor of the first input's type. Raises ValueError where
    gradients and inputs do not fit, RuntimeError for a second derivative.
    """
    if not inputs:
        raise ValueError("differentiable: no input")
    for i, each in enumerate(inputs):
        if not isinstance(each, torch.Tensor) or not each.is_floating_point():
            raise TypeError(
                f"differentiable: input {i} is {_described(each)}; expected a floating-point tensor"
            )
    return _node(loss, *inputs)


def _described(given: Any) -> str:
    if not isinstance(given, torch.Tensor):
        return type(given).__name__
    return f"{str(given.dtype).removeprefix('torch.')} {tuple(given.shape)} on {given.device}"


def _on_cpu(given: Any, what: str) -> torch.Tensor:
    if not isinstance(given, torch.Tensor):
        raise TypeError(f"{what} is {type(given).__name__}; expected a tensor")
    if given.device.type != "cpu":
        raise ValueError(
            f"{what} is {_described(given)}; this package computes on the CPU: say .cpu()"
        )
    if given.layout != torch.strided:
        raise TypeError(
            f"{what} has the layout {given.layout}; expected a dense tensor: say .to_dense()"
        )
    return given


def _variable(given: Any, what: str) -> torch.Tensor:
    """A tensor that gets a gradient. It stays itself, so that autograd sees it."""
    tensor = _on_cpu(given, what)
    if tensor.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"{what} is {_described(tensor)}; expected float32 or float64: say .float()"
        )
    return tensor


def _constant(given: Any, what: str, dtype: torch.dtype) -> torch.Tensor:
    """A tensor without a gradient, contiguous, of a type."""
    tensor = _on_cpu(given, what).detach()
    if tensor.is_floating_point() != dtype.is_floating_point or tensor.is_complex():
        raise TypeError(
            f"{what} is {_described(tensor)}; expected {str(dtype).removeprefix('torch.')}"
        )
    if tensor.dtype != dtype and not dtype.is_floating_point and tensor.dtype != torch.bool:
        limits = torch.iinfo(dtype)
        if tensor.numel() and not (
            limits.min <= int(tensor.min()) and int(tensor.max()) <= limits.max
        ):
            raise ValueError(f"{what} is {_described(tensor)} with values that do not fit {dtype}")
    return tensor.to(dtype).contiguous().resolve_neg()


def _array(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().resolve_neg()


def _of_output(name: str, output: Any, target: Any, *more: Any, **options: Any) -> torch.Tensor:
    output = _variable(output, f"{name}: output")
    fixed = [
        _constant(each, f"{name}: {what}", output.dtype)
        for what, each in zip(("target", "weight"), (target, *more), strict=False)
    ]

    def loss(given: torch.Tensor) -> Any:
        got = getattr(_cambium, name)(_array(given), *fixed, **options)
        return got.value, [got.gradient]

    return _node(loss, output)


def guided_square_error(
    output: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor,
    *,
    over: Literal["pixels", "values", "ones"] = "pixels",
    threads: int = 0,
) -> torch.Tensor:
    """pycambium.guided_square_error as a node of autograd. The gradient is by output."""
    return _of_output("guided_square_error", output, target, weight, over=over, threads=threads)


def guided_absolute_error(
    output: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor,
    *,
    over: Literal["pixels", "values", "ones"] = "pixels",
    threads: int = 0,
) -> torch.Tensor:
    """pycambium.guided_absolute_error as a node of autograd. The gradient is by output."""
    return _of_output("guided_absolute_error", output, target, weight, over=over, threads=threads)


def mean_square_error(
    output: torch.Tensor, target: torch.Tensor, *, threads: int = 0
) -> torch.Tensor:
    """pycambium.mean_square_error as a node of autograd. The gradient is by output."""
    return _of_output("mean_square_error", output, target, threads=threads)


def mean_absolute_error(
    output: torch.Tensor, target: torch.Tensor, *, threads: int = 0
) -> torch.Tensor:
    """pycambium.mean_absolute_error as a node of autograd. The gradient is by output."""
    return _of_output("mean_absolute_error", output, target, threads=threads)


def focal_loss(
    output: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor,
    *,
    clip: float = 0.0,
    threads: int = 0,
) -> torch.Tensor:
    """pycambium.focal_loss as a node of autograd. The gradient is by output."""
    return _of_output("focal_loss", output, target, weight, clip=clip, threads=threads)


def _of_logits(name: str, logits: Any, labels: Any, **options: Any) -> torch.Tensor:
    logits = _variable(logits, f"{name}: logits")
    classes = _constant(labels, f"{name}: labels", torch.int64)

    def loss(given: torch.Tensor) -> Any:
        got = getattr(_cambium, name)(_array(given), classes, **options)
        return got.value, [got.gradient]

    return _node(loss, logits)


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor, *, threads: int = 0) -> torch.Tensor:
    """pycambium.cross_entropy as a node of autograd. The gradient is by logits.

    It is torch.nn.functional.cross_entropy(logits, labels, ignore_index=255), and 0 without a
    labelled pixel.
    """
    return _of_logits("cross_entropy", logits, labels, threads=threads)


def hardest_pixels_cross_entropy(
    logits: torch.Tensor,
    labels: torch.Tensor,
    *,
    fraction: float = 0.2,
    of: Literal["all", "labelled"] = "all",
    threads: int = 0,
) -> torch.Tensor:
    """pycambium.hardest_pixels_cross_entropy as a node of autograd. The gradient is by logits."""
    return _of_logits(
        "hardest_pixels_cross_entropy", logits, labels, fraction=fraction, of=of, threads=threads
    )


_PARTS = ("background", "foreground", "negative", "field_foreground", "field_background")


def affinity_displacement_loss(
    logits: torch.Tensor,
    displacement: torch.Tensor | None,
    labels: torch.Tensor,
    *,
    radius: int = 10,
    sources: Literal["inner", "all"] = "inner",
    threads: int = 0,
    parts: dict[str, float] | None = None,
) -> torch.Tensor:
    """pycambium.affinity_displacement_loss as a node of autograd.

    The gradients are by logits and displacement.

    parts  gets the parts of the value: background, foreground, negative, field_foreground and
           field_background
    """
    name = "affinity_displacement_loss"
    inputs = [_variable(logits, f"{name}: logits")]
    if displacement is not None:
        inputs.append(_variable(displacement, f"{name}: displacement"))
    classes = _constant(labels, f"{name}: labels", torch.int32)

    def loss(boundary: torch.Tensor, field: torch.Tensor | None = None) -> Any:
        got = _cambium.affinity_displacement_loss(
            _array(boundary),
            None if field is None else _array(field),
            classes,
            radius=radius,
            sources=sources,
            threads=threads,
        )
        if parts is not None:
            parts.update((part, getattr(got, part)) for part in _PARTS)
        return got.value, [got.by_logits] if field is None else [got.by_logits, got.by_displacement]

    return _node(loss, *inputs)


def label_uncertainty_loss(
    mean: torch.Tensor,
    log_variance: torch.Tensor,
    target: torch.Tensor,
    trusted: torch.Tensor,
    *,
    classes: Literal["one_vs_rest", "mean_field", "sampled"] = "one_vs_rest",
    largest_sigma: float = 1e15,
    box_weight: float = 1.0,
    samples: int = 32,
    seed: int = 0,
    threads: int = 0,
) -> torch.Tensor:
    """pycambium.label_uncertainty_loss as a node of autograd.

    The gradients are by mean and log_variance.
    """
    name = "label_uncertainty_loss"
    inputs = [_variable(mean, f"{name}: mean"), _variable(log_variance, f"{name}: log_variance")]
    right = _constant(target, f"{name}: target", inputs[0].dtype)
    trust = _constant(trusted, f"{name}: trusted", torch.uint8)

    def loss(mu: torch.Tensor, s: torch.Tensor) -> Any:
        got = _cambium.label_uncertainty_loss(
            _array(mu),
            _array(s),
            right,
            trust,
            classes=classes,
            largest_sigma=largest_sigma,
            box_weight=box_weight,
            samples=samples,
            seed=seed,
            threads=threads,
        )
        return got.value, [got.by_mean, got.by_log_variance]

    return _node(loss, *inputs)


def box_projection_loss(
    logits: torch.Tensor, boxes: torch.Tensor, *, smooth: float = 1e-5, threads: int = 0
) -> torch.Tensor:
    """pycambium.box_projection_loss as a node of autograd. The gradient is by logits."""
    name = "box_projection_loss"
    inputs = _variable(logits, f"{name}: logits")
    cells = _constant(boxes, f"{name}: boxes", torch.int64)

    def loss(given: torch.Tensor) -> Any:
        got = _cambium.box_projection_loss(_array(given), cells, smooth=smooth, threads=threads)
        return got.value, [got.gradient]

    return _node(loss, inputs)


def pairwise_loss(
    logits: torch.Tensor,
    boxes: torch.Tensor,
    pairs: torch.Tensor,
    *,
    images: torch.Tensor | None = None,
    size: int = 3,
    dilation: int = 2,
    warm: float = 1.0,
    threads: int = 0,
) -> torch.Tensor:
    """pycambium.pairwise_loss as a node of autograd. The gradient is by logits."""
    name = "pairwise_loss"
    inputs = _variable(logits, f"{name}: logits")
    cells = _constant(boxes, f"{name}: boxes", torch.int64)
    near = _constant(pairs, f"{name}: pairs", torch.int32)
    of = None if images is None else _constant(images, f"{name}: images", torch.int64).numpy()

    def loss(given: torch.Tensor) -> Any:
        got = _cambium.pairwise_loss(
            _array(given),
            cells,
            near,
            images=of,
            size=size,
            dilation=dilation,
            warm=warm,
            threads=threads,
        )
        return got.value, [got.gradient]

    return _node(loss, inputs)


def tree_energy_loss(
    probabilities: torch.Tensor,
    roi: torch.Tensor,
    low: torch.Tensor,
    high: torch.Tensor | None = None,
    *,
    sigma: float = 0.02,
    groups: int = 1,
    threads: int = 0,
) -> torch.Tensor:
    """pycambium.tree_energy_loss as a node of autograd.

    The gradients are by probabilities and high.
    """
    name = "tree_energy_loss"
    inputs = [_variable(probabilities, f"{name}: probabilities")]
    if high is not None:
        inputs.append(_variable(high, f"{name}: high"))
    counts = _constant(roi, f"{name}: roi", inputs[0].dtype)
    colours = _constant(low, f"{name}: low", inputs[0].dtype)

    def loss(given: torch.Tensor, features: torch.Tensor | None = None) -> Any:
        got = _cambium.tree_energy_loss(
            _array(given),
            counts,
            colours,
            None if features is None else _array(features),
            sigma=sigma,
            groups=groups,
            threads=threads,
        )
        return got.value, [got.gradient] if features is None else [
            got.gradient,
            got.by_high,
        ]

    return _node(loss, *inputs)
