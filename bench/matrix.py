"""The case table: every case once, with the number of seeds each profile gives it."""

from fixtures.cases import Row
from gnn.case import Case
from gnn.compression import (
    L2,
    A2q,
    CompressionSettings,
    DegreeQuant,
    Dense,
    FineGrained,
    GlobalMagnitude,
    Gradual,
    Hybrid,
    LotteryTicket,
    PostTraining,
    Qat,
    Structured,
)

TASKS = ("bbbp", "bbbp-scaffold", "cora-link", "cora-node", "proteins")

EVERY_PROFILE = {"quick": 3, "ci": 5, "paper": 10}
# A seed of these trains for ten seconds and more.
DEAR = {"quick": 1, "ci": 5, "paper": 10}
NOT_QUICK = {"ci": 5, "paper": 10}
# A seed of these trains for a minute and more.
DEAREST = {"ci": 3, "paper": 10}
PAPER_ONLY = {"paper": 10}

# Dear cases first, so that no worker is left alone with one at the end.
BASELINES = tuple(
    Row(Case(task, model, Dense()), seeds)
    for task, model, seeds in (
        ("cora-link", "walkpooling", DEAR),
        ("proteins", "hgpsl", DEAR),
        ("bbbp", "gin", DEAR),
        ("proteins", "gin", DEAR),
        ("bbbp", "supergat-readout", DEAR),
        ("proteins", "supergat-readout", DEAR),
        ("bbbp", "gnnnet", DEAR),
        ("bbbp-scaffold", "gnnnet", DEAR),
        ("bbbp", "gcn-readout", DEAR),
        ("proteins", "gcn-readout", DEAR),
        ("bbbp", "sage-readout", DEAR),
        ("proteins", "sage-readout", DEAR),
        ("cora-link", "graphsage", DEAR),
        ("cora-node", "ssp", EVERY_PROFILE),
        ("cora-link", "ness", EVERY_PROFILE),
        ("cora-node", "gcn", EVERY_PROFILE),
        ("cora-node", "graphconv", EVERY_PROFILE),
        ("cora-node", "spline", EVERY_PROFILE),
    )
)

DEAR_TARGETS = (("proteins", "hgpsl"), ("bbbp", "gnnnet"), ("bbbp", "gin"))
CHEAP_TARGETS = (("cora-link", "ness"), ("cora-node", "spline"))
TARGETS = DEAR_TARGETS + CHEAP_TARGETS
SPLINE = CHEAP_TARGETS[-1:]


def rows(
    targets: tuple[tuple[str, str], ...],
    methods: tuple[CompressionSettings, ...],
    seeds: dict[str, int],
    *,
    fine_tune: tuple[bool, ...] = (False,),
    precisions: tuple[str, ...] = ("fp32",),
) -> tuple[Row, ...]:
    """One row for every combination, method by method, so that neighbours differ in their model."""
    return tuple(
        Row(Case(task, model, method, tuned, precision), seeds)
        for method in methods
        for tuned in fine_tune
        for precision in precisions
        for task, model in targets
    )


BOTH = (False, True)
# The sparsities that every profile or the gate looks at, and those of the paper's tables that are left.
GATED = (0.5, 0.8, 0.9)
OTHERS = (0.1, 0.2, 0.3, 0.4, 0.6, 0.7)
GLOBAL, FINE_GRAINED = (tuple(method(s) for s in GATED) for method in (GlobalMagnitude, FineGrained))

# Sparsity 0 is the dense model of BASELINES. Its fine-tuned twin separates "fine-tuning helped" from "training
# longer helped".
CONTROLS = rows(TARGETS[:-1], (Dense(),), NOT_QUICK, fine_tune=(True,)) + rows(
    SPLINE, (Dense(),), EVERY_PROFILE, fine_tune=(True,)
)

