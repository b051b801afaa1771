"""The GraphSAGE that the paper compares on PROTEINS and BBBP."""

from gnn.models.readout_net import READOUT_RECIPE, ReadoutNet, ReadoutNetSettings
from gnn.models.registry import MODELS, RegisteredModel


class SageReadout(ReadoutNet):
    """Two of PyG's SAGEConv, mean, linear classifier. Hamilton et al., arXiv 1706.02216; the paper, Table 4."""

    def __init__(self, settings: ReadoutNetSettings) -> None:
        # PyG takes seconds to import, so only who builds this model pays for it.
        from torch_geometric.nn import SAGEConv  # noqa: PLC0415

        super().__init__(settings, SAGEConv)


MODELS.add(
    "sage-readout",
    RegisteredModel(
        build=SageReadout,
        settings_class=ReadoutNetSettings,
        task_kinds=("graph-classification",),
        recipe=READOUT_RECIPE,
    ),
)
