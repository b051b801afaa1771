"""Tables 7 and 8 of the paper: quantized models, with every variant that was run."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bench.report.columns import (
    ENERGY,
    FLAGGED,
    PROCESSOR,
    SEEDS,
    STARRED_ACCURACY,
    TRAINING,
    TRAINING_ENERGY,
    Column,
    Records,
    optional,
    remarks,
    titled,
)
from bench.report.reported import Reported
from bench.report.resource_table import ENERGIES_DIFFER, RESOURCES_DIFFER
from fixtures.record import Record

WORDS = {"qat": "QAT", "degree-quant": "Degree-Quant", "gradient-clipping": "clipped"}
NOUNS = ("", "", " gradients", " ranges")
# What follows the paper's line in a case id.
VARIANTS = tuple(f"{gradient}-{ranges}" for gradient in ("ste", "gc") for ranges in ("abs", "mom", "per"))
# In-degrees from this one on are shown together.
MANY = 5

CHOSEN = (
    "the paper does not say of which variant its lines are; ours are of the variant with the lowest mean validation "
    "loss, test data chose nothing"
)
COLLAPSED = "COLLAPSED: the mean accuracy is no better than always giving the most frequent class"
MEASURED = (
    "bytes and inference of what is quantized are those of the integer model that was written, read back and run; x is "
    "how many times smaller than the dense file and faster than our FP32 runtime"
)
AGREEMENT = (
    "integers as simulated: the mean share over the seeds of test graphs that get the same class from integers as "
    "from the simulation that was trained; the mean share of logits that are bit-identical; the largest difference"
)
TIMES_DIFFER = (
    "times: CPU seconds of training and one pass over the test part here. The paper does not say what its durations "
    "hold; fake quantization adds work to every step, as much at 4 bits as at 8. Its inference takes the same two "
    "seconds for all but A2Q, so they are of something else"
)


def _against_dense(record: Record) -> str:
    return f"{0.0 - record.accuracy_drop.mean:+.3f}{' COLLAPSED' if record.collapsed else ''}"


def _latency(record: Record) -> str:
    latency, speedup = record.latency_s.compressed, record.speedup.compression
    return optional(latency, ".3f", 1e3) + ("" if speedup is None else f" ({speedup:.2f}x)")


def _agreement(record: Record) -> str:
    agreement = record.integer_agreement
    if agreement is None:
        return "-"
    return f"{agreement.classes:.2%}, {agreement.identical:.2%}, {agreement.largest_difference:.1e}"


COLUMNS = (
    replace(STARRED_ACCURACY, header="accuracy"),
    Column("against dense", "", "", _against_dense),
    SEEDS,
    Column("mean bits", "", "", lambda record: f"{record.bit_width.mean:.2f}"),
    Column("bytes (x)", "", "", lambda r: f"{r.size_bytes.encoded:,.0f} ({1 / r.size_ratio:.2f}x)"),
    Column("training s / CPU-s", "training_s", ".1f", TRAINING.measured),
    Column("inference s / ms (x)", "latency_s", ".2f", _latency),
    Column("integers as simulated", "", "", _agreement),
)
RESOURCE_COLUMNS = (
    replace(ENERGY, style=".2f"),
    TRAINING_ENERGY,
    replace(PROCESSOR, style=".2f"),
    Column("memory GB", "memory_gb", ".2f", lambda record: optional(record.memory_bytes.peak_rss, ".2f", 1e-9)),
)


@dataclass(frozen=True)
class _Group:
    """A line of the paper, what it reports there, and the cases that were run for it, by their variant."""

    name: str
    reported: Mapping[str, Reported]
    cases: Mapping[str, Record]

    @property
    def first(self) -> Record:
        """The only case, or that of the first variant."""
        return next(iter(self.cases.values()))

    @property
    def has_variants(self) -> bool:
        """Whether the paper's line stands for one of several variants."""
        return "" not in self.cases

    def row(self, columns: Sequence[Column]) -> list[str]:
        """What the paper reports beside what was measured of the only case, or of the variant with the lowest loss."""
        if not self.has_variants:
            return [self.name, *(column.cell(self.reported, self.first) for column in columns)]
        chosen = chosen_variant(self.cases)
        if chosen is None:
            return [f"{self.name}: no validation loss"]
        return [f"{self.name}: {chosen}", *(column.cell(self.reported, self.cases[chosen]) for column in columns)]

    def variant_rows(self, columns: Sequence[Column]) -> list[list[str]]:
        """One measured row for every variant."""
        if not self.has_variants:
            return []
        return [[f". {name}", *(column.cell({}, case) for column in columns)] for name, case in self.cases.items()]


def quantization_table(reported: Sequence[Reported], by_id: Records) -> str:
    """Table 7: each line of the paper that was run, and its variants; no text when nothing quantized was run."""
    groups = _groups("7", reported, by_id)
    if not groups:
        return ""
    rows = [row for group in groups for row in (group.row(COLUMNS), *group.variant_rows(COLUMNS))]
    notes = [*_remarks(groups), FLAGGED, CHOSEN, COLLAPSED, *_collapsed(groups), MEASURED, AGREEMENT, TIMES_DIFFER]
    headers = ["case", *(column.header for column in COLUMNS)]
    return titled("7", "quantization, reported / measured", headers, rows, [*notes, *_node_bits(groups)])


