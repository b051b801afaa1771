"""The paper's Figure 2: how sparse global pruning makes every layer."""

from matplotlib.figure import Figure

from bench.report.figures.selection import Machine, Records, names, needed, of_method, panels


def draw_layers(records: Records, machine: Machine) -> Figure:  # noqa: ARG001
    """One panel per model, one line per layer: its sparsity over the sparsity that was asked of the whole model."""
    chosen = needed(of_method(records, "global", fine_tuned=False), "globally pruned case without fine-tuning")
    found = names(chosen)
    figure, (row,) = panels(1, len(found))
    for axes, name in zip(row, found, strict=True):
        of_model = [record for record in chosen if record.case_model == name]
        of_model.sort(key=lambda record: record.settings["sparsity"])
        asked = [record.settings["sparsity"] for record in of_model]
        for layer in of_model[0].layer_sparsity:
            values = [record.layer_sparsity[layer] for record in of_model]
            axes.plot(asked, values, marker="o", markersize=3, label=layer)
        axes.plot(asked, asked, color="gray", linestyle=":", label="asked")
        axes.set_title(name)
        axes.set_xlabel("sparsity of the model")
        axes.legend(fontsize=7)
    row[0].set_ylabel("sparsity of the layer, mean over seeds")
    figure.suptitle("What global pruning takes from each layer")
    return figure
