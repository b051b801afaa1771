"""Any module is saved, and comes back into what its user builds: as wide, narrower, on integers, or with a sentence."""

import copy
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import GINConv, SAGEConv, models
from torch_geometric.nn import Linear as PygLinear

from gnn import storage
from gnn.errors import SettingError, StorageError
from gnn.layers.resize import take_sizes, take_tensors
from gnn.models.gnnnet import GnnNet, GnnNetSettings
from gnn.quantization.description import Quantization
from gnn.tensor_bytes import tensor_bytes
from tests.gnn.model_file_forgery import described, description, forge, opened
from tests.gnn.toy_quantization import logits, tasks_of_every_kind

EDGES = torch.tensor([[0, 1, 2, 3, 4, 5, 0], [1, 2, 3, 4, 5, 0, 3]])
TYPES = (torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.int16, torch.int32, torch.bool)


class Net(nn.Module):
    """Residuals, jumps to the end, layers of PyG with networks in them, and buffers of every type."""

    def __init__(self, widths: tuple[int, int] = (8, 8)) -> None:
        super().__init__()
        first, second = widths
        self.enter = PygLinear(6, first)
        self.mlp = nn.Sequential(nn.Linear(first, second), nn.BatchNorm1d(second), nn.ReLU(), nn.Linear(second, first))
        self.gin = GINConv(self.mlp, train_eps=True)
        self.norm = nn.LayerNorm(first)
        self.sage = SAGEConv(first, second)
        self.leave = nn.Linear(first + second, 3, bias=False)
        self.register_buffer("nothing", None)
        for dtype in TYPES:
            self.register_buffer(str(dtype).replace(".", "_"), torch.tensor([[1, 0, 1]]).to(dtype))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = self.enter(x).relu()
        x = self.norm(x + self.gin(x, edge_index))
        return self.leave(torch.cat([x, self.sage(x, edge_index)], dim=1))


class Tied(nn.Module):
    """One weight under two names."""

    def __init__(self, *, tied: bool = True) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(4, 4), nn.Linear(4, 4)
        if tied:
            self.decoder.weight = self.encoder.weight