PRUNING = (
    *CONTROLS,
    *rows(DEAR_TARGETS, (GlobalMagnitude(0.8),), DEAR, fine_tune=(True,)),
    *rows(CHEAP_TARGETS[:1], (GlobalMagnitude(0.8),), EVERY_PROFILE, fine_tune=(True,)),
    *rows(TARGETS[:-1], (GlobalMagnitude(0.8),), NOT_QUICK),
    *rows(TARGETS[:-1], (GlobalMagnitude(0.5), GlobalMagnitude(0.9), *FINE_GRAINED), NOT_QUICK, fine_tune=BOTH),
    *rows(SPLINE, (*GLOBAL, *FINE_GRAINED), EVERY_PROFILE, fine_tune=BOTH),
    *rows(
        TARGETS,
        tuple(method(s) for method in (GlobalMagnitude, FineGrained) for s in OTHERS),
        PAPER_ONLY,
        fine_tune=BOTH,
    ),
)

GRADUAL = rows(TARGETS, (Gradual(0.9),), NOT_QUICK, fine_tune=(True,)) + rows(
    TARGETS, (Gradual(0.8),), PAPER_ONLY, fine_tune=(True,)
)

STRUCTURED = (
    *rows((("bbbp", "gnnnet"),), (Structured(0.8),), DEAR, fine_tune=(True,)),
    *rows(SPLINE, (Structured(0.8),), EVERY_PROFILE, fine_tune=(True,)),
    *rows((*DEAR_TARGETS[::2], CHEAP_TARGETS[0]), (Structured(0.8),), NOT_QUICK, fine_tune=(True,)),
    *rows(TARGETS, (Structured(0.5), Structured(0.9), Structured(0.8, "taylor")), NOT_QUICK, fine_tune=(True,)),
    *rows(TARGETS, (Structured(0.8),), NOT_QUICK),
    *rows(TARGETS, (Structured(0.5, "taylor"), Structured(0.9, "taylor")), PAPER_ONLY, fine_tune=BOTH),
    *rows(TARGETS, (Structured(0.5), Structured(0.9), Structured(0.8, "taylor")), PAPER_ONLY),
)

LOSSY = ("fp16", "int8", "int4")
STORAGE = (
    *rows(SPLINE, (GlobalMagnitude(0.9),), EVERY_PROFILE, fine_tune=(True,), precisions=("int8",)),
    *rows((("bbbp", "gin"),), (Dense(),), DEAR, precisions=("int4",)),
    *rows(SPLINE, (GlobalMagnitude(0.9),), NOT_QUICK, fine_tune=(True,), precisions=("fp16", "int4")),
    *rows((("bbbp", "gin"),), (Dense(),), NOT_QUICK, precisions=("fp16", "int8")),
    *rows(TARGETS[:2] + CHEAP_TARGETS, (Dense(),), NOT_QUICK, precisions=LOSSY),
    *rows(TARGETS, (GlobalMagnitude(0.5),), NOT_QUICK, fine_tune=(True,), precisions=LOSSY),
    *rows(TARGETS[:-1], (GlobalMagnitude(0.9),), NOT_QUICK, fine_tune=(True,), precisions=LOSSY),
)

# The paper's four dataset-tasks.
REGULARIZED = (("proteins", "hgpsl"), ("bbbp", "gnnnet"), *CHEAP_TARGETS)
RATES_OF_THE_GATE = (1e-3, 0.1, 1e2)
OTHER_RATES = (1e-6, 1e-5, 1e-4, 1e-2, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1e3, 1e6)
REGULARIZATION = (
    *rows(REGULARIZED[:2], tuple(L2(rate) for rate in RATES_OF_THE_GATE), NOT_QUICK),
    *rows(CHEAP_TARGETS, tuple(L2(rate) for rate in RATES_OF_THE_GATE[:2]), EVERY_PROFILE),
    *rows(CHEAP_TARGETS, (L2(RATES_OF_THE_GATE[2]),), NOT_QUICK),
    # What the smallest weights of a regularized model are worth, and those of one that is not.
    *rows(REGULARIZED, (L2(0.0), L2(0.0, sparsity=0.9), L2(1e-3, sparsity=0.9), L2(0.1, sparsity=0.9)), NOT_QUICK),
    *rows(REGULARIZED, tuple(L2(rate) for rate in OTHER_RATES), PAPER_ONLY),
    *rows(REGULARIZED, (L2(1e-2, sparsity=0.9),), PAPER_ONLY),
)

