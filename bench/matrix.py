"""The case table: every case once, with the number of seeds each profile gives it."""

from fixtures.cases import Row
from gnn.case import Case
from gnn.compression import (
    L2,
    A2q,
    Bf16,
    CompressionSettings,
    DegreeQuant,
    Dense,
    FineGrained,
    GlobalMagnitude,
    Gradual,
    Hybrid,
    LayerAdaptive,
    LotteryTicket,
    PostTraining,
    Qat,
    Sensitivity,
    Structured,
)

# Seeds of a case in the profiles below that of the paper. A seed of a cheap one trains for seconds; a minute and more
# make it expensive.
QUICK = {"quick": 3, "ci": 5}
QUICK_EXPENSIVE = {"quick": 1, "ci": 5}
QUICK_MOST_EXPENSIVE = {"quick": 1, "ci": 3}
NIGHTLY = {"ci": 5}
NIGHTLY_EXPENSIVE = {"ci": 3}
PAPER_ONLY: dict[str, int] = {}

EXPENSIVE_TARGETS = (("proteins", "hgpsl"), ("bbbp", "gnnnet"), ("bbbp", "gin"))
CHEAP_TARGETS = (("cora-link", "ness"), ("cora-node", "spline"))
TARGETS = EXPENSIVE_TARGETS + CHEAP_TARGETS
HGPSL, GNNNET, GIN, NESS, SPLINE = (TARGETS[i : i + 1] for i in range(len(TARGETS)))

# Seeds in the profile of the paper, settled before it was run.
SEEDS, FEW_SEEDS, MANY_SEEDS = 10, 5, 20
# The dense model alone trains for half a minute and more, on a core of AMD's Zen 3.
LONG_TRAININGS = (
    ("cora-link", "walkpooling"),
    ("cora-link", "graphsage"),
    ("bbbp-scaffold", "gnnnet"),
    ("bbbp", "supergat-readout"),
    ("bbbp", "gcn-readout"),
)
# Whether pruning or training longer helped, at the sparsities that are talked about.
CONTROLLED = (Dense(), GlobalMagnitude(0.8), GlobalMagnitude(0.9))
# Whether a ticket is worth more than its mask on other weights, or than pruning once.
TICKET_OR_CONTROL = ("init", "random", "one-shot")


def seeds_of_the_paper(case: Case) -> int:
    """How many seeds the profile of the paper gives a case: what its verdict needs, and what its training allows.

    10 where a seed trains for seconds or, beside its dense model, not at all; 5 where it takes longer; 10 of these
    where fine-tuning is held against its dense control, or a lottery ticket against its controls; and 20 of the dense
    HGP-SL, whose splits differ most.
    """
    model, method = (case.registered_task, case.model), case.compression
    if model == HGPSL[0] and case.id == Case(*model, Dense()).id:
        return MANY_SEEDS
    if model in CHEAP_TARGETS or (case.fine_tune and method in CONTROLLED):
        return SEEDS
    if isinstance(method, LotteryTicket):
        return SEEDS if method.start in TICKET_OR_CONTROL else FEW_SEEDS
    trains = case.fine_tune or isinstance(method, A2q | DegreeQuant | Hybrid | L2 | Qat)
    return FEW_SEEDS if trains or model in LONG_TRAININGS else SEEDS


def in_all_profiles(case: Case, seeds: dict[str, int]) -> Row:
    """A case with its seeds in smaller profiles, and in that of the paper."""
    return Row(case, {**seeds, "paper": seeds_of_the_paper(case)})


# Expensive cases first, so that no worker is left alone with one at the end.
BASELINES = tuple(
    in_all_profiles(Case(task, model, Dense()), seeds)
    for task, model, seeds in (
        ("proteins", "hgpsl", QUICK_EXPENSIVE),
        ("bbbp", "gnnnet", QUICK_EXPENSIVE),
        ("bbbp", "gin", QUICK_EXPENSIVE),
        ("cora-link", "walkpooling", NIGHTLY_EXPENSIVE),
        ("cora-link", "graphsage", NIGHTLY_EXPENSIVE),
        ("bbbp", "supergat-readout", NIGHTLY_EXPENSIVE),
        ("bbbp-scaffold", "gnnnet", NIGHTLY_EXPENSIVE),
        ("proteins", "gin", NIGHTLY),
        ("proteins", "supergat-readout", NIGHTLY_EXPENSIVE),
        ("bbbp", "sage-readout", NIGHTLY_EXPENSIVE),
        ("bbbp", "gcn-readout", NIGHTLY_EXPENSIVE),
        ("proteins", "gcn-readout", NIGHTLY_EXPENSIVE),
        ("proteins", "sage-readout", NIGHTLY_EXPENSIVE),
        ("cora-node", "gcn", NIGHTLY_EXPENSIVE),
        ("cora-node", "ssp", NIGHTLY_EXPENSIVE),
        ("cora-link", "ness", QUICK),
        ("cora-node", "graphconv", NIGHTLY),
        ("cora-node", "spline", QUICK),
    )
)


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
        in_all_profiles(Case(task, model, method, tuned, precision), seeds)
        for method in methods
        for tuned in fine_tune
        for precision in precisions
        for task, model in targets
    )


