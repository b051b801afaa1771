"""HGP-SL as it is: its forward pass is sparse already, and what it pools depends on the features.

Every call builds the structure of the pooled graphs anew, because which nodes are kept and how strongly they are joined
follows from features and weights. The adjacency of the test batch is kept after the first call; its normalisation for
the first convolution is not, which is cheap beside the pooling.
"""

from gnn.models.hgpsl import HgpSlNet
from gnn.runtime.registry import RUNTIMES, Inference, model_inference
from gnn.tasks import GraphClassification


@RUNTIMES.register("hgpsl")
def compile_hgpsl(model: HgpSlNet, task: GraphClassification) -> Inference:
    """The model's own forward pass on the test batch, without gradients."""
    return model_inference(model, task)
