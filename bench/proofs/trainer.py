"""A neighbour that trains without end, as the suite's own workers do: python -m bench.proofs.trainer."""

import torch

from fixtures.machine_lock import MachineLock, suite_lock_folder
from gnn.artifacts import ArtifactStore
from gnn.determinism import deterministic
from gnn.leftovers import temporary_folder
from gnn.models import MODELS, build_model_for
from gnn.tasks import DataSource, load_task
from gnn.training import fit

MODEL, TASK = "gnnnet", "bbbp"


def main() -> None:
    """Train GNNNet on generated molecules again and again, sharing the machine, epoch by epoch."""
    torch.set_num_threads(1)
    lock = MachineLock(suite_lock_folder())
    with temporary_folder() as folder:
        task = load_task(TASK, DataSource("planted"), ArtifactStore(folder))
        training = MODELS[MODEL].recipe_for(task).training
        print("training", flush=True)
        while True:
            with deterministic(seed=0):
                model = build_model_for(MODEL, task)
            with lock.shared("training beside a proof"):
                fit(model, task, training, seed=0)


if __name__ == "__main__":
    main()