BOTH = (False, True)
SPARSITIES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def beside(all_rows: tuple[Row, ...], asked: tuple[Row, ...]) -> tuple[Row, ...]:
    """The rows that are asked for, and what the whole table has beside them in the profile of the paper alone."""
    known = {row.case.id for row in asked}
    return asked + tuple(row for row in all_rows if row.case.id not in known)


# Sparsity 0 is the dense model of BASELINES. Its fine-tuned twin separates "fine-tuning helped" from "training
# longer helped".
PRUNING = beside(
    rows(TARGETS, (Dense(),), PAPER_ONLY, fine_tune=(True,))
    + rows(
        TARGETS, tuple(m(s) for m in (GlobalMagnitude, FineGrained) for s in SPARSITIES), PAPER_ONLY, fine_tune=BOTH
    ),
    (
        *rows(HGPSL, (GlobalMagnitude(0.8),), QUICK_EXPENSIVE, fine_tune=(True,)),
        *rows(GNNNET + GIN, (GlobalMagnitude(0.8),), NIGHTLY, fine_tune=(True,)),
        *rows(EXPENSIVE_TARGETS, (FineGrained(0.8), GlobalMagnitude(0.9)), NIGHTLY),
        *rows(NESS, (GlobalMagnitude(0.8),), QUICK, fine_tune=(True,)),
        *rows(NESS, (GlobalMagnitude(0.5), GlobalMagnitude(0.9), FineGrained(0.8)), NIGHTLY, fine_tune=(True,)),
        *rows(NESS, (GlobalMagnitude(0.5),), NIGHTLY),
        *rows(SPLINE, (GlobalMagnitude(0.9), FineGrained(0.9)), QUICK, fine_tune=(True,)),
        *rows(SPLINE, (Dense(),), NIGHTLY, fine_tune=(True,)),
        *rows(SPLINE, (GlobalMagnitude(0.5), GlobalMagnitude(0.8)), NIGHTLY, fine_tune=BOTH),
        *rows(SPLINE, (FineGrained(0.5), FineGrained(0.8)), NIGHTLY, fine_tune=(True,)),
        *rows(SPLINE, (GlobalMagnitude(0.9), FineGrained(0.9)), NIGHTLY),
    ),
)

GRADUAL = beside(
    rows(TARGETS, (Gradual(0.9), Gradual(0.8)), PAPER_ONLY, fine_tune=(True,)),
    (
        *rows(SPLINE, (Gradual(0.9),), QUICK, fine_tune=(True,)),
        *rows(NESS, (Gradual(0.9),), NIGHTLY_EXPENSIVE, fine_tune=(True,)),
    ),
)

# Each layer to a sparsity of its own.
LAYER_WISE = (
    *rows(GNNNET, (LayerAdaptive(0.9),), NIGHTLY, fine_tune=(True,)),
    *rows(SPLINE, (LayerAdaptive(0.9),), QUICK, fine_tune=(True,)),
    *rows(SPLINE, (Sensitivity(0.01),), QUICK),
)

STRUCTURED = beside(
    rows(
        TARGETS,
        tuple(Structured(s, kind) for s in (0.5, 0.8, 0.9) for kind in ("magnitude", "taylor")),
        PAPER_ONLY,
        fine_tune=BOTH,
    ),
    (
        *rows(GNNNET, (Structured(0.8),), QUICK_EXPENSIVE, fine_tune=(True,)),
        *rows(SPLINE, (Structured(0.8),), QUICK, fine_tune=(True,)),
        *rows(HGPSL + GIN + NESS, (Structured(0.8),), NIGHTLY, fine_tune=(True,)),
        *rows(SPLINE, (Structured(0.5), Structured(0.9), Structured(0.8, "taylor")), NIGHTLY, fine_tune=(True,)),
        *rows(TARGETS, (Structured(0.8),), NIGHTLY),
    ),
)

