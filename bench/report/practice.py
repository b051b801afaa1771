"""The claims about compressing graph neural networks that a run of the paper's cases is asked, the boldest first."""

from bench.matrix import TARGETS
from bench.report.claims import (
    ABOVE,
    BELOW,
    LEAST_MODELS,
    Claim,
    Compared,
    Evidence,
    LackingError,
    least_size,
    least_speedup,
    mean_of,
    paired_mean,
)
from bench.report.comparison import CLOSE, chosen_variant
from fixtures.record import Record

MODELS = tuple(f"{task}.{model}" for task, model in TARGETS)
QUANTIZED = ("bbbp.gin", "proteins.gin")
VARIANTS = tuple(f"{gradient}-{tracking}" for gradient in ("ste", "gc") for tracking in ("abs", "mom", "per"))
UNSTRUCTURED = ("global", "fine-grained")
# A speed-up that is worth a change of the model.
FASTER = 1.05


def _named(records: list[tuple[Record, ...]]) -> str:
    models = sorted({record.case_model for found in records for record in found})
    return f"{len(models)} models" if len(models) > 1 else models[0]


def _difference(
    evidence: Evidence, models: tuple[str, ...], pair: tuple[str, str], side: str, bound: float
) -> Compared:
    """How much more accurate one method is than another, over the models that have both."""
    found = evidence.of_models(models, *pair)
    return mean_of(f"{pair[0]} - {pair[1]}, {_named(found)}", paired_mean([(a, b) for a, b in found]), side, bound)


def _speeds(evidence: Evidence, method: str, side: str) -> Compared:
    records = [record for (record,) in evidence.of_models(MODELS, method)]
    return least_speedup(f"{method}, times as fast as dense", records, side, FASTER)


def _only_channels_are_faster(evidence: Evidence) -> list[Compared]:
    return [_speeds(evidence, "structured.s0.8.ft", ABOVE), _speeds(evidence, "global.s0.8.ft", BELOW)]


def _in_steps(evidence: Evidence) -> list[Compared]:
    once, steps = "global.s0.9.ft", "gradual.s0.9.ft"
    return [
        _difference(evidence, ("cora-node.spline",), (once, "dense"), ABOVE, -CLOSE),
        _difference(evidence, ("bbbp.gnnnet",), (once, "dense"), BELOW, -CLOSE),
        _difference(evidence, ("bbbp.gnnnet",), (steps, once), ABOVE, 0.0),
    ]


def _training_for_integers(evidence: Evidence) -> list[Compared]:
    """Quantization-aware training by the variant that validation chooses, against integers after training."""
    pairs = [
        (_chosen(evidence, f"{model}.qat.int8"), evidence.record(f"{model}.post-training.int8")) for model in QUANTIZED
    ]
    return [mean_of("QAT INT8 - post-training INT8, GIN on both datasets", paired_mean(pairs), BELOW, CLOSE)]


def _chosen(evidence: Evidence, row: str) -> Record:
    found = chosen_variant([record for case, record in evidence.clean.items() if case.startswith(f"{row}.")])
    if found is None:
        raise LackingError(row)
    return found


def _tickets(evidence: Evidence) -> list[Compared]:
    ticket, *others = (f"lottery-ticket.s0.8.{start}" for start in ("init", "one-shot", "random"))
    return [_difference(evidence, MODELS, (other, ticket), ABOVE, -CLOSE) for other in others]


def _training_longer(evidence: Evidence) -> list[Compared]:
    return [_difference(evidence, MODELS, ("global.s0.5.ft", "dense.ft"), BELOW, CLOSE)]


def _of_variants(evidence: Evidence, pairs: list[tuple[str, str]]) -> list[tuple[Record, Record]]:
    """The records of pairs of methods that quantize GIN, where both were run."""
    known, cases = evidence.clean, [(f"{m}.{a}", f"{m}.{b}") for m in QUANTIZED for a, b in pairs]
    found = [(known[a], known[b]) for a, b in cases if a in known and b in known]
    if not found:
        raise LackingError(" and ".join(pairs[0]))
    return found


def _degree_quant(evidence: Evidence) -> list[Compared]:
    pairs = [(f"degree-quant.int4.{variant}", f"qat.int4.{variant}") for variant in VARIANTS]
    found = _of_variants(evidence, pairs)
    what = f"Degree-Quant INT4 - QAT INT4, {len(found)} pairs of the same ranges and gradients"
    return [mean_of(what, paired_mean(found), ABOVE, 0.0)]


