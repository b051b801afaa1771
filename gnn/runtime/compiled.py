"""A module compiled: a copy whose layers run as kernels, fused where a trace of it succeeds."""

import copy
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from gnn.errors import SettingError
from gnn.layers.rules import lower
from gnn.models import fp32_model, on_task, unwrapped_model
from gnn.native import SPARSE, has_bfloat16
from gnn.quantization.description import in_bfloat16
from gnn.quantization.integer_model import is_integer, plain_model
from gnn.runtime.agreement import TOLERANCE, agree, agree_on_grids, own_rounding
from gnn.runtime.kernels import KERNEL, Kernel
from gnn.runtime.peepholes import FUSED, fuse
from gnn.tasks import Task

Inference = Callable[[], Tensor]
Module = TypeVar("Module", bound=nn.Module)

# Where a compiled module has what became of its layers, and in which precision its products read.
REPORT, PRECISION = "_lowering_report", "_precision"
IN_BF16 = "products read bf16"
NO_GAIN = "without a gain, as this processor has no instructions for it: rounded numbers are multiplied in FP32"


def compile(  # noqa: A001
    module: Module,
    example: Any = None,  # noqa: ANN401
    *,
    precision: str = "fp32",
    deduplicate: bool | None = None,
) -> Module:
    """Compile any module for inference.

    The result is a copy in evaluation mode whose weights take no gradient. Each layer with a rule in
    `gnn.layers.rules.lower` runs as what the rule gives; everything else, and the module's own methods, run as ever.
    With an example, what lies between layers is fused as well, where the module's forward can be traced. What depends
    on a graph alone is made when the graph is first seen. Later changes of the module change nothing.

    Nodes whose features and neighbourhoods are equal have equal rows. With an example, such rows are computed once for
    graphs that come again, where counting them says that it saves a tenth of the work.

    Args:
        module: Any nn.Module, in PyTorch's wrappers or not.
        example: The arguments of one call: a tuple of them, a mapping by name, or the only one.
        precision: "fp32", or "bf16" for products that round weights, once, and what they read to bfloat16 and add up in
            FP32: other results, in half the time where the processor has instructions for it. A model that is in
            bfloat16 (`gnn.Bf16`) is compiled so in any case.
        deduplicate: Whether equal rows are computed once: where it pays (None), wherever it is exact, or never.

    Returns:
        The compiled copy, called as the module is; `explain` tells what became of its layers.

    Raises:
        SettingError: There is no such precision.
    """
    compiled = lowered(module, precision)
    if example is not None:
        arguments = () if isinstance(example, Mapping) else example if isinstance(example, tuple) else (example,)
        _fuse(compiled, module, arguments, dict(example) if isinstance(example, Mapping) else {}, deduplicate)
    return compiled


def explain(compiled: nn.Module) -> dict[str, str]:
    """What became of each layer: the kernel it has, or why it was left; "" stands for the module as a whole.

    Which of several kernels a product has is measured when it is first called, so that only then it is said where
    zeros of weights are passed over. Where equal rows can be computed once, it says how many rows the last graph has of
    each layer and how many of them differ.

    Raises `SettingError` for a module that is not compiled.
    """
    report = vars(compiled).get(REPORT)
    if report is None:
        raise SettingError(f"{type(compiled).__name__} is not compiled; give what gnn.runtime.compile returned")
    deduplication = getattr(compiled._modules.get(FUSED), "deduplication", None)
    report = report if deduplication is None else deduplication.explained(report)
    said = [report[""]] if "" in report else []
    kernels = [layer for name, layer in compiled.named_modules() if isinstance(layer, Kernel) and ".parts." not in name]
    if sparse := sum(SPARSE in kernel.ways for kernel in kernels):
        said.append(f"zeros of weights passed over ({sparse}x)")
    if vars(compiled)[PRECISION] == "bf16":
        said.append(IN_BF16 if has_bfloat16() else f"{IN_BF16} {NO_GAIN}")
    return {**report, "": "; ".join(said)} if said else dict(report)


def untouched_layers(module: nn.Module) -> dict[str, str]:
    """The layers with weights or messages of their own that `compile` leaves as they are, each with the reason.

    "" says of the whole module where a precision brings nothing on this processor.
    """
    compiled = lowered(module)
    layers = dict(compiled.named_modules())
    left = {
        path: said
        for path, said in explain(compiled).items()
        if KERNEL not in layers[path]._modules and _is_more_than_a_function(layers[path])
    }
    in_vain = vars(compiled)[PRECISION] == "bf16" and not has_bfloat16()
    return {**left, "": f"{IN_BF16} {NO_GAIN}"} if in_vain else left


