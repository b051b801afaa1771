"""What Torch-Pruning makes of our channel groups when it traces a model."""

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.yardsticks.hgpsl import EagerHgpSlNet
from bench.yardsticks.ness import EagerNess
from bench.yardsticks.spline import EagerSplineNet
from gnn.compression.channel_groups import ChannelGroup, slice_state
from gnn.compression.channel_layouts import channel_layout
from gnn.determinism import deterministic
from gnn.layers.feature_scaling import scale_features
from gnn.models import GraphModel, build_model_for
from gnn.tasks import GraphClassification, Task
from gnn.trial import Laboratory

SAME = "same"
TASKS = {"gin": "bbbp", "gnnnet": "bbbp", "hgpsl": "proteins", "ness": "cora-link", "spline": "cora-node"}
# A second channel, because the first one would be cut alike by many a wrong slice.
CHANNEL = 1


@dataclass(frozen=True, eq=False)
class Traced:
    """A model in one of its forms, and how it is run for one pass that autograd records."""

    model: nn.Module
    outputs: Callable[[nn.Module], Tensor]


def _own(model: GraphModel, task: Task) -> Traced:
    inputs = model.prepare(task)
    return Traced(model, lambda module: module.outputs(task, inputs, "test"))  # pyright: ignore[reportCallIssue]


def _eager(architecture: type[GraphModel]) -> Callable[[GraphModel, Task], Traced]:
    def build(model: GraphModel, task: Task) -> Traced:
        eager: Any = architecture(model.settings)  # pyright: ignore[reportCallIssue]
        eager.load_state_dict(model.state_dict())
        return _own(eager.eval(), task)

    return build


def _pyg_gin(model: GraphModel, task: GraphClassification) -> Traced:
    from torch_geometric.nn import GINConv, global_mean_pool  # noqa: PLC0415  (seconds)

    batch = task.batch("test")
    net: Any = copy.deepcopy(model)
    net.convs = nn.ModuleList(GINConv(layer.nn) for layer in net.convs)

    def outputs(module: Any) -> Tensor:  # noqa: ANN401
        hidden = scale_features(batch.features, model.settings.feature_scaling)
        for convolution in module.convs:
            hidden = convolution(hidden, batch.edge_index)
        pooled = global_mean_pool(hidden, batch.graph_of_node, len(batch.labels))
        return module.lin2(functional.relu(module.lin1(pooled)))

    return Traced(net.eval(), outputs)


def _pyg_gnnnet(model: GraphModel, task: GraphClassification) -> Traced:
    from torch_geometric.nn import GCNConv, global_max_pool  # noqa: PLC0415  (seconds)

    batch = task.batch("test")
    net: Any = copy.deepcopy(model)
    net.gnn_layers = nn.ModuleList(GCNConv(*widths) for widths in model.settings.widths)
    net.load_state_dict(model.state_dict())

    def outputs(module: Any) -> Tensor:  # noqa: ANN401
        hidden = scale_features(batch.features, model.settings.feature_scaling)
        for convolution in module.gnn_layers:
            hidden = functional.elu(convolution(hidden, batch.edge_index))
        return module.mlps[0](global_max_pool(hidden, batch.graph_of_node, len(batch.labels)))

    return Traced(net.eval(), outputs)


_BUILD: dict[str, Callable[[Any, Any], Traced]] = {
    "gin": _own,
    "gin.pyg": _pyg_gin,
    "gnnnet": _own,
    "gnnnet.pyg": _pyg_gnnnet,
    "hgpsl": _own,
    "hgpsl.eager": _eager(EagerHgpSlNet),
    "ness": _own,
    "ness.eager": _eager(EagerNess),
    "spline": _own,
    "spline.eager": _eager(EagerSplineNet),
}
FORMS = tuple(_BUILD)