def _percentiles(evidence: Evidence) -> list[Compared]:
    methods, gradients = ("qat", "degree-quant"), ("ste", "gc")
    pairs = [(f"{m}.int4.{g}-per", f"{m}.int4.{g}-abs") for m in methods for g in gradients]
    found = _of_variants(evidence, pairs)
    return [mean_of(f"INT4: percentile - absolute ranges, {len(found)} pairs", paired_mean(found), ABOVE, CLOSE)]


def _protocols(evidence: Evidence) -> list[Compared]:
    cases = ("proteins.hgpsl.dense", "cora-link.ness.dense")
    pairs = [(evidence.record(case, paper=True), evidence.record(case)) for case in cases]
    return [
        mean_of(f"{paper.id}, the paper's protocol - clean", paired_mean([(paper, clean)]), ABOVE, CLOSE)
        for paper, clean in pairs
    ]


def _regularization(evidence: Evidence) -> list[Compared]:
    return [_difference(evidence, MODELS, ("l2.r1e-3.s0.9", "l2.r0.s0.9"), ABOVE, CLOSE)]


def _a2q(evidence: Evidence) -> list[Compared]:
    pairs = [(evidence.record(f"{model}.a2q"), _chosen(evidence, f"{model}.qat.int8")) for model in QUANTIZED]
    larger = tuple(a2q.size_bytes.encoded / qat.size_bytes.encoded for a2q, qat in pairs)
    return [
        least_size("bytes of A2Q / bytes of QAT INT8, least", larger, "datasets", 1.0),
        mean_of("A2Q - QAT INT8, GIN on both datasets", paired_mean(pairs), BELOW, CLOSE),
    ]


def _positions(evidence: Evidence) -> list[Compared]:
    records = [r for r in evidence.clean.values() if r.method in UNSTRUCTURED and r.precision == "fp32"]
    if len({record.case_model for record in records}) < LEAST_MODELS:
        raise LackingError(f"{' or '.join(UNSTRUCTURED)} of {LEAST_MODELS} models")
    found = [record.size_bytes.algorithm1 / record.size_bytes.encoded for record in records]
    return [least_size("bytes of Algorithm 1 / bytes of the decodable file, least", found, "cases", 1.0)]


CLAIMS = (
    Claim(
        "Removing whole channels makes inference faster, removing single weights does not.",
        "Where time matters, prune channels; masks buy bytes alone.",
        _only_channels_are_faster,
    ),
    Claim(
        "Nine tenths of the weights can go at once from SplineNet, not from GNNNet, where removing them in steps is "
        "better.",
        "Prune in steps, or look at what is left of the smallest layer.",
        _in_steps,
    ),
    Claim(
        "Quantization-aware training in INT8 makes GIN no more accurate than quantizing it after training.",
        "Try post-training INT8 first: it takes no training.",
        _training_for_integers,
    ),
    Claim(
        "A lottery ticket is not worth its rounds: pruned once, or with random weights under its mask, a model is as "
        "accurate.",
        "Prune once and train on.",
        _tickets,
    ),
    Claim(
        "A model that is pruned to half and fine-tuned gains nothing that the dense model does not gain when it is "
        "trained as long.",
        "Compare with a dense model of the same training before pruning is given the credit.",
        _training_longer,
    ),
    Claim(
        "At INT4 Degree-Quant is more accurate than plain quantization-aware training.",
        "At INT4 protect nodes of high degree.",
        _degree_quant,
    ),
    Claim(
        "INT4 needs ranges from percentiles, absolute ones lose accuracy.",
        "Use percentiles at INT4.",
        _percentiles,
    ),
    Claim(
        "HGP-SL and NESS owe points to the paper's protocol: one easy split, and messages over held-out edges.",
        "Compare with their scores over random splits, without held-out edges.",
        _protocols,
    ),
    Claim(
        "Weight decay of 1e-3 in training lets a model survive losing nine tenths of its weights without fine-tuning.",
        "Train with weight decay where there is no time to fine-tune.",
        _regularization,
    ),
    Claim(
        "A2Q's learned bits make a larger file than INT8, and GIN no more accurate.",
        "Use INT8 for graphs that are not known beforehand.",
        _a2q,
    ),
    Claim(
        "A file that can be read back, positions included, is smaller than that of the paper's Algorithm 1, which has "
        "none.",
        "Report the size of a file that was read back.",
        _positions,
    ),
)
