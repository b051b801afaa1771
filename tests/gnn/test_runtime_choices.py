"""What a compiled module says of the kernels it got, where there is a choice."""

import pytest
import torch
from torch import nn

from gnn.native.library import library
from gnn.runtime import compile, explain  # noqa: A004


@pytest.mark.skipif(library() is None, reason="no compiled kernels")
@pytest.mark.parametrize(("kernels", "said"), [("sparse", "zeros of weights passed over (2x)"), ("torch", None)])
def test_where_zeros_are_passed_over(kernels: str, said: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GNN_KERNELS", kernels)
    net, features = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8)), torch.randn(5, 8)
    for parameter in net.parameters():
        parameter.data *= torch.rand_like(parameter) > 0.9
    compiled = compile(net)
    assert "" not in explain(compiled)
    torch.testing.assert_close(compiled(features), net(features))
    assert explain(compiled).get("") == said
