"""What of models ONNX can translate, and what its exporter says of the rest."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vaekern as vk

PIXELS, LATENT, BATCH = 6, 3, 5
X = torch.rand(BATCH, PIXELS, generator=torch.Generator().manual_seed(0))
SEED = torch.tensor([3, 4])


class Split(nn.Linear):
    def __init__(self, inputs: int, *sizes: int) -> None:
        super().__init__(inputs, sum(sizes))
        self.sizes = sizes

    def forward(self, x: Tensor) -> Any:
        return super().forward(x).split(self.sizes, dim=-1)


def make() -> vk.VAE:
    torch.manual_seed(0)
    return vk.VAE(Split(PIXELS, LATENT, LATENT), nn.Linear(LATENT, PIXELS))


class Reconstruction(nn.Module):
    """What is deployed: the mean of x from the mean of z."""

    def __init__(self) -> None:
        super().__init__()
        self.model = make()

    def forward(self, x: Tensor) -> Tensor:
        return self.model.reconstruct(x)


class LossOfNoise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.model = make()

    def forward(self, x: Tensor, eps: Tensor) -> Tensor:
        return self.model(x, eps=eps).loss


def operations(program: torch.export.ExportedProgram) -> set[str]:
    return {str(n.target) for n in program.graph.nodes if n.op == "call_function"}


def test_what_onnx_can_translate() -> None:
    """On the reference, with noise of one's own, a graph has torch's operations alone; with the
    kernels it has this library's, which no other runtime knows."""
    eps = torch.randn(BATCH, LATENT)
    module = LossOfNoise()
    with vk.backend("reference"):
        program = torch.export.export(module, (X, eps))
    assert not [name for name in operations(program) if "vaekern" in name]
    torch.testing.assert_close(program.module()(X, eps), module(X, eps))
    assert [n for n in operations(torch.export.export(module, (X, eps))) if "vaekern" in n]
    program = torch.export.export(Reconstruction(), (X,))
    assert not [name for name in operations(program) if "vaekern" in name]


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # of torch's own exporter
@pytest.mark.parametrize("kind", ["reconstruction", "loss"])
def test_onnx(kind: str) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    eps = torch.randn(BATCH, LATENT)
    module, inputs = (
        (Reconstruction(), (X,)) if kind == "reconstruction" else (LossOfNoise(), (X, eps))
    )
    with vk.backend("reference"):
        program = torch.onnx.export(module.eval(), inputs, dynamo=True)
    session = runtime.InferenceSession(program.model_proto.SerializeToString())
    names = [entry.name for entry in session.get_inputs()]
    feed = {name: t.numpy() for name, t in zip(names, inputs, strict=True)}
    (found,) = session.run(None, feed)
    torch.testing.assert_close(torch.from_numpy(found), module(*inputs).detach())


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")
@pytest.mark.parametrize(("on", "names"), [("cpu", "vaekern"), ("reference", "randint")])
def test_what_onnx_says_otherwise(on: str, names: str) -> None:
    """Of kernels; and of noise that is generated."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    module, inputs = LossOfNoise(), (X, torch.randn(BATCH, LATENT))
    if on == "reference":
        module, inputs = module.model, (X,)
    with vk.backend(on), pytest.raises(Exception, match="No ONNX function found") as caught:
        torch.onnx.export(module.eval(), inputs, dynamo=True)
    assert names in str(caught.value)