def quantized_resource_table(reported: Sequence[Reported], by_id: Records) -> str:
    """Table 8: each line of the paper that was run, by its chosen variant; no text when nothing quantized was run."""
    groups = _groups("8", reported, by_id)
    if not groups:
        return ""
    rows = [group.row(RESOURCE_COLUMNS) for group in groups]
    headers = ["case", *(column.header for column in RESOURCE_COLUMNS)]
    notes = [*_remarks(groups), CHOSEN, RESOURCES_DIFFER, ENERGIES_DIFFER]
    return titled("8", "resources of quantization, reported / measured", headers, rows, notes)


def _groups(number: str, reported: Sequence[Reported], by_id: Records) -> list[_Group]:
    """The lines of a table that were run; the dense one only beside something quantized of its model."""
    entries: dict[str, dict[str, Reported]] = {}
    for entry in reported:
        if entry.table == number:
            entries.setdefault(entry.row, {})[entry.metric] = entry
    groups = [_Group(name, of_line, cases) for name, of_line in entries.items() if (cases := cases_of(name, by_id))]
    quantized = {group.first.case_model for group in groups if group.first.method != "dense"}
    return [group for group in groups if group.first.case_model in quantized]


def cases_of(name: str, by_id: Records) -> dict[str, Record]:
    """The case of that name, by an empty variant, or those that were run of its variants."""
    if name in by_id:
        return {"": by_id[name]}
    ids = {variant: f"{name}.{variant}" for variant in VARIANTS}
    return {variant: by_id[case_id] for variant, case_id in ids.items() if case_id in by_id}


def chosen_variant(cases: Records) -> str | None:
    """The variant with the lowest validation loss; None when none has one."""
    losses = {variant: case.validation_loss for variant, case in cases.items()}
    judged = {variant: loss for variant, loss in losses.items() if loss is not None}
    return min(judged, key=judged.__getitem__, default=None)


def _remarks(groups: Sequence[_Group]) -> list[str]:
    return remarks([entry for group in groups for entry in group.reported.values()])


def _collapsed(groups: Sequence[_Group]) -> list[str]:
    """Which cases collapsed, model by model, and what those with variants share."""
    notes = []
    for model in dict.fromkeys(group.first.case_model for group in groups):
        of_model = [group for group in groups if group.first.case_model == model]
        found = [group.name for group in of_model if not group.has_variants and group.first.collapsed]
        variants = [case for group in of_model if group.has_variants for case in group.cases.values()]
        if collapsed := [_properties(case) for case in variants if case.collapsed]:
            found.append(_shared(collapsed, [_properties(case) for case in variants]))
        notes.append(f"collapsed on {model}: {', '.join(found) or 'none'}")
    return notes


def _properties(record: Record) -> tuple[str, ...]:
    """The words for method, bits, gradients and ranges of a variant."""
    parts = (
        record.method,
        f"int{record.settings['bit_width']}",
        record.settings["gradient"],
        record.settings["tracking"],
    )
    return tuple(WORDS.get(part, part) for part in parts)


def _shared(collapsed: Sequence[tuple[str, ...]], run: Sequence[tuple[str, ...]]) -> str:
    """What distinguishes the variants that collapsed, and how many of those like them did."""
    found, tried = ([set(values) for values in zip(*cases, strict=True)] for cases in (collapsed, run))
    alike = [case for case in run if all(word in words for word, words in zip(case, found, strict=True))]
    distinctive = [
        f"{' or '.join(sorted(words))}{noun}"
        for words, others, noun in zip(found, tried, NOUNS, strict=True)
        if words < others
    ]
    return f"{len(collapsed)} of the {len(alike)} variants" + (f" with {', '.join(distinctive)}" if distinctive else "")


def _node_bits(groups: Sequence[_Group]) -> list[str]:
    """The mean bits of nodes by their in-degree, where nodes have bits of their own."""
    cases = [case for group in groups for case in group.cases.values()]
    return [
        f"{case.id}: mean bits of nodes by in-degree: {_by_degree(case.bit_width.histogram)}"
        for case in cases
        if case.bit_width.histogram
    ]


def _by_degree(histogram: Mapping[str, Mapping[str, int]]) -> str:
    nodes: Counter[int] = Counter()
    bits: Counter[int] = Counter()
    for in_degree, counts in histogram.items():
        shown = min(int(in_degree), MANY)
        nodes[shown] += sum(counts.values())
        bits[shown] += sum(int(width) * count for width, count in counts.items())
    return ", ".join(
        f"{degree}{'+' if degree == MANY else ''}: {bits[degree] / nodes[degree]:.2f}"
        for degree in sorted(nodes)
        if nodes[degree]
    )
