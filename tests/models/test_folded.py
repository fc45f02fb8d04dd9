import pytest
import torch

from mammogan.features.densenet import random_frozen
from mammogan.models.folded import FoldedDenseNet


@pytest.fixture(scope="module")
def plain():
    """Frozen branch in float64 whose BatchNorms are not at the identity, some with negative scale."""
    frozen = random_frozen()
    rng = torch.Generator().manual_seed(1)
    for module in frozen.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1, generator=rng)
            module.running_var.uniform_(0.5, 2, generator=rng)
            module.weight.data.normal_(generator=rng)
            module.bias.data.normal_(std=0.1, generator=rng)
    return frozen.double()


@pytest.fixture(scope="module")
def folded(plain):
    return FoldedDenseNet(plain)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("size", [28, 56, 224])
def test_features_jvp_and_vjp_equal_autograds(plain, folded, size):
    x = draw(2, 1, size, size).requires_grad_(True)
    maps = plain.feature_maps(x)
    cotangents = [draw(*tensor.shape, seed=1).requires_grad_(True) for tensor in maps]
    (pulled,) = torch.autograd.grad(maps, x, cotangents, create_graph=True)
    tangent = draw(*x.shape, seed=2)
    pushed = torch.autograd.grad(pulled, cotangents, tangent)

    ours, path = folded.linearise(x)
    close = {"rtol": 1e-10, "atol": 1e-11}
    torch.testing.assert_close(ours, maps, **close)
    torch.testing.assert_close(folded.vjp(cotangents, path), pulled.detach(), **close)
    torch.testing.assert_close(folded.jvp(tangent, path), pushed, **close)


def test_vjp_leaves_its_argument_and_the_path_alone(folded):
    x, cotangent = draw(2, 1, 56, 56), draw(2, 256, 7, 7, seed=1)
    kept = cotangent.clone()
    _, path = folded.linearise(x)
    first = folded.vjp([cotangent], path)
    assert torch.equal(cotangent, kept)
    assert torch.equal(folded.vjp([cotangent], path), first)


def test_forward_is_differentiable_once(folded):
    x = draw(2, 1, 28, 28).requires_grad_(True)
    features = folded(x)
    (gradient,) = torch.autograd.grad(features.square().sum(), x, create_graph=True)
    _, path = folded.linearise(x)
    torch.testing.assert_close(gradient.detach(), folded.vjp([2 * features.detach()], path))
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_it_has_nothing_to_train_and_takes_the_sources_dtype(folded, plain):
    assert list(folded.parameters()) == []
    assert {tensor.dtype for tensor in folded.buffers()} == {torch.float64}
    assert not folded(draw(1, 1, 28, 28)).requires_grad
