"""The losses as nodes of autograd: gradients against finite differences and torch's own losses."""

import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pycambium import losses  # noqa: E402


@pytest.fixture
def draw():
    generator = torch.Generator().manual_seed(20260101)
    return lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)


def labels_like(shape, classes):
    generator = torch.Generator().manual_seed(5)
    labels = torch.randint(0, classes, shape, generator=generator)
    labels[..., :2] = 255
    return labels


def gradcheck(loss, *inputs):
    assert torch.autograd.gradcheck(loss, [each.requires_grad_() for each in inputs], atol=1e-7)


def test_cross_entropy_is_torchs(draw):
    mine, theirs = (each.requires_grad_() for each in [draw(2, 4, 5, 6)] * 2)
    theirs = mine.detach().clone().requires_grad_()
    labels = labels_like((2, 5, 6), 4)
    loss = losses.cross_entropy(mine, labels)
    expected = torch.nn.functional.cross_entropy(theirs, labels, ignore_index=255)
    torch.testing.assert_close(loss, expected)
    (3 * loss).backward()
    (3 * expected).backward()
    torch.testing.assert_close(mine.grad, theirs.grad)


def test_mean_errors_are_torchs(draw):
    output, target = draw(2, 3, 4, 5).requires_grad_(), draw(2, 3, 4, 5)
    for mine, theirs in (
        (losses.mean_square_error, torch.nn.functional.mse_loss),
        (losses.mean_absolute_error, torch.nn.functional.l1_loss),
    ):
        torch.testing.assert_close(mine(output, target), theirs(output, target))
        (got,) = torch.autograd.grad(mine(output, target), output)
        (expected,) = torch.autograd.grad(theirs(output, target), output)
        torch.testing.assert_close(got, expected)


def test_all_gradients(draw):
    output, target, weight = draw(1, 2, 3, 4), draw(1, 2, 3, 4), draw(1, 1, 3, 4).abs()
    gradcheck(lambda o: losses.guided_square_error(o, target, weight), output)
    gradcheck(lambda o: losses.guided_absolute_error(o, target, weight, over="values"), output)
    gradcheck(lambda o: losses.mean_square_error(o, target), output)
    gradcheck(lambda o: losses.mean_absolute_error(o, target), output)
    probability = output.detach().sigmoid()
    gradcheck(lambda p: losses.focal_loss(p, target.sigmoid(), weight), probability)
    labels = labels_like((1, 3, 4), 2)
    gradcheck(lambda z: losses.cross_entropy(z, labels), output)
    gradcheck(lambda z: losses.hardest_pixels_cross_entropy(z, labels, fraction=0.3), output)
    trusted = torch.tensor([0, 1, 2]).repeat(4).reshape(1, 1, 3, 4)
    gradcheck(
        lambda m, s: losses.label_uncertainty_loss(m, s, target.sigmoid(), trusted),
        output,
        draw(1, 1, 3, 4),
    )
    classes = torch.tensor([0, 0, 1, 1, 1, 2]).repeat(5).reshape(1, 5, 6)
    parts = {}
    gradcheck(
        lambda z, d: losses.affinity_displacement_loss(z, d, classes, radius=3, parts=parts),
        draw(1, 5, 6),
        draw(1, 2, 5, 6),
    )
    assert set(parts) == {
        "background",
        "foreground",
        "negative",
        "field_foreground",
        "field_background",
    }
    gradcheck(
        lambda z: losses.affinity_displacement_loss(z, None, classes, radius=3), draw(1, 5, 6)
    )


def test_a_loss_in_a_network(draw):
    """Gradients arrive at parameters, through tensors with gaps that autograd tracks."""
    layer = torch.nn.Conv2d(3, 4, 1)
    image = draw(2, 6, 5, 3).float().permute(0, 3, 1, 2)
    labels = labels_like((2, 6, 5), 4)
    logits = layer(image)
    assert not logits.transpose(2, 3).is_contiguous()
    grads = []
    for loss in (
        losses.cross_entropy,
        lambda z, l: torch.nn.functional.cross_entropy(z, l, ignore_index=255),
    ):
        layer.zero_grad()
        loss(layer(image).transpose(2, 3), labels.transpose(1, 2)).backward()
        grads.append(layer.weight.grad.clone())
    torch.testing.assert_close(grads[0], grads[1], atol=1e-6, rtol=1e-5)


def test_gradients_reach_only_the_variables(draw):
    output, target = draw(1, 2, 3, 3).requires_grad_(), draw(1, 2, 3, 3).requires_grad_()
    losses.mean_square_error(output, target).backward()
    assert output.grad is not None
    assert target.grad is None
    logits, field = draw(1, 5, 6).requires_grad_(), draw(1, 2, 5, 6)
    losses.affinity_displacement_loss(
        logits, field, torch.ones(1, 5, 6, dtype=torch.uint8), radius=3
    ).backward()
    assert logits.grad is not None
    assert field.grad is None
    assert not losses.mean_square_error(output.detach(), target).requires_grad
    with torch.no_grad():
        assert not losses.mean_square_error(output, target).requires_grad


def test_a_second_derivative_is_an_error(draw):
    output, target = draw(1, 2, 3, 3).requires_grad_(), draw(1, 2, 3, 3)
    (gradient,) = torch.autograd.grad(
        losses.mean_square_error(output, target), output, create_graph=True
    )
    torch.testing.assert_close(gradient, 2 * (output - target).detach() / 18)
    with pytest.raises(RuntimeError, match="no second derivative"):
        gradient.sum().backward()