@torch.inference_mode(mode=False)
@torch.no_grad()
def lowered(module: Module, precision: str = "fp32") -> Module:
    """A copy in evaluation mode in which every layer is lowered that has a rule that holds.

    Raises `SettingError` for an unknown precision.
    """
    if precision not in TOLERANCE:
        raise SettingError(f"precision {precision!r} is unknown; valid are: {', '.join(TOLERANCE)}")
    module = unwrapped_model(module)
    if in_bfloat16(module):
        return _with_rounding(module, lowered(plain_model(module), "bf16"))
    compiled = copy.deepcopy(module).eval().requires_grad_(requires_grad=False)
    report: dict[str, str] = {}
    inside: list[str] = []
    for path, layer in list(compiled.named_modules()):
        kernel, said = _lower(layer)
        if not path.startswith(tuple(inside)) and (lower.of(layer) or (path and _counts(layer))):
            report[path] = said
        if isinstance(kernel, Kernel) and not kernel.entered:
            inside.append(f"{path}." if path else "")
    for kernel in compiled.modules():
        if isinstance(kernel, Kernel):
            kernel.reads_bfloat16 = precision == "bf16"
    vars(compiled)[REPORT], vars(compiled)[PRECISION] = report, precision
    return compiled


def _with_rounding(rounding: Module, compiled: Module) -> Module:
    """The compiled module with those layers of one in bfloat16 that no kernel stands for and that round in between."""
    for path, layer in rounding.named_modules():
        if not hasattr(layer, "add_quantizers") or KERNEL in compiled.get_submodule(path)._modules:
            continue
        own = copy.deepcopy(layer).eval().requires_grad_(requires_grad=False)
        if not path:
            vars(own).update({name: vars(compiled)[name] for name in (REPORT, PRECISION)})
            return cast(Module, own)
        compiled.set_submodule(path, own)
    return compiled


def _counts(layer: nn.Module) -> bool:
    """Whether a layer without a rule computes something itself, as far as can be seen."""
    return _is_more_than_a_function(layer) or not any(True for _ in layer.children())


def _is_more_than_a_function(layer: nn.Module) -> bool:
    return any(True for _ in layer.parameters(recurse=False)) or hasattr(layer, "propagate")


def _lower(layer: nn.Module) -> tuple[nn.Module | None, str]:
    """Give a layer the kernel of its rule; the kernel and its name, or None and why the layer is left."""
    rule = lower.of(layer)
    if rule is None:
        has_more = _is_more_than_a_function(layer) or any(True for _ in layer.parameters())
        return None, lower.reason(layer) if has_more else f"{type(layer).__name__} has no weights and runs as it is"
    if any(_hooks(inner) for inner in layer.modules()):
        return None, f"{type(layer).__name__} has hooks, which a kernel would pass by; remove them first"
    try:
        kernel = rule(layer)
    except SettingError as error:
        return None, f"{type(layer).__name__} is left as it is: {error}"
    layer.add_module(KERNEL, kernel)
    vars(layer)["forward"] = kernel.forward
    return kernel, getattr(kernel, "name", type(kernel).__name__)


def _hooks(layer: nn.Module) -> bool:
    return bool(layer._forward_hooks or layer._forward_pre_hooks)


def _fuse(
    compiled: nn.Module,
    module: nn.Module,
    arguments: tuple[Any, ...],
    keywords: dict[str, Any],
    deduplicate: bool | None,
) -> None:
    if "" not in (report := vars(compiled)[REPORT]):
        report[""] = (
            "not fused, since a layer has hooks"
            if any(_hooks(layer) for layer in compiled.modules())
            else fuse(compiled, arguments, keywords, _agreement(compiled, module, arguments, keywords), deduplicate)
        )


def _agreement(
    compiled: nn.Module, module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> Callable[[Any, Any], bool]:
    """How a fused form is compared with the module's own forward."""
    if is_integer(compiled):
        return agree_on_grids
    tolerance, bare = TOLERANCE[vars(compiled)[PRECISION]], unwrapped_model(module)

    def agreed(own: Any, fused: Any) -> bool:  # noqa: ANN401
        return agree(own, fused, tolerance) or agree(own, fused, own_rounding(bare, arguments, keywords))

    return agreed


def compile_inference(model: nn.Module, task: Task, *, deduplicate: bool | None = None) -> Inference:
    """A function without arguments that computes what the task asks of its test part, for nodes of the whole graph.

    Everything that depends on structure and weights alone is done here, once; what is left is what a server would
    repeat. `deduplicate` is as in `compile`. Raises `SettingError` for a model that `fp32_model` refuses.
    """
    plain = fp32_model(model)
    compiled = lowered(plain)
    return _inference(
        compiled, task, lambda arguments, keywords: _fuse(compiled, plain, arguments, keywords, deduplicate)
    )


def model_inference(model: nn.Module, task: Task) -> Inference:
    """The same by the model's own forward pass as it stands."""
    model = unwrapped_model(model)
    model.eval()
    return _inference(model, task)


def _inference(model: nn.Module, task: Task, fuse_call: Callable[..., None] | None = None) -> Inference:
    asked = on_task(model, task)
    inputs = asked.prepare(task)
    if fuse_call is not None:
        # One pass shows what the model's forward is given, whatever the kind of task.
        calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        hook = model.register_forward_pre_hook(lambda _, *given: calls.append(given), with_kwargs=True)
        # What a batch makes of itself in inference mode would have no version, by which it is found again.
        with torch.no_grad():
            asked.infer(task, inputs)
        hook.remove()
        if calls:
            fuse_call(*calls[0])
    return torch.inference_mode()(lambda: asked.infer(task, inputs))
