"""What a compiled module says of the kernels it got, where there is a choice."""

import psutil
import pytest
import torch
from torch import nn

from gnn.compression import Bf16, compress
from gnn.errors import SettingError
from gnn.native import has_bfloat16
from gnn.native.library import library
from gnn.runtime import compile, explain, untouched_layers  # noqa: A004
from tests.gnn.foreign_models import foreign_model


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


def test_bf16_is_a_precision_of_its_own() -> None:
    net, features = nn.Sequential(nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 3)), torch.randn(5, 9)
    rounded = compress(net, Bf16(), example=(features,)).model
    found = {True: compile(net, features, precision="bf16"), False: compile(rounded)}
    for fused, compiled in found.items():
        torch.testing.assert_close(compiled(features), rounded(features), rtol=1e-2, atol=1e-2)
        assert not torch.equal(compiled(features), net(features))
        said = explain(compiled)[""].split("; ")
        assert said[-1].startswith("products read bf16")
        assert (" without a gain, as this processor has no instructions for it" in said[-1]) == (not has_bfloat16())
        assert said[0].startswith("fused: ") == fused
    assert ("" in untouched_layers(rounded)) == (not has_bfloat16())
    assert untouched_layers(net) == {}
    with pytest.raises(SettingError, match="precision 'int7' is unknown; valid are: fp32, bf16"):
        compile(net, precision="int7")


def test_the_runtime_lists_the_layers_without_a_kernel_and_no_others() -> None:
    left = untouched_layers(foreign_model("own")[0])
    assert set(left) == {"first", "twice"}
    assert all(reason.startswith("OwnConvolution has no rule of lower; add one with ") for reason in left.values())
    assert untouched_layers(foreign_model("gcn")[0]) == {}
    assert untouched_layers(foreign_model("gat")[0]) == {}


def test_products_of_ever_other_sizes_keep_no_memory() -> None:
    compiled, process = compile(nn.Linear(64, 64)), psutil.Process()

    def after(sizes: range) -> int:
        for rows in sizes:
            compiled(torch.zeros(rows, 64))
        return process.memory_info().rss

    # Every result has a megabyte, and a library that keeps its work for the next call of this size as much.
    assert -after(range(4000, 4020)) + after(range(4020, 4220)) < 50e6
