"""Invertible maps with a determinant that costs little, as modules."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from vaekern._backends.launch import accumulation_dtype
from vaekern.posteriors.cholesky import positive


class Flow(nn.Module):
    """The interface: an invertible map of vectors, the last dimension."""

    def forward(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """z, the shape and dtype of y [..., D], and log|det dz/dy| [...], float32 for half
        precision."""
        raise NotImplementedError

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """y, the shape of z.

        Raises:
            NotImplementedError: it is not known.
        """
        raise NotImplementedError(f"{type(self).__name__} has no inverse")


class Planar(Flow):
    r"""A planar flow.

    .. math:: z = y + \hat u \tanh(w^T y + b), \qquad
        \hat u = u + (m(w^T u) - w^T u) \frac{w}{\|w\|^2}, \quad m(a) = -1 + \log(1 + e^a)

    which is invertible for any u, with the determinant :math:`\tanh^2 + (1 - \tanh^2)
    \log(1 + e^{w^T u})`. (Rezende & Mohamed 2015, section 4.1 and appendix A.1.) The inverse is
    not known.

    Args:
        features: D.
        context_features: where it is given, u, w and b are a linear function of a context
            [..., context_features], as in the paper; otherwise they are parameters, shared by all
            datapoints.
    """

    def __init__(self, features: int, context_features: int | None = None) -> None:
        super().__init__()
        self.features = features
        amortised = context_features is not None
        self.of_context = nn.Linear(context_features or 0, 2 * features + 1) if amortised else None
        self.shared = None if amortised else nn.Parameter(0.1 * torch.randn(2 * features + 1))

    def forward(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        wide = accumulation_dtype((y,))
        parameters = self._parameters_for(context).to(wide)
        u, w, b = parameters.split((self.features, self.features, 1), dim=-1)
        along = (w * u).sum(-1, keepdim=True)
        stretch = positive(along)  # 1 + m(w^T u)
        tiny = torch.finfo(wide).tiny
        direction = w / (w * w).sum(-1, keepdim=True).clamp(min=tiny)
        slope = (w * y).sum(-1, keepdim=True) + b
        height = torch.tanh(slope)
        z = y + (u + (positive(-along) - 1.0) * direction) * height  # m(w^T u) - w^T u
        steepness = 4.0 * torch.sigmoid(2.0 * slope) * torch.sigmoid(-2.0 * slope)  # 1 - tanh^2
        return z.to(y.dtype), torch.log(height * height + steepness * stretch).squeeze(-1)

    def _parameters_for(self, context: Tensor | None) -> Tensor:
        if self.of_context is None:
            assert self.shared is not None
            return self.shared
        return _applied(self.of_context, context)


class AffineAutoregressive(Flow):
    r"""An inverse autoregressive flow: element by element an affine map whose parameters depend on
    the elements before it.

    .. math:: z_i = \sigma_i y_i + (1 - \sigma_i) m_i, \qquad
        (m_i, s_i) = f_i(y_1 \dots y_{i-1}, h), \quad \sigma_i = 1 / (1 + e^{-s_i})

    with :math:`\log|\det| = \sum_i \log \sigma_i` (Kingma et al. 2016, section 4: inverse
    autoregressive flows in the numerically stable form). f is a masked network (Germain et al.
    2015, MADE) with one hidden layer; at first the map is nearly y itself. Sampling takes one pass
    through it, the inverse D of them.

    Args:
        features: D.
        hidden: units of the hidden layer.
        context_features: the size of the context h [..., context_features], which the hidden layer
            sees too.
        reverse: go through the elements from the last to the first. Alternate it in a chain.
    """

    def __init__(
        self,
        features: int,
        hidden: int = 64,
        context_features: int | None = None,
        *,
        reverse: bool = False,
    ) -> None:
        super().__init__()
        position = torch.arange(1, features + 1)
        if reverse:
            position = position.flip(0)
        degree = torch.arange(hidden) % max(1, features - 1) + 1  # a unit sees elements up to it
        self.first = _MaskedLinear((position <= degree[:, None]).float())
        self.last = _MaskedLinear((degree < position.repeat(2)[:, None]).float())
        self.of_context = (
            None if context_features is None else nn.Linear(context_features, hidden, bias=False)
        )
        with torch.no_grad():
            self.last.weight.mul_(0.1)
            self.last.bias.copy_(torch.tensor([0.0, 2.0]).repeat_interleave(features))
        self.features = features

    def forward(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        m, s = self._affine(y, context)
        z = m + torch.sigmoid(s) * (y - m)
        return z.to(y.dtype), F.logsigmoid(s).sum(-1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        y = torch.zeros_like(z)
        for _ in range(self.features):  # each pass makes one element more right
            m, s = self._affine(y, context)
            y = (m + (z - m) * (1.0 + torch.exp(-s))).to(z.dtype)
        return y

    def _affine(self, y: Tensor, context: Tensor | None) -> tuple[Tensor, ...]:
        hidden = self.first(y)
        if self.of_context is not None:
            hidden = hidden + _applied(self.of_context, context)
        result = self.last(torch.tanh(hidden)).to(accumulation_dtype((y,)))
        return tuple(result.chunk(2, dim=-1))


def _applied(layer: nn.Linear, context: Tensor | None) -> Tensor:
    if context is None:
        raise ValueError(
            f"context: expected [..., {layer.in_features}], as this flow was made for, got None"
        )
    result: Tensor = layer(context)
    return result


class _MaskedLinear(nn.Linear):
    """A linear layer with the weights that the mask [outputs, inputs] has a 1 for."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.mask * self.weight, self.bias)
