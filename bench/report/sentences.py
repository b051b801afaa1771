"""One line each for what no table has: another tool's quantization, and what a GPU takes."""

from collections.abc import Mapping
from typing import Any


def compared_sentence(compared: Mapping[str, Any]) -> str:
    """What another tool's quantization makes of a dense model: layers, accuracy, bytes and speed, its own both times.

    Integer products tell whether the layers really run on integers, or only keep their weights so.
    """
    layers = f"{compared['quantized_layers']} of {compared['layers']} layers"
    return (
        f"{compared['tool']} {compared['config']} on {compared['model']} quantizes {layers} "
        f"({compared['integer_products']} products on integers): "
        f"accuracy {compared['accuracy']:.3f} (dense {compared['dense_accuracy']:.3f}), "
        f"{compared['state_bytes']:,} bytes of torch.save (dense {compared['dense_state_bytes']:,}), "
        f"{compared['latency_s'] * 1e3:.3g} ms, {compared['speedup_to_forward']:.3g} times as fast as its own FP32 "
        f"forward pass and {compared['speedup_to_runtime']:.3g} times as our FP32 runtime"
    )


def cuda_sentence(cuda: Mapping[str, Any]) -> str:
    """What one inference takes on a GPU, and on the processor of the same machine."""
    peak, joules = cuda["peak_bytes"], cuda["energy_j"]
    memory = "its memory was not measured" if peak is None else f"{peak / 1e6:.1f} MB of tensors at most"
    energy = "its energy was not measured" if joules is None else f"{joules:.3g} J ({cuda['energy_source']})"
    ranked = f"; {share:.1%} of the rows are not the processor's" if (share := cuda.get("rows_apart")) else ""
    return (
        f"{cuda['model']} on {cuda['device']}: {cuda['latency_s'] * 1e3:.3g} ms, on the processor "
        f"{cuda['processor_latency_s'] * 1e3:.3g} ms; {memory}, {energy}{ranked}"
    )
