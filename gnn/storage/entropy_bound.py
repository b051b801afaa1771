"""What an order-0 coder of masks and codes needs for a model: what a file is measured against."""

from torch import nn

from gnn.models import bare_model
from gnn.quantization.bfloat16 import BITS, bfloat16_weights
from gnn.storage.layout import Layout, tensor_state
from gnn.storage.precision import PRECISIONS, lossless_bound_bytes
from gnn.storage.state_streams import hold


def entropy_bound_bytes(model: nn.Module, precision: str = "fp32") -> float:
    """Order-0 bound of a file's payload, a sum over tensors.

    For a weight in INT8 or INT4: the entropy of its codes, zero among them, and two raw bytes per scale. For one in
    FP32 or FP16 and for every tensor that is kept bit for bit: n H(p) / 8 bytes for which elements are not zero, and
    the raw ones, of two bytes where products read them as bfloat16 (see `lossless_bound_bytes`): it is the mask that is
    coded, and a coder that looks into the numbers, whose exponents repeat, stays below. Raises `StorageError` as `save`
    does.
    """
    model, chosen = bare_model(model), PRECISIONS[precision]
    layout, state = Layout.of(model), tensor_state(model)
    halved = bfloat16_weights(model)
    weights = sum(
        lossless_bound_bytes(weight.elements != 0, BITS // 8) if name in halved else chosen.bound_bytes(weight)
        for name, weight in hold(state, layout, chosen)
    )
    kept = [state[name].cpu() for name in (*layout.floats, *layout.others)]
    return weights + sum(lossless_bound_bytes((tensor != 0).numpy(), tensor.element_size()) for tensor in kept)
