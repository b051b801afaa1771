"""The dense models beside what the paper reports of them."""

from collections.abc import Mapping, Sequence
from operator import itemgetter

from bench.report.columns import ROUNDING, Records, accuracy_differs, mean_and_deviation, optional
from bench.report.reported import Reported, read_reported
from bench.report.sections.markdown import DASH, interval, named, section
from fixtures.record import Record

HEADERS = ("case", "accuracy", "reported", "training CPU-s", "inference ms (x eager)", "reported ms")
SCAFFOLD, RANDOM = "bbbp-scaffold", "bbbp"
OfCase = Mapping[str, Mapping[str, Reported]]


def models_section(by_id: Records) -> str:
    """One row per dense model, those of the paper first and in its order, and how they differ from the paper's."""
    reported: dict[str, dict[str, Reported]] = {}
    for entry in read_reported():
        reported.setdefault(entry.row, {})[entry.metric] = entry
    dense = [record for record in by_id.values() if _dense(record)]
    order = list(reported)
    dense.sort(key=lambda record: order.index(record.id) if record.id in order else len(order))
    rows = [_row(record, reported.get(record.id, {})) for record in dense]
    sentences = [_scores(dense), _differing(dense, reported), _below_majority(dense, reported)]
    sentences += [*_scaffolds(dense), _runtime(dense)]
    return section("Every model of the paper, remeasured", HEADERS, rows, sentences)


def _dense(record: Record) -> bool:
    return record.method == "dense" and not record.fine_tuned and record.precision == "fp32"


def _row(record: Record, reported: Mapping[str, Reported]) -> list[str]:
    accuracy, latency = reported.get("accuracy"), reported.get("latency_s")
    runtime = record.speedup.runtime
    inference = optional(record.latency_s.compressed, ".2f", 1e3)
    return [
        record.case_model,
        mean_and_deviation(record.accuracy),
        accuracy.formatted(".3f") if accuracy else DASH,
        f"{record.training_s:.1f}",
        inference + ("" if runtime is None else f" ({runtime:.1f}x)"),
        optional(latency and latency.value, ".0f", 1e3),
    ]


def _scores(dense: Sequence[Record]) -> str:
    links = [record for record in dense if record.score == "roc_auc"]
    return f"The accuracy of {named(links)} is the ROC-AUC." if links else ""


def _differing(dense: Sequence[Record], reported: OfCase) -> str:
    """Which accuracies are not those of the paper, where there are seeds enough to tell."""
    judged = [
        (record, entry)
        for record in dense
        if record.accuracy.std is not None
        if (entry := reported.get(record.id, {}).get("accuracy")) is not None and entry.value is not None
    ]
    if not judged:
        return ""
    found = [(_excess(record, entry), record) for record, entry in judged if accuracy_differs(entry, record)]
    above, below = ([record for excess, record in found if (excess > 0) is higher] for higher in (True, False))
    return (
        f"{len(found)} of {len(judged)} accuracies differ from the reported mean by more than the reported deviation, "
        f"two standard errors of ours and {ROUNDING:g} of rounding; higher here: {named(above) or 'none'}; "
        f"lower here: {named(below) or 'none'}."
    )


def _excess(record: Record, entry: Reported) -> float:
    return record.accuracy.mean - (entry.value or 0.0)


def _below_majority(dense: Sequence[Record], reported: OfCase) -> str:
    """Which models the paper reports no better than always giving the most frequent class."""
    judged = [
        (record.id, entry.value, record.other_scores["majority_class"].mean)
        for record in dense
        if "majority_class" in record.other_scores
        if (entry := reported.get(record.id, {}).get("accuracy")) is not None and entry.value is not None
    ]
    if not judged:
        return ""
    low = sorted((found for found in judged if found[1] <= found[2]), key=itemgetter(1))
    listed = ", ".join(f"`{case}` ({value:.3f}, the class alone {share:.3f})" for case, value, share in low)
    return (
        f"{len(low)} of {len(judged)} graph classifiers are reported no better than always giving the most frequent "
        f"class of our test parts{': ' if low else ''}{listed}."
    )


def _scaffolds(dense: Sequence[Record]) -> list[str]:
    """What a split by scaffold costs, for the models that were trained with both splits."""
    by_model = {record.case_model: record for record in dense}
    pairs = [
        (record, by_model[other])
        for record in dense
        if SCAFFOLD in record.task and (other := record.case_model.replace(SCAFFOLD, RANDOM)) in by_model
    ]
    return [
        f"Where molecules of one scaffold stay together, the accuracy of {apart.model} is "
        f"{apart.accuracy.mean:.3f}; with random splits it is {random.accuracy.mean:.3f}."
        for apart, random in pairs
    ]


def _runtime(dense: Sequence[Record]) -> str:
    found = [record.speedup.runtime for record in dense if record.speedup.runtime is not None]
    if not found:
        return ""
    return (
        f"Our FP32 runtime is {interval(found, '.1f')} times as fast as plain eager PyTorch ({len(found)} of "
        f"{len(dense)} models have one). Nothing is compressed in that, and no other table counts it."
    )
