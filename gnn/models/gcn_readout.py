"""The GCN that the paper compares on PROTEINS and BBBP."""

from gnn.models.readout_net import READOUT_RECIPE, ReadoutNet, ReadoutNetSettings
from gnn.models.registry import MODELS, RegisteredModel


class GcnReadout(ReadoutNet):
    """Two of PyG's GCNConv, mean, linear classifier. Kipf and Welling, arXiv 1609.02907; the paper, Table 4."""

    def __init__(self, settings: ReadoutNetSettings) -> None:
        # PyG takes seconds to import, so only who builds this model pays for it.
        from torch_geometric.nn import GCNConv  # noqa: PLC0415

        super().__init__(settings, GCNConv)


MODELS.add(
    "gcn-readout",
    RegisteredModel(
        build=GcnReadout,
        settings_class=ReadoutNetSettings,
        task_kinds=("graph-classification",),
        recipe=READOUT_RECIPE,
    ),
)