class Sharing(nn.Module):
    """A buffer in the memory of a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 4))
        self.register_buffer("row", self.weight.detach()[0])


class Extra(nn.Linear):
    """A layer with a state that is no tensor."""

    def get_extra_state(self) -> Any:  # noqa: ANN401
        return {"seen": 3}


class OwnGnnNet(GnnNet):
    """No registered model, though it is made of one."""

    def __init__(self, width: int = 6) -> None:
        super().__init__(GnnNetSettings(in_channels=4, out_channels=2, hidden_channels=width))


MODELS: dict[str, Callable[[int], nn.Module]] = {
    "gcn": lambda width: models.GCN(6, width, 3, 4, jk="cat"),
    "gin": lambda width: models.GIN(6, width, 2, 4, norm="batch_norm"),
    "sage": lambda width: models.GraphSAGE(6, width, 3, 4, jk="max", norm="layer_norm"),
    "gat": lambda width: models.GAT(6, 2 * width, 3, 4, heads=2, norm="graph_norm", residual=True),
    "pna": lambda width: models.PNA(
        6, width, 2, 4, aggregators=["sum", "max"], scalers=["identity"], deg=torch.tensor([1, 5, 1])
    ),
    "own": lambda width: Net((width, width - 1)),
}


def filled(model: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data.uniform_(-1, 1, generator=generator)
    return model.eval()


def sizes(model: nn.Module) -> list[str]:
    """What its layers say of themselves; the model around them may name the widths that it was asked for."""
    return [text for text in map(str, model.modules()) if not re.search(r"^(GCN|GraphSAGE|GAT)\(|MLP\(", text)]


# A PNA convolution counts its channels in ways of its own.
@pytest.mark.parametrize(
    ("name", "width"), [*((name, 8) for name in MODELS), *((name, 5) for name in MODELS if name != "pna")]
)
def test_a_module_comes_back_into_one_that_is_as_wide_or_wider(name: str, width: int, tmp_path: Path) -> None:
    model, features = filled(MODELS[name](width)), torch.randn(6, 6)
    built = MODELS[name](8)
    weight = next(built.parameters())
    for precision in storage.PRECISIONS:
        size = storage.save(model, tmp_path / "m", precision=precision)
        loaded = storage.load(tmp_path / "m", build=lambda: built)
        assert (loaded.model_name, loaded.task, loaded.precision) == (type(model).__name__, "", precision)
        assert loaded.model is built
        assert not built.training
        assert next(built.parameters()) is weight
        expected, state = storage.as_stored(model, precision), built.state_dict()
        assert list(state) == list(expected)
        for tensor, value in expected.items():
            assert (state[tensor].dtype, state[tensor].shape) == (value.dtype, value.shape), tensor
            assert tensor_bytes(state[tensor]).tobytes() == tensor_bytes(value).tobytes(), tensor
        twin = copy.deepcopy(model)
        twin.load_state_dict(expected)
        assert torch.equal(built(features, EDGES), twin(features, EDGES))
        assert 0 < storage.entropy_bound_bytes(model, precision) < size
    if width < 8:
        assert sizes(built) == sizes(model) != sizes(MODELS[name](8))
    assert storage.algorithm1_size_bytes(model) > 0


def test_tensors_and_sizes_that_a_module_cannot_take_are_refused() -> None:
    for name, shape in (("weight", (3, 5, 2)), ("scale", (3,))):
        with pytest.raises(SettingError, match=rf"^tensor '{name}' .* so it cannot become one of shape \["):
            take_tensors(nn.Linear(4, 5), {name: torch.zeros(shape)})
    wrong: list[Any] = [{"": {"in_features": 9}}, {"": {"in_features": "3"}}, {"": {"heads": 1}}, {"": 3}]
    for sizes in wrong:
        with pytest.raises(SettingError, match=r"^layer '' has the \w+ \w+, so it cannot become "):
            take_sizes(nn.Linear(4, 5), sizes)
    take_sizes(narrow := nn.Linear(4, 5), {"": {"in_features": 3, "out_features": 5}})
    assert (narrow.in_features, narrow.out_features) == (3, 5)


@pytest.mark.parametrize("kind", ["range", "channel", "node-group"])
@pytest.mark.parametrize("width", [6, 4])
def test_a_module_on_integers_comes_back(kind: Any, width: int, tmp_path: Path) -> None:  # noqa: ANN401
    task, quantization = tasks_of_every_kind()["graph-classification"], Quantization(kind, 4, groups=9)
    simulated: Any = quantization.apply(filled(OwnGnnNet(width)).train())
    for loss in simulated.losses(task, simulated.prepare(task), 16):
        loss.backward()
    model: Any = quantization.to_integers(simulated)
    storage.save(model, tmp_path / "m")
    loaded = storage.load(tmp_path / "m", build=OwnGnnNet).model
    assert loaded.quantization == quantization
    assert torch.equal(logits(loaded, task), logits(model, task))
    forge(tmp_path / "m", {"quantization": {"kind": "log", "bit_width": 4}})
    with pytest.raises(StorageError, match=r"m is quantized as no OwnGnnNet that was built can be \(kind 'log' of "):
        storage.load(tmp_path / "m", build=OwnGnnNet)


def test_a_registered_model_is_known_without_its_name(tmp_path: Path) -> None:
    model = GnnNet(GnnNetSettings(in_channels=4, out_channels=2))
    sized = [storage.save(model, tmp_path / "m", **name) for name in ({}, {"model_name": "gnnnet"})]
    assert sized[0] == sized[1]
    assert storage.load(tmp_path / "m").model_name == "gnnnet"
    assert opened(tmp_path / "m")[0]["version"] == "2"
    model.mlps[0] = nn.Linear(64, 1)
    storage.save(model, tmp_path / "m")
    assert storage.load(tmp_path / "m").model.get_parameter("mlps.0.weight").shape == (1, 64)
    assert opened(tmp_path / "m")[0]["version"] == "3"
    model.mlps[0] = nn.Linear(64, 3)
    storage.save(model, tmp_path / "m")
    assert opened(tmp_path / "m")[0]["version"] == "3"
    with pytest.raises(
        StorageError, match=r"m is a GnnNet, which this library does not build; give load\(path, build="
    ):
        storage.load(tmp_path / "m")


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: nn.Linear(8, 5), "describes other tensors than its model has: '"),
        (
            lambda: Net((4, 8)),
            "holds tensor 'enter.weight' as ['float32', [5, 6]], which does not fit into ['float32', [4",
        ),
        (
            lambda: Net().half(),
            "holds tensor 'torch_bfloat16' as ['bfloat16', [1, 3]], which does not fit into ['float16'",
        ),
        (
            lambda: nn.ModuleDict({"enter": nn.Conv1d(9, 9, 1)}),
            "holds tensor 'enter.weight' as ['float32', [5, 6]], which",
        ),
        (
            lambda: models.GCN(-1, 8, 2),
            "'convs.0.lin.weight' has no size yet; build its layer with its sizes, or call ",
        ),
        (None, "is a Net, which this library does not build; give load(path, build=...)"),
    ],
)
def test_a_module_that_cannot_take_the_tensors_is_refused(
    build: Callable[[], nn.Module] | None, sentence: str, tmp_path: Path
) -> None:
    storage.save(Net((5, 4)), tmp_path / "m")
    with pytest.raises(StorageError) as caught:
        storage.load(tmp_path / "m", **({} if build is None else {"build": build}))
    assert str(caught.value).startswith(f"{tmp_path / 'm'} {sentence}")


@pytest.mark.parametrize("shape", [None, [2, 2**40, 4], [-1, 6], [2**40, 6], "56"])
def test_a_shape_that_no_module_was_built_for_is_refused(shape: object, tmp_path: Path) -> None:
    storage.save(Net((5, 4)), tmp_path / "m")
    tensors = description(opened(tmp_path / "m")[0])
    forge(tmp_path / "m", {"tensors": described({**tensors, "enter.weight": ["float32", shape, 32]})})
    with pytest.raises(
        StorageError, match=r"(describes|holds) tensor 'enter\.weight' as .*, which (is no tensor|does not)"
    ):
        storage.load(tmp_path / "m", build=Net)


@pytest.mark.parametrize(
    ("build", "precision", "sentence"),
    [
        (Sharing, "fp32", "tensors 'weight' and 'row' share their memory without being one, which a file would part; "),
        (
            lambda: Extra(2, 2),
            "fp32",
            "'_extra_state' is a dict, which cannot be stored without executing what is in a ",
        ),
        (lambda: models.GIN(-1, 8, 2), "fp32", "'convs.0.nn.lins.0.weight' has no size yet; build its layer with its "),
        (
            lambda: nn.Linear(2, 2, device="meta"),
            "fp32",
            "tensor 'weight' is on device meta and has no numbers; build ",
        ),
        (
            lambda: nn.Linear(2, 2, dtype=torch.complex64),
            "fp32",
            "tensors of type torch.complex64, as 'weight', cannot ",
        ),
        (
            lambda: nn.Linear(2, 2).half(),
            "int8",
            "the model cannot be stored in int8: its weight 'weight' is no float32;",
        ),
    ],
)
def test_what_a_file_has_no_room_for_is_refused(
    build: Callable[[], nn.Module], precision: str, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(StorageError) as caught:
        storage.save(build(), tmp_path / "m", precision=precision)
    assert str(caught.value).startswith(sentence)
    assert list(tmp_path.iterdir()) == []
    if "has no size" in sentence or "_extra_state" in sentence:
        for size in (storage.algorithm1_size_bytes, storage.dense_size_bytes, storage.entropy_bound_bytes):
            with pytest.raises(StorageError, match=re.escape(sentence)):
                size(build())


def test_a_tied_weight_is_stored_once_and_stays_tied(tmp_path: Path) -> None:
    model = Tied()
    storage.save(model, tmp_path / "m", precision="int8")
    assert description(opened(tmp_path / "m")[0]).keys() == {"encoder.weight", "encoder.bias", "decoder.bias"}
    loaded = storage.load(tmp_path / "m", build=Tied).model
    assert loaded.decoder.weight is loaded.encoder.weight
    for name, tensor in storage.as_stored(model, "int8").items():
        assert torch.equal(loaded.state_dict()[name], tensor)
    with pytest.raises(
        StorageError, match=r"other tensors than its model has: 'decoder\.weight' is missing or too many"
    ):
        storage.load(tmp_path / "m", build=lambda: Tied(tied=False))


def test_memory_is_a_small_multiple_of_the_state(tmp_path: Path) -> None:
    model = nn.Sequential(*(nn.Linear(1024, 1024) for _ in range(6)))
    state_bytes = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    assert state_bytes > 2**24
    for work in (
        lambda: storage.save(model, tmp_path / "m"),
        lambda: storage.load(tmp_path / "m", build=lambda: model),
    ):
        tracemalloc.start()
        work()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # The numbers of all tensors, their bytes, which of them are not zero, and what a codec needs for itself.
        assert peak < 3.3 * state_bytes