TICKETS = tuple(LotteryTicket(0.8, start) for start in ("init", "early", "one-shot", "random"))
LOTTERY = (
    *rows(DEAR_TARGETS, TICKETS[::2], DEAREST),
    *rows(SPLINE, TICKETS[:1], EVERY_PROFILE),
    *rows(CHEAP_TARGETS[:1], TICKETS[:1], NOT_QUICK),
    *rows(CHEAP_TARGETS, TICKETS[1:3], NOT_QUICK),
    # These take the masks of "init", so they come last.
    *rows(DEAR_TARGETS, TICKETS[3:], DEAREST),
    *rows(SPLINE, TICKETS[3:], EVERY_PROFILE),
    *rows(CHEAP_TARGETS[:1], TICKETS[3:], NOT_QUICK),
    *rows(DEAR_TARGETS, TICKETS[1:2], PAPER_ONLY),
)

# The paper quantizes GIN, on its two sets of graphs.
QUANTIZED = (("bbbp", "gin"), ("proteins", "gin"))
VARIANTS = tuple(
    method(bit_width, gradient, tracking)
    for method in (DegreeQuant, Qat)
    for tracking in ("percentile", "momentum", "absolute")
    for gradient in ("gradient-clipping", "straight-through")
    for bit_width in (4, 8)
)
QUICK_VARIANTS = (Qat(8, "straight-through", "momentum"), DegreeQuant(4, "gradient-clipping", "percentile"))
QUANTIZATION = (
    *rows(QUANTIZED[:1], QUICK_VARIANTS, DEAR),
    *rows(QUANTIZED[:1], (A2q(),), NOT_QUICK),
    *rows(QUANTIZED[1:], (A2q(), *QUICK_VARIANTS), NOT_QUICK),
    *rows(QUANTIZED, tuple(variant for variant in VARIANTS if variant not in QUICK_VARIANTS), NOT_QUICK),
    *rows(QUANTIZED[:1], (PostTraining(8),), DEAR),
    *rows(SPLINE, (PostTraining(8),), EVERY_PROFILE),
    *rows((*QUANTIZED[1:], *TARGETS[:2], *CHEAP_TARGETS[:1]), (PostTraining(8),), NOT_QUICK),
)

PRUNED_AND_QUANTIZED = (Hybrid(Structured(0.8)), Hybrid(GlobalMagnitude(0.8)), Hybrid(GlobalMagnitude(0.8), 4))
HYBRID = (
    *rows((("bbbp", "gnnnet"),), PRUNED_AND_QUANTIZED[:1], DEAR),
    *rows(SPLINE, PRUNED_AND_QUANTIZED[2:], EVERY_PROFILE),
    *rows((("bbbp", "gnnnet"),), PRUNED_AND_QUANTIZED[1:], NOT_QUICK),
    *rows(SPLINE, PRUNED_AND_QUANTIZED[:2], NOT_QUICK),
    *rows((*DEAR_TARGETS[::2], CHEAP_TARGETS[0]), PRUNED_AND_QUANTIZED, NOT_QUICK),
    *rows(TARGETS, (Hybrid(GlobalMagnitude(0.8), 8, "quantize-first"),), NOT_QUICK),
)

TABLE = BASELINES + PRUNING + GRADUAL + STRUCTURED + STORAGE + REGULARIZATION + LOTTERY + QUANTIZATION + HYBRID