def test_the_backward_pass_runs_once(draw):
    output = draw(1, 2, 3, 3).requires_grad_()
    loss = losses.mean_square_error(output, draw(1, 2, 3, 3))
    loss.backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        loss.backward()


def test_types_and_devices(draw):
    output, labels = draw(1, 2, 3, 3), torch.zeros(1, 3, 3)
    loss = losses.cross_entropy(output.float(), labels.long())
    assert (loss.dtype, loss.shape) == (torch.float32, ())
    with pytest.raises(
        TypeError, match=r"logits is float16 \(1, 2, 3, 3\) on cpu; expected float32 or float64"
    ):
        losses.cross_entropy(output.half(), labels.long())
    with pytest.raises(TypeError, match="labels is float32"):
        losses.cross_entropy(output, labels)
    with pytest.raises(TypeError, match="logits is ndarray; expected a tensor"):
        losses.cross_entropy(output.numpy(), labels.long())
    with pytest.raises(ValueError, match="logits is .* on meta; this package computes on the CPU"):
        losses.cross_entropy(output.to("meta"), labels.long())
    with pytest.raises(ValueError, match=r"cross_entropy: label\(0,0,0\) is 7"):
        losses.cross_entropy(output, labels.long() + 7)
    with pytest.raises(TypeError, match="layout"):
        losses.mean_square_error(output.to_sparse(), output)
    with pytest.raises(ValueError, match="trusted is int64 .* do not fit"):
        losses.label_uncertainty_loss(
            output, output, output.sigmoid(), labels[:, None].long() + 256
        )
    large = torch.full((1, 1, 1, 1), 1e30)
    assert losses.mean_square_error(large, -large).isinf()


def test_differentiable(draw):
    """The door for losses of one's own, and what it refuses."""

    def cubes(a, b):
        assert not a.requires_grad
        value = (a**3).sum().item() + b.sum().item()
        return value, [(3 * a**2).numpy(), torch.ones_like(b)]

    gradcheck(lambda a, b: losses.differentiable(cubes, a, b), draw(2, 3), draw(4))
    a = draw(2, 3)
    with pytest.raises(ValueError, match="gave 2 gradients for 1 inputs"):
        losses.differentiable(lambda x: (0.0, [x, x]), a)
    with pytest.raises(ValueError, match="input 0 is float64 .* but its gradient is float32"):
        losses.differentiable(lambda x: (0.0, [x.float()]), a)
    with pytest.raises(TypeError, match="input 0 is int64"):
        losses.differentiable(lambda x: (0.0, [x]), torch.zeros(2, dtype=torch.long))
    with pytest.raises(ValueError, match="no input"):
        losses.differentiable(lambda: (0.0, []))


def test_training_lowers_the_loss(draw):
    logits, labels = draw(1, 3, 4, 4).requires_grad_(), labels_like((1, 4, 4), 3)
    steps = torch.optim.SGD([logits], lr=10)
    values = []
    for _ in range(30):
        steps.zero_grad()
        loss = losses.cross_entropy(logits, labels)
        loss.backward()
        steps.step()
        values.append(loss.item())
    assert values[-1] < 0.1 * values[0]


def test_torch_is_imported_only_when_used():
    code = "import sys, pycambium; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_numpy_and_torch_agree(draw):
    import pycambium as pc

    z, labels = draw(2, 3, 4, 5), labels_like((2, 4, 5), 3)
    assert (
        losses.cross_entropy(z, labels).item() == pc.cross_entropy(z.numpy(), labels.numpy()).value
    )
    assert np.array_equal(
        pc.cross_entropy(z, labels).gradient, pc.cross_entropy(z.numpy(), labels.numpy()).gradient
    )


def test_losses_of_boxes(draw):
    logits = draw(3, 6, 7)
    boxes = torch.tensor([[1, 2, 5, 6], [0, 0, 3, 7], [2, 1, 6, 4]])
    pairs = torch.arange(2 * 6 * 7).reshape(2, 6, 7) % 256
    images = torch.tensor([1, 0, 1])
    gradcheck(lambda z: losses.box_projection_loss(z, boxes), logits)
    gradcheck(lambda z: losses.pairwise_loss(z, boxes, pairs, images=images, warm=0.5), logits)
    single = draw(3, 6, 7).float().requires_grad_()
    loss = losses.box_projection_loss(single, boxes) + losses.pairwise_loss(
        single, boxes, pairs[:1], size=3, dilation=1
    )
    loss.backward()
    assert loss.dtype == torch.float32 and single.grad.abs().sum() > 0
    with pytest.raises(TypeError, match="box_projection_loss: boxes"):
        losses.box_projection_loss(logits, boxes.float())


def test_tree_energy(draw):
    probabilities, low, high = (
        draw(1, 2, 4, 5).sigmoid(),
        draw(1, 3, 4, 5),
        draw(1, 2, 4, 5),
    )
    roi = torch.ones(1, 1, 4, 5, dtype=torch.float64)
    gradcheck(lambda p: losses.tree_energy_loss(p, roi, low, sigma=0.5), probabilities)
    gradcheck(
        lambda p, h: losses.tree_energy_loss(p, roi, low, h, sigma=0.5),
        probabilities,
        high,
    )