LOSSY = ("fp16", "int8", "int4")
STORAGE = beside(
    rows(TARGETS, (Dense(),), PAPER_ONLY, precisions=LOSSY)
    + rows(TARGETS, (GlobalMagnitude(0.5), GlobalMagnitude(0.9)), PAPER_ONLY, fine_tune=(True,), precisions=LOSSY),
    (
        *rows(SPLINE, (GlobalMagnitude(0.9),), QUICK, fine_tune=(True,), precisions=("int8",)),
        *rows(GIN, (Dense(),), QUICK_EXPENSIVE, precisions=("int4",)),
        *rows(SPLINE, (GlobalMagnitude(0.9),), NIGHTLY, fine_tune=(True,), precisions=("fp16", "int4")),
        *rows(SPLINE, (GlobalMagnitude(0.5),), NIGHTLY, fine_tune=(True,), precisions=LOSSY[1:]),
        *rows(GIN, (Dense(),), NIGHTLY, precisions=("fp16", "int8")),
        *rows(HGPSL + GNNNET + NESS, (Dense(),), NIGHTLY, precisions=("int8",)),
    ),
)

# The paper's four dataset-tasks.
REGULARIZED = HGPSL + GNNNET + NESS + SPLINE
RATES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1e2, 1e3, 1e6)
# What the smallest weights of a regularized model are worth, and those of one that is not.
PRUNED = tuple(L2(rate, sparsity=0.9) for rate in (0.0, 1e-3, 1e-2, 0.1))
REGULARIZATION = beside(
    rows(REGULARIZED, (L2(0.0), *(L2(rate) for rate in RATES), *PRUNED), PAPER_ONLY),
    (
        *rows(SPLINE, (L2(1e-3),), QUICK),
        *rows(SPLINE, (L2(0.0), L2(0.1), L2(1e2), *PRUNED[:2], PRUNED[3]), NIGHTLY),
        *rows(NESS, (L2(1e-3),), NIGHTLY_EXPENSIVE),
        *rows(GNNNET, PRUNED[1:2], NIGHTLY_EXPENSIVE),
    ),
)

TICKETS = tuple(LotteryTicket(0.8, start) for start in ("init", "early", "one-shot", "random"))
# The last of them takes the masks of the first, so it comes last.
LOTTERY = beside(
    rows(TARGETS, TICKETS, PAPER_ONLY),
    (*rows(SPLINE, TICKETS[:1], QUICK_EXPENSIVE), *rows(SPLINE, TICKETS[1:], NIGHTLY)),
)

# The paper quantizes GIN, on its two sets of graphs.
QUANTIZED = (*GIN, ("proteins", "gin"))
VARIANTS = tuple(
    method(bit_width, gradient, tracking)
    for method in (DegreeQuant, Qat)
    for tracking in ("percentile", "momentum", "absolute")
    for gradient in ("gradient-clipping", "straight-through")
    for bit_width in (4, 8)
)
QUANTIZATION = beside(
    rows(QUANTIZED, (A2q(), *VARIANTS), PAPER_ONLY)
    + rows((*QUANTIZED[1:], *TARGETS), (PostTraining(8), Bf16()), PAPER_ONLY),
    (
        *rows(GIN, (A2q(),), QUICK_MOST_EXPENSIVE),
        *rows(GIN, (DegreeQuant(4, "gradient-clipping", "percentile"),), QUICK_MOST_EXPENSIVE),
        *rows(GIN, (Qat(8, "straight-through", "momentum"),), QUICK_MOST_EXPENSIVE),
        *rows(QUANTIZED[1:], (Qat(8, "straight-through", "percentile"),), NIGHTLY_EXPENSIVE),
        *rows(GIN, (PostTraining(8),), QUICK_EXPENSIVE),
        *rows(SPLINE, (PostTraining(8),), QUICK),
        *rows((*QUANTIZED[1:], *HGPSL, *GNNNET, *NESS), (PostTraining(8),), NIGHTLY),
        *rows(GNNNET, (Bf16(),), QUICK_EXPENSIVE),
        *rows(GIN, (Bf16(),), NIGHTLY),
    ),
)

PRUNED_AND_QUANTIZED = (Hybrid(Structured(0.8)), Hybrid(GlobalMagnitude(0.8)), Hybrid(GlobalMagnitude(0.8), 4))
HYBRID = beside(
    rows(TARGETS, (*PRUNED_AND_QUANTIZED, Hybrid(GlobalMagnitude(0.8), 8, "quantize-first")), PAPER_ONLY),
    (
        *rows(GNNNET, PRUNED_AND_QUANTIZED[:1], QUICK_EXPENSIVE),
        *rows(SPLINE, PRUNED_AND_QUANTIZED[2:], QUICK),
        *rows(SPLINE, (*PRUNED_AND_QUANTIZED[:2], Hybrid(GlobalMagnitude(0.8), 8, "quantize-first")), NIGHTLY),
        *rows(HGPSL + GIN + NESS, PRUNED_AND_QUANTIZED[1:2], NIGHTLY),
    ),
)

TABLE = (
    BASELINES + PRUNING + GRADUAL + LAYER_WISE + STRUCTURED + STORAGE + REGULARIZATION + LOTTERY + QUANTIZATION + HYBRID
)
TASKS = tuple(sorted({row.case.registered_task for row in TABLE}))
