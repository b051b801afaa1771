"""What running on integers bought, beside the paper's Tables 7 and 8."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from statistics import median

from bench.report.columns import Records, mean_and_deviation
from bench.report.quantization_table import cases_of, chosen_variant
from bench.report.reported import Reported, read_reported_quantization
from bench.report.sections.markdown import DASH, faster, interval, named, section, smaller
from fixtures.record import Record

MODELS = {"BBBP": "bbbp.gin", "PROTEINS": "proteins.gin"}
# What follows the model in a case id, but for the variant where a method has several.
LINES = {
    "FP32": "dense",
    "QAT-INT8": "qat.int8",
    "Degree-Quant INT8": "degree-quant.int8",
    "QAT-INT4": "qat.int4",
    "Degree-Quant INT4": "degree-quant.int4",
    "A2Q": "a2q",
    "post-training INT8": "post-training.int8",
}
HEADERS = ("GIN", *(f"{data}: {header}" for data in MODELS for header in ("reported", "here", "file", "speed")))
LEGEND = (
    "File: times smaller than the dense one. Speed: times as fast as our FP32 runtime. Accuracy, file and speed are "
    "those of the model on integers (int8 products, int32 sums) that was written, read back and run; of the variants "
    "of a method they are those of the one with the lowest validation loss."
)


def integers_section(by_id: Records) -> str:
    """One row per line of Tables 7 and 8, and what all cases on integers say together."""
    reported = {entry.row: entry for entry in read_reported_quantization() if entry.metric == "accuracy"}
    rows = [_row(title, rest, reported, by_id) for title, rest in LINES.items() if _found(rest, by_id)]
    if all(title == "FP32" for title, *_ in rows):
        rows = []
    integers = [record for record in by_id.values() if record.integer_agreement is not None]
    sentences = [LEGEND if rows else "", *_agreement(integers), _speed(integers), _collapsed(integers)]
    return section("What integers really buy", HEADERS, rows, sentences)


def _found(rest: str, by_id: Records) -> bool:
    return any(_case(f"{model}.{rest}", by_id) is not None for model in MODELS.values())


def _row(title: str, rest: str, reported: Mapping[str, Reported], by_id: Records) -> list[str]:
    cells = [title]
    for model in MODELS.values():
        name = f"{model}.{rest}"
        entry, record = reported.get(name), _case(name, by_id)
        here = [DASH] * 3 if record is None else [mean_and_deviation(record.accuracy), smaller(record), faster(record)]
        cells += [entry.formatted(".2f") if entry else DASH, *here]
    return cells


def _case(name: str, by_id: Records) -> Record | None:
    """The case of that name, or the variant of it with the lowest validation loss; None when none was run."""
    cases = cases_of(name, by_id)
    chosen = "" if "" in cases else chosen_variant(cases)
    return None if chosen is None else cases[chosen]


def _agreement(integers: Sequence[Record]) -> list[str]:
    """Whether integers say what the simulation said that was trained."""
    agreements = [(record.integer_agreement, record) for record in integers if record.integer_agreement]
    if not agreements:
        return []
    same = [record for agreement, record in agreements if agreement.classes == 1]
    identical, least = min(((agreement.identical, record) for agreement, record in agreements), key=itemgetter(0))
    return [
        f"{len(same)} of {len(integers)} integer cases give every class of their simulation, over all test graphs, "
        "nodes or pairs of all seeds.",
        f"The share of logits with the same bits as the simulation's is {identical:.1%} at least ({named([least])}).",
    ]


def _speed(integers: Sequence[Record]) -> str:
    """Whether integers save time."""
    ratios = [ratio for record in integers if (ratio := record.speedup.compression) is not None]
    if not ratios:
        return ""
    sizes = [1 / record.size_ratio for record in integers]
    faster_ones = sum(ratio > 1 for ratio in ratios)
    return (
        f"On this processor models on integers run at {median(ratios):.2f} times the speed of our FP32 runtime in the "
        f"median ({interval(ratios, '.2f')}); {faster_ones} of {len(ratios)} are faster than it. "
        f"Their files are {interval(sizes, '.1f')} times smaller than the dense ones."
    )


def _collapsed(integers: Sequence[Record]) -> str:
    """Which integer models give the most frequent class and nothing else."""
    judged = [record for record in integers if record.collapsed is not None]
    found = [record for record in judged if record.collapsed]
    if not judged:
        return ""
    return (
        f"{len(found)} of {len(judged)} graph classifiers on integers are no better than always giving the most "
        f"frequent class{': ' if found else ''}{named(found)}."
    )
