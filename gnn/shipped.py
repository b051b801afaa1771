"""A model as it is shipped: its file, what that weighs, and what is counted in the model that comes back."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from gnn import storage
from gnn.case import Case
from gnn.compression import prunable_parameters, sparsity_of
from gnn.compression.quantized_bits import BitWidths, measured_bits
from gnn.compression.weight_statistics import near_zero_share
from gnn.errors import StorageError
from gnn.leftovers import temporary_folder
from gnn.models import MODELS
from gnn.storage import FileSizes
from gnn.tasks import Task
from gnn.tensor_bytes import tensor_bytes


@dataclass(frozen=True)
class Sizes:
    """Bytes of the dense file, of Algorithm 1, of the shipped file, and the order-0 entropy bound of its payload.

    The shipped file is its `payload` and the `overhead` of names, shapes and settings.
    """

    dense: int
    algorithm1: int
    payload: int
    overhead: int
    entropy_bound: float

    @property
    def encoded(self) -> int:
        """Bytes of the whole shipped file."""
        return self.payload + self.overhead


def counted_weights(model: nn.Module) -> dict[str, Any]:
    """The fields of a run that are counted in its model."""
    sparsity, layer_sparsity = sparsity_of(model)
    return {
        "sparsity": sparsity,
        "layer_sparsity": layer_sparsity,
        "near_zero_share": near_zero_share(model),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "nonzero_parameters": sum(int(parameter.count_nonzero()) for parameter in model.parameters()),
        "state_entries": sum(tensor.numel() for tensor in model.state_dict().values()),
    }


def sizes_of(model: nn.Module, precision: str, *, dense: int, file: FileSizes) -> Sizes:
    """All sizes of a model in a file of this precision, whose dense form had `dense` bytes."""
    return Sizes(
        dense=dense,
        algorithm1=storage.algorithm1_size_bytes(model),
        payload=file.payload,
        overhead=file.overhead,
        entropy_bound=storage.entropy_bound_bytes(model, precision),
    )


def bit_widths_of(model: nn.Module, plain: nn.Module, task: Task, precision: str) -> BitWidths:
    """The bits of any shipped model.

    Those of a model on integers are measured. Another one has the weights of its file, whose precision is that of what
    pruning may touch; runtimes compute in the type that they are loaded in.

    Args:
        model: The model that was read back from its file.
        plain: The same with its weights in FP32.
        task: What a pass of a model on integers is over.
        precision: That of the file, a name from `gnn.storage.PRECISIONS`.
    """
    if getattr(model, "quantization", None) is not None:
        return measured_bits(model, plain, task)
    held = {name: 8 * parameter.element_size() for name, parameter in model.named_parameters()}
    stored = held | {name: storage.PRECISIONS[precision].bit_width for name, _, _ in prunable_parameters(model)}
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    weights, activations = (sum(sizes[n] * bits[n] for n in sizes) / sum(sizes.values()) for bits in (stored, held))
    return BitWidths(weights, activations, mean=weights, histogram=None)


def ship(model: nn.Module, case: Case) -> tuple[nn.Module, FileSizes]:
    """Write a model to a temporary file and read it back, as `ship_to` does."""
    with temporary_folder() as folder:
        return ship_to(folder / "model.safetensors", model, case)


def ship_to(path: Path, model: nn.Module, case: Case) -> tuple[nn.Module, FileSizes]:
    """Write a model to a file, read it into a fresh one, compare bit for bit; the fresh model and the file's bytes.

    What is compared with is what the file's precision makes of the weights, in FP32 the weights themselves. Raises
    `StorageError` when a single bit differs.
    """
    size_bytes = storage.save(model, path, model_name=case.model, task=case.task, precision=case.precision)
    loaded = storage.load(path, build=MODELS[case.model].empty).model.to(next(model.parameters()).device)
    sizes = storage.file_sizes(path)
    if sizes.payload + sizes.overhead != size_bytes:
        raise StorageError(f"{case.id} wrote {sizes.payload + sizes.overhead} bytes but counted {size_bytes}")
    restored = loaded.state_dict()
    for name, tensor in storage.as_stored(model, case.precision).items():
        if not np.array_equal(tensor_bytes(tensor), tensor_bytes(restored[name])):
            raise StorageError(f"tensor {name} of {case.id} came back from its file with other bits")
    return loaded, sizes
