"""Kronecker-factored preconditioning: the gradients of graph convolutions, bent towards the natural gradient."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from gnn.errors import SettingError
from gnn.layers import CsrMatrix, GraphConvolution
from gnn.training_settings import KroneckerPreconditioning


@contextmanager
def preconditioning(model: nn.Module, settings: KroneckerPreconditioning | None) -> Iterator[Callable[[], None]]:
    """A function to call between `backward` and the optimiser's step; without settings it does nothing.

    Raises `SettingError` for a model without a graph convolution.
    """
    if settings is None:
        yield lambda: None
        return
    preconditioner = KroneckerPreconditioner(model, settings)
    try:
        yield preconditioner.precondition
    finally:
        preconditioner.remove_hooks()


class KroneckerPreconditioner:
    """Replace the gradient of every graph convolution of a model by G^-1 grad A^-1.

    A layer computes out = a [W b]^T from a = [A_hat x, 1], its aggregated inputs and a 1 for its bias. With g, the
    gradient of the mean loss with respect to out, A = sum of a^T a / nodes and G = nodes * sum of g^T g, over all
    nodes; both, with sqrt(damping) added to their diagonals, are inverted.

    Source: Izadi, Fang, Stevenson and Lin, Optimization of Graph Neural Networks with Natural Gradient Descent
    (arXiv 2008.09624); russellizadi/ssp, experiments/psgd.py, which divides by the training nodes and scales g by the
    layer's width. Their second loss, on the model's own guesses for unlabelled nodes, is left out (gamma None there).
    Shapes: grad [out_channels, in_channels + 1], A [in_channels + 1, in_channels + 1], G [out_channels, out_channels].
    Raises `SettingError` for a model without a graph convolution.
    """

    def __init__(self, model: nn.Module, settings: KroneckerPreconditioning) -> None:
        modules = [module for module in model.modules() if isinstance(module, GraphConvolution)]
        if not modules:
            raise SettingError(
                f"{type(model).__name__} has no GraphConvolution to precondition; set preconditioner to None"
            )
        self.settings = settings
        self.layers = [_PreconditionedLayer(module, settings) for module in modules]
        self._steps = 0

    def precondition(self) -> None:
        """Change the gradients in place; the factors are renewed every `update_every` calls."""
        due = self._steps % self.settings.update_every == 0
        for layer in self.layers:
            if due:
                layer.renew_factors()
            layer.precondition()
        self._steps += 1

    def remove_hooks(self) -> None:
        """Leave the model as it was."""
        for layer in self.layers:
            layer.hook.remove()


def _damped_inverse(moment: Tensor, damping: float) -> Tensor:
    """The inverse of a second moment with sqrt(damping) added to its diagonal."""
    on_diagonal = damping**0.5 * torch.eye(len(moment), dtype=moment.dtype, device=moment.device)
    return torch.cholesky_inverse(torch.linalg.cholesky(moment + on_diagonal))


class _PreconditionedLayer:
    """One graph convolution, and its last pass in training as far as its factors need it."""

    def __init__(self, module: GraphConvolution, settings: KroneckerPreconditioning) -> None:
        self.module = module
        self.damping = settings.damping
        self.inverses: tuple[Tensor, Tensor] | None = None
        self.hook = module.register_forward_hook(self._watch)
        self._inputs: tuple[Any, Any] | None = None
        self._gradient: Tensor | None = None

    @torch.no_grad()
    def renew_factors(self) -> None:
        """Invert the second moments of the inputs and the gradients of the last pass."""
        if self._inputs is None or self._gradient is None:
            return
        features, adjacency = self._inputs
        aggregated = adjacency @ (features.to_dense() if isinstance(features, CsrMatrix) else features)
        if self.module.bias is not None:
            aggregated = torch.cat([aggregated, aggregated.new_ones(len(aggregated), 1)], dim=1)
        nodes = len(aggregated)
        of_inputs, of_gradients = aggregated.t() @ aggregated / nodes, self._gradient.t() @ self._gradient * nodes
        self.inverses = _damped_inverse(of_inputs, self.damping), _damped_inverse(of_gradients, self.damping)

    @torch.no_grad()
    def precondition(self) -> None:
        """Multiply the gradient of weight and bias by the inverse factors, in place."""
        weight, bias = self.module.lin.weight.grad, None if self.module.bias is None else self.module.bias.grad
        if weight is None or self.inverses is None:
            return
        gradient = weight if bias is None else torch.cat([weight, bias[:, None]], dim=1)
        of_inputs, of_gradients = self.inverses
        gradient = of_gradients @ gradient @ of_inputs
        weight.copy_(gradient[:, : weight.shape[1]])
        if bias is not None:
            bias.copy_(gradient[:, -1])

    def _watch(self, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG002
        if output.requires_grad:
            self._inputs = (inputs[0], inputs[1])
            output.register_hook(self._keep_gradient)

    def _keep_gradient(self, gradient: Tensor) -> None:
        self._gradient = gradient
