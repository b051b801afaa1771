"""The case table: every case once, with the number of seeds each profile gives it."""

from fixtures.cases import Row
from gnn.case import Case
from gnn.compression import Dense, FineGrained, GlobalMagnitude

TASKS = ("cora-node",)

EVERY_PROFILE = {"quick": 3, "ci": 5, "paper": 10}
PAPER_ONLY = {"paper": 10}

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

# Sparsity 0 is the dense model. Its fine-tuned twin separates "fine-tuning helped" from "training longer
# helped".
CONTROLS = tuple(Row(Case("cora-node", "spline", Dense(), fine_tune), EVERY_PROFILE) for fine_tune in (False, True))

PRUNING = CONTROLS + tuple(
    Row(Case("cora-node", "spline", method(sparsity), fine_tune), seeds)
    for method in (GlobalMagnitude, FineGrained)
    for sparsity, seeds in SPARSITIES.items()
    for fine_tune in (False, True)
)
