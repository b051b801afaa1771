"""Metrics of scikit-learn on tensors, where they are undefined, and the shapes that they take."""

from torch import Tensor

from gnn.errors import DatasetError, DivergenceError, SettingError

RANKED = ("roc_auc", "average_precision")


def one_column(labels: Tensor, kind: str) -> Tensor:
    """Labels [examples], also given as [examples, 1]; raises `DatasetError` for others."""
    if labels.dim() == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dim() != 1:
        raise DatasetError(
            f"labels have the shape {tuple(labels.shape)}, expected one per example for {kind}; choose "
            "objective='multi-label' or 'regression'"
        )
    return labels


def rows(labels: Tensor, kind: str) -> Tensor:
    """Labels [examples, labels], also given as [examples]; raises `DatasetError` for others."""
    if labels.dim() == 1:
        labels = labels[:, None]
    if labels.dim() != 2 or labels.shape[1] == 0:
        raise DatasetError(
            f"labels have the shape {tuple(labels.shape)}, expected [examples, labels] for {kind}; reshape them"
        )
    return labels


def in_shape_of(targets: Tensor, outputs: Tensor) -> Tensor:
    """Outputs in the shape of the targets; others would be broadcast into a loss that means nothing.

    Raises `SettingError` when they do not have one row per example and one number per target.
    """
    if outputs.shape == targets.shape:
        return outputs
    if outputs.numel() != targets.numel() or len(outputs) != len(targets):
        raise SettingError(
            f"the model gives outputs of the shape {tuple(outputs.shape)}, expected {tuple(targets.shape)}, one row "
            "per example; change its last layer"
        )
    return outputs.reshape(targets.shape)


def single_value(targets: Tensor) -> str | None:
    """What there is to say when all targets are the same, or None."""
    if len(targets) and bool((targets == targets[0]).all()):
        return f"all {len(targets)} labels are {targets[0]:g}"
    return None


def mean_over_columns(metric: str, outputs: Tensor, targets: Tensor) -> float:
    """The mean of a metric over the columns on whose known targets (those that are not NaN) it is defined."""
    values: list[float] = []
    for output, target in zip(outputs.T, targets.T, strict=True):
        known = ~target.isnan()
        output, target = output[known], target[known]  # noqa: PLW2901
        if metric == "f1":
            values += [scikit_learn("f1_score", target, output >= 0, zero_division=0)] if len(target) else []
        elif len(target) and single_value(target) is None:
            values.append(scikit_learn(f"{metric}_score", target, output))
    return sum(values) / len(values)


def scikit_learn(function: str, targets: Tensor, outputs: Tensor, **options: object) -> float:
    """The value of a function of sklearn.metrics; raises `DivergenceError` for outputs that are not finite."""
    # scikit-learn takes a second to import, and accuracy does without.
    from sklearn import metrics  # noqa: PLC0415

    if not bool(outputs.isfinite().all()):
        raise DivergenceError("the model gives outputs that are not finite; train it with a lower learning rate")
    return float(getattr(metrics, function)(targets.cpu().numpy(), outputs.detach().cpu().numpy(), **options))