_GIN_GROUPS = (*(f"convs.{number}.nn.{place}" for number in range(5) for place in (0, 2)), "lin1")
_UNKNOWN = "no layer or parameter of the group is in its graph"
# Of version 1.6.1, as it comes: pruners of one's own for these layers would be our channel groups written once more.
EXPECTED: dict[str, dict[str, str]] = {
    "gin": dict.fromkeys(_GIN_GROUPS, SAME),
    "gin.pyg": dict.fromkeys(_GIN_GROUPS, SAME),
    "gnnnet": dict.fromkeys(("gnn_layers.0", "gnn_layers.1", "gnn_layers.2"), SAME),
    # PyG's own Linear is no nn.Linear, so its weight is a bare parameter, and of those only the last axis is cut.
    "gnnnet.pyg": {
        "gnn_layers.0": "stops with KeyError",
        "gnn_layers.1": "stops with KeyError",
        "gnn_layers.2": "cuts otherwise: gnn_layers.0.bias, gnn_layers.0.lin.weight, gnn_layers.1.bias, "
        "gnn_layers.1.lin.weight, gnn_layers.2.lin.weight",
    },
    # Bare parameters again: the convolutions have the channel on both axes, and att has it twice on one.
    "hgpsl": {
        "convolutions": "cuts otherwise: conv2.weight, conv3.weight, pool1.att, pool2.att",
        "lin1": SAME,
        "lin2": SAME,
    },
    # Stops where two readouts are concatenated, so that not even the MLP behind them is cut.
    "hgpsl.eager": dict.fromkeys(("convolutions", "lin1", "lin2"), "stops with TypeError"),
    # The weight is read without calling its layer, which is how a trace notices layers.
    "ness": dict.fromkeys(("words", "embedding"), _UNKNOWN),
    "ness.eager": dict.fromkeys(("words", "embedding"), _UNKNOWN),
    # Stops where kernels and root weight are concatenated.
    "spline": dict.fromkeys(("words", "hidden"), "stops with TypeError"),
    # The kernels are one bare parameter with three axes.
    "spline.eager": {
        "words": "cuts otherwise: conv1.weight",
        "hidden": "cuts otherwise: conv1.weight, conv2.bias, conv2.lin.weight, conv2.weight",
    },
}


def traced_groups(form: str, laboratory: Laboratory) -> dict[str, str]:
    """For each channel group of a form's model, what became of its second channel.

    "same" when every tensor that is left is bit for bit ours and the model still runs; otherwise which tensors are cut
    in another way, or what stopped Torch-Pruning.
    """
    name = form.partition(".")[0]
    task = laboratory.task(TASKS[name])
    model = _random_model(name, task)
    groups = channel_layout(model).groups(model.settings)
    return {
        group.name: _outcome(_BUILD[form](copy.deepcopy(model), task), groups, number)
        for number, group in enumerate(groups)
    }


def _random_model(name: str, task: Task) -> GraphModel:
    """A model in which no two numbers are equal, so that a wrong slice cannot pass for the right one."""
    with deterministic(seed=0):
        model = build_model_for(name, task)
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.1, 1.0)
    return model.eval()


def _outcome(traced: Traced, groups: tuple[ChannelGroup, ...], number: int) -> str:
    model = traced.model
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    try:
        with warnings.catch_warnings():
            # It warns of every parameter that no layer it knows owns.
            warnings.simplefilter("ignore")
            if not _prune_channel(traced, groups[number]):
                return _UNKNOWN
    except Exception as error:  # Whatever it raises is the finding.
        return f"stops with {type(error).__name__}"
    kept = [torch.ones(group.channels, dtype=torch.bool) for group in groups]
    kept[number][CHANNEL] = False
    ours, theirs = slice_state(state, groups, kept), model.state_dict()
    different = sorted(name for name in theirs if not torch.equal(theirs[name], ours[name]))
    return f"cuts otherwise: {', '.join(different)}" if different else _runs(traced)


def _runs(traced: Traced) -> str:
    try:
        with torch.no_grad():
            traced.outputs(traced.model)
    except RuntimeError as error:
        return f"leaves a model that stops with {type(error).__name__}"
    return SAME


def _prune_channel(traced: Traced, group: ChannelGroup) -> bool:
    """Let Torch-Pruning remove one channel everywhere; False when it does not know any slice of the group."""
    import torch_pruning  # noqa: PLC0415  (not everybody has it)

    graph: Any = torch_pruning.DependencyGraph()
    graph.build_dependency(traced.model, None, forward_fn=lambda module, _: traced.outputs(module), verbose=False)
    for part in group.slices:
        owner, _, parameter = part.tensor.rpartition(".")
        layer = traced.model.get_submodule(owner)
        if isinstance(layer, nn.Linear) and layer in graph.module2node and parameter == "weight":
            cut = (torch_pruning.prune_linear_out_channels, torch_pruning.prune_linear_in_channels)[part.axis]
            graph.get_pruning_group(layer, cut, [CHANNEL]).prune()
            return True
    return _prune_parameter(torch_pruning, graph, traced.model, group)


def _prune_parameter(torch_pruning: Any, graph: Any, model: nn.Module, group: ChannelGroup) -> bool:  # noqa: ANN401
    """The same from a parameter that belongs to no layer it knows."""
    parameters = dict(model.named_parameters())
    for part in group.slices:
        parameter = parameters.get(part.tensor)
        node = graph.module2node.get(parameter)
        if node is not None and node.pruning_dim == part.axis:
            graph.get_pruning_group(parameter, torch_pruning.prune_parameter_out_channels, [CHANNEL]).prune()
            return True
    return False
