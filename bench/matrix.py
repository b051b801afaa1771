"""The case table: every case once, with the number of seeds each profile gives it."""

from fixtures.cases import Row
from gnn.case import Case
from gnn.compression import Dense, FineGrained, GlobalMagnitude

TASKS = ("bbbp", "bbbp-scaffold", "cora-link", "cora-node", "proteins")

EVERY_PROFILE = {"quick": 3, "ci": 5, "paper": 10}
# A seed of these trains for ten seconds and more.
DEAR = {"quick": 1, "ci": 5, "paper": 10}
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

SPARSITIES = {
    0.1: PAPER_ONLY,
    0.2: PAPER_ONLY,
    0.3: PAPER_ONLY,
    0.4: PAPER_ONLY,
    0.5: EVERY_PROFILE,
    0.6: PAPER_ONLY,
    0.7: PAPER_ONLY,
    0.8: EVERY_PROFILE,
    0.9: EVERY_PROFILE,
}

# Sparsity 0 is the dense model of BASELINES. Its fine-tuned twin separates "fine-tuning helped" from "training
# longer helped".
CONTROL = Row(Case("cora-node", "spline", Dense(), fine_tune=True), EVERY_PROFILE)

PRUNING = (
    CONTROL,
    *(
        Row(Case("cora-node", "spline", method(sparsity), fine_tune), seeds)
        for method in (GlobalMagnitude, FineGrained)
        for sparsity, seeds in SPARSITIES.items()
        for fine_tune in (False, True)
    ),
)

TABLE = BASELINES + PRUNING
