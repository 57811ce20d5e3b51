"""What of torch works, on a small model; torch_features.py says where the rest is tested."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import pytest
import torch
from distributed_worker import make_batch, make_model
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter
from torch.autograd.graph import saved_tensors_hooks

import vaekern as vk

SEED = torch.tensor([3, 4])


class Losses(nn.Module):
    """A model's loss per datapoint, as a function of tensors alone."""

    def __init__(self) -> None:
        super().__init__()
        self.model = make_model()

    def forward(self, x: Tensor, seed: Tensor) -> Tensor:
        mu, logvar = self.model.encode(x)
        z, kl = vk.sample_with_kl(mu, logvar, seed=seed)
        return kl - vk.bernoulli_log_likelihood(self.model.decoder(z), x)


def gradients(loss: Tensor, model: nn.Module) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(model.parameters())))


# --- compilers ------------------------------------------------------------------------------------


def test_one_graph_for_every_beta() -> None:
    torch._dynamo.reset()
    counter = CompileCounter()
    compiled = torch.compile(vk.elbo_loss, backend=counter, fullgraph=True)
    logits, mu = torch.randn(4, 6), torch.randn(4, 3)
    x = torch.rand(4, 6)
    for weight in (0.0, 0.5, 1.0):
        beta = torch.tensor(weight)
        torch.testing.assert_close(
            compiled(logits, x, mu, mu, beta=beta), vk.elbo_loss(logits, x, mu, mu, beta=beta)
        )
    assert counter.frame_count == 1


def test_exported_for_any_batch_saved_and_loaded() -> None:
    losses, (x, _) = Losses(), make_batch()
    program = torch.export.export(
        losses, (x, SEED), dynamic_shapes=({0: torch.export.Dim("batch")}, None)
    )
    stored = io.BytesIO()
    torch.export.save(program, stored)
    stored.seek(0)
    loaded = torch.export.load(stored).module()
    for batch in (x, x[:5]):
        assert torch.equal(loaded(batch, SEED), losses(batch, SEED))


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # of torch's own package loader
def test_compiled_ahead_of_time(tmp_path: Path) -> None:
    losses, (x, _) = Losses(), make_batch()
    with torch.no_grad():
        program = torch.export.export(losses, (x, SEED))
        path = torch._inductor.aoti_compile_and_package(
            program, package_path=str(tmp_path / "losses.pt2")
        )
        loaded = torch._inductor.aoti_load_package(path)
        torch.testing.assert_close(loaded(x, SEED), losses(x, SEED))


# --- training -------------------------------------------------------------------------------------


def test_losses_under_autocast_are_float32() -> None:
    """Networks in bfloat16, whose outputs the kernels read; nothing is unsafe to autocast."""
    model, (x, eps) = make_model(), make_batch()
    with torch.autocast("cpu", torch.bfloat16):
        out = model(x, eps=eps)
        loss = vk.elbo_loss(out.decoder_output, x, out.mu, out.logvar, model.likelihood)
    assert out.decoder_output.dtype is torch.bfloat16
    assert out.loss.dtype is loss.dtype is torch.float32
    torch.testing.assert_close(loss, out.loss)
    exact = make_model()
    want = gradients(exact(x, eps=eps).loss, exact)
    for a, b in zip(gradients(loss, model), want, strict=True):
        assert a.dtype is torch.float32
        torch.testing.assert_close(a, b, rtol=0.0, atol=2e-2 * b.abs().max().item())


def test_saved_tensors_may_be_kept_elsewhere() -> None:
    """Packed as bytes, and unpacked into other memory."""

    def pack(tensor: Tensor) -> bytes:
        stored = io.BytesIO()
        torch.save(tensor, stored)
        return stored.getvalue()

    def unpack(stored: bytes) -> Tensor:
        tensor: Tensor = torch.load(io.BytesIO(stored), weights_only=True)
        return tensor

    model, (x, _) = make_model(), make_batch()
    want = gradients(model(x, seed=3).loss, model)
    with saved_tensors_hooks(pack, unpack):
        loss = model(x, seed=3).loss
    for a, b in zip(gradients(loss, model), want, strict=True):
        assert torch.equal(a, b)


def test_models_are_pickled() -> None:
    model, (x, _) = make_model(), make_batch()
    again = pickle.loads(pickle.dumps(model))
    assert torch.equal(again(x, seed=5).loss, model(x, seed=5).loss)


# --- tensors of other types -----------------------------------------------------------------------


class Tagged(Tensor):
    pass


def test_subclasses_stay_what_they_are() -> None:
    mu, logvar = torch.randn(4, 3), torch.randn(4, 3)
    tagged = [t.clone().as_subclass(Tagged).requires_grad_() for t in (mu, logvar)]
    kl = vk.gaussian_kl(*tagged)
    assert type(kl) is Tagged
    assert torch.equal(kl.as_subclass(Tensor), vk.gaussian_kl(mu, logvar))
    kl.sum().backward()
    assert tagged[0].grad is not None
    assert torch.equal(tagged[0].grad.as_subclass(Tensor), mu)


def test_sparse_and_nested_tensors_are_refused() -> None:
    dense = torch.ones(2, 3)
    for other in (
        dense.to_sparse(),
        torch.nested.nested_tensor([dense, dense], layout=torch.jagged),
    ):
        with pytest.raises(TypeError, match=r"^mu: expected a strided \(dense\) tensor"):
            vk.gaussian_kl(other, other)
