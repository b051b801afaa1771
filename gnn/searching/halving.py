"""The search itself: successive halving over seeds, on the validation part, within a budget of time."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from statistics import fmean

from torch import nn

from gnn.atomic_file import AnyPath
from gnn.case import Case
from gnn.compression import CompressionSettings
from gnn.errors import GnnError, NothingFoundError, SettingError, StorageError
from gnn.leftovers import temporary_folder
from gnn.models import Model
from gnn.searching.candidates import Candidate, Limits, Work, non_dominated, works
from gnn.searching.found import TABLE_HEAD, Found, code_line, table_line
from gnn.searching.inputs import registered
from gnn.searching.measuring import DenseModel, FileScore, Measuring
from gnn.tasks import GivenTask, Task
from gnn.training import evaluate
from gnn.turns import taking_turns

# How long the speed of what was chosen is measured.
FINAL_SPEED_S = 0.5
FINAL_PASSES = 20
# A pass that takes longer is timed for the chosen model alone, unless there is a limit for it.
SLOW_PASS_S = 0.2
CLOSEST = 3

Progress = Callable[[str], object]


class _OutOfTimeError(Exception):
    """The budget is used up in the middle of something."""


def _print_line(line: str) -> None:
    print(line, flush=True)


def search(  # noqa: PLR0913  (each is one thing that a user may say)
    model: Model | nn.Module | str,
    task: GivenTask | Task | str,
    *,
    max_drop: float = 0.01,
    max_bytes: int | None = None,
    max_latency_s: float | None = None,
    budget_s: float = 600.0,
    seeds: int = 3,
    methods: Sequence[CompressionSettings] | None = None,
    cache: AnyPath | bool = True,
    progress: Progress | None = _print_line,
) -> Found:
    """Find the compression with the smallest file within limits, on the validation part alone.

    Pruning, quantization and both together are tried at several sparsities and bit widths, cheapest first. Every score
    is that of a model that was written to its file and read back, beside the dense model of the same seed. All
    candidates are tried with one seed, the better half with a second one, and so on (successive halving). The test part
    is looked at once, at the end, with the chosen model and the dense one. Ctrl-C ends the search with the best so far.

    Source: Jamieson and Talwalkar, arXiv 1502.07943, algorithm 1, with seeds as the resource.

    Args:
        model: A `gnn.Model`, the name of a registered model, or a trained module, whose weights are taken as they are.
        task: What the model is asked: a task of `gnn.node_task` and the like, or the name of a registered one, whose
            data is looked for in GNN_DATA_ROOT, ./data and ../shared/data before it is downloaded.
        max_drop: How much of the validation score may be lost, in its own unit: 0.01 is one point of accuracy. It holds
            on average over the seeds and for the file itself.
        max_bytes: The largest file that is taken.
        max_latency_s: The most seconds that one compiled inference may take.
        budget_s: Seconds of wall time for all of it. What will not fit is not started; only a training loop of your own
            is never interrupted.
        seeds: How many dense models are trained at most, from seed 0 on; the file is that of seed 0.
        methods: Settings that are tried in the place of ours, such as `gnn.Gradual(0.9)`.
        cache: A folder where dense models are kept for the next search, True for GNN_CACHE or else
            `gnn-compression` in the user's cache folder, False for none. A model whose code is in no file, such as a
            notebook's, is never kept.
        progress: Called with each line that tells how far the search is; None is silent.

    Returns:
        The model as read back from its file, what was measured, and how to make it again. Of several that fulfil the
        limits it is the one with the smallest file, and of those the fastest.

    Raises:
        NothingFoundError: Nothing fulfils the limits; the sentence names what comes closest.
        SettingError: The model, the task or a limit cannot be used.
    """
    limits = Limits(max_drop, max_bytes, max_latency_s)
    if not 0 < budget_s < math.inf or type(seeds) is not int or seeds < 1:
        raise SettingError(f"budget_s {budget_s} must be a number above 0 and seeds {seeds} a whole number from 1 on")
    asked, say, end_s = works(methods), progress or (lambda _: None), time.perf_counter() + budget_s
    with registered(model, task, cache) as inputs, temporary_folder() as folder:
        return _Search(asked, Measuring(inputs, folder), limits, end_s, say).run(seeds, budget_s)


class _Search:
    """The state of one search: what was measured, what failed, and how long each kind of work took."""

    def __init__(self, asked: list[Work], measuring: Measuring, limits: Limits, end_s: float, say: Progress) -> None:
        self.asked, self.measuring, self.limits, self.end_s, self.say = asked, measuring, limits, end_s, say
        self.measured: dict[Case, Candidate] = {}
        self.failed: dict[str, str] = {}
        self._tried: set[Work] = set()
        self._without_file: set[str] = set()
        self._hopeless: dict[tuple[object, ...], float] = {}
        self._took_s: dict[tuple[str, int], float] = {}
        self._reserve_s = 0.0
        self._shown: set[Case] = set()

    @property
    def untried(self) -> list[Work]:
        """What there was no time for yet."""
        return [work for work in self.asked if work not in self._tried]

    def run(self, seeds: int, budget_s: float) -> Found:
        """Search until all is tried, the time is over or the user has had enough."""
        self.say(f"looking for the smallest file that {self.limits}, for {budget_s:g} s at most")
        try:
            with taking_turns(self._stop_in_time):
                self._train_dense()
                # What had no share of the time gets what the others left of it.
                while waiting := self.untried:
                    self._halve(waiting, seeds)
                    if self.untried == waiting:
                        break
        except _OutOfTimeError:
            if not self.measured:
                raise SettingError(
                    f"budget_s {budget_s:g} is over before anything was compressed; give more, or a trained module"
                ) from None
        except KeyboardInterrupt:
            self.say("interrupted; this is the best so far")
            if not self.measured:
                raise
        found = self._found(self._choice())
        for line in (f"done, {max(self._left_s(), 0):.0f} s before the time; the front:", *found.table):
            self.say(line)
        return found

    def _train_dense(self) -> None:
        dense = self.measuring.dense(0)
        # What comes at the end: two looks at the test part, and the speed.
        self._reserve_s = 2 * FINAL_SPEED_S + FINAL_PASSES * dense.pass_s
        self.say(
            f"dense: validation {dense.trial.task.score_name} {dense.score:.4f}, {self.measuring.dense_size_bytes:,} "
            f"bytes; {self._left_s():.0f} s left"
        )
        self.say(TABLE_HEAD)

    def _halve(self, asked: list[Work], seeds: int) -> None:
        """All candidates with one seed, the better half of them with the next one, and so on."""
        going: dict[Work, set[str] | None] = dict.fromkeys(asked)
        candidates = 0
        for seed in range(seeds):
            if not going or self.measuring.dense_s(seed) > self._left_s():
                break
            if seed:
                self.say(f"the better half goes on to seed {seed}: {candidates} files; {self._left_s():.0f} s left")
            self.measuring.dense(seed)
            # Each round gets the same share of the time, the last one what is left of it.
            until_s = self._left_s() * (1 - 1 / (seeds - seed))
            for work, precisions in going.items():
                self._try(work, seed, precisions, until_s)
            done = [candidate for candidate in self.measured.values() if len(candidate.seeds) == seed + 1]
            done = [candidate for candidate in done if not self.limits.hopeless(candidate)]
            best = sorted(done, key=self.limits.rank)[: math.ceil(len(done) / 2)]
            going, candidates = _by_work(best), len(best)
        self._complete(seeds)

    def _complete(self, seeds: int) -> None:
        """While nothing that saw all seeds fulfils the limits, show the best that does another one."""
        while self._choice(seeds) is None and (best := self._choice()) is not None:
            self._try(best.work, len(best.seeds), {best.case.precision}, until_s=0.0)
            if self.measured.get(best.case) is best:
                return

    def _choice(self, seeds: int | None = None) -> Candidate | None:
        """The best within the limits of those that saw so many seeds, or else the most that any of them saw."""
        within = [candidate for candidate in self.measured.values() if self.limits.excess(candidate) == 0]
        most = seeds or max((len(candidate.seeds) for candidate in within), default=0)
        return min((c for c in within if len(c.seeds) == most), key=self.limits.rank, default=None)

    def _try(self, work: Work, seed: int, precisions: set[str] | None, until_s: float) -> None:
        """Measure one method with one seed, unless it is hopeless or will not fit into what is left of a round."""
        hopeless = work.sparsity >= self._hopeless.get(work.family, math.inf)
        if hopeless or work.pruning.method in self._without_file:
            self._tried.add(work)
            return
        if self._expected_s(work, seed) > self._left_s() - until_s:
            return
        self._tried.add(work)
        dense, start_s = self.measuring.dense(seed), time.perf_counter()
        outcomes = list(self.measuring.files(work, seed, precisions))
        for case, outcome in outcomes:
            if isinstance(outcome, GnnError):
                self.failed[case.method_id] = str(outcome)
                self.measured.pop(case, None)
            else:
                self._note(case, seed, outcome, dense)
        kind = (work.compression.method, work.fine_tunings)
        self._took_s[kind] = max(self._took_s.get(kind, 0.0), time.perf_counter() - start_s)
        if all(isinstance(outcome, StorageError) for _, outcome in outcomes):
            # Training changes no shapes: no file will hold what this method leaves.
            self._without_file.add(work.pruning.method)
        mine = [candidate for candidate in self.measured.values() if candidate.work == work]
        if mine and all(self.limits.hopeless(candidate) for candidate in mine):
            self._hopeless[work.family] = min(work.sparsity, self._hopeless.get(work.family, math.inf))

    def _note(self, case: Case, seed: int, file: FileScore, dense: DenseModel) -> None:
        before = self.measured.get(case) or Candidate(case, (), (), (), file.size_bytes)
        candidate = replace(
            before,
            seeds=(*before.seeds, seed),
            scores=(*before.scores, file.score),
            dense_scores=(*before.dense_scores, dense.score),
        )
        self.measured[case] = candidate
        on_front = candidate in self._front()
        timed = (on_front and dense.pass_s < SLOW_PASS_S) or self.limits.max_latency_s is not None
        if candidate.speed is None and timed:
            candidate = self.measured[case] = replace(candidate, speed=self.measuring.speed(case))
        if on_front and case not in self._shown:
            self._shown.add(case)
            self.say(table_line(candidate, self.measuring.dense_size_bytes, f"{self._left_s():.0f} s"))

    def _front(self) -> tuple[Candidate, ...]:
        return non_dominated(c for c in self.measured.values() if not self.limits.hopeless(c))

    def _expected_s(self, work: Work, seed: int) -> float:
        """How long a method will take, by the longest of its kind, or else by epochs of fine-tuning."""
        took_s, kind = self._took_s, (work.compression.method, work.fine_tunings)
        if kind not in took_s:
            untrained = [took_s[other] for other in took_s if other[1] == 0] or [0.0]
            return self.measuring.dense_s(seed) + fmean(untrained) + work.fine_tunings * self.measuring.fine_tuning_s
        return self.measuring.dense_s(seed) + took_s[kind]

    def _left_s(self) -> float:
        return self.end_s - time.perf_counter() - self._reserve_s

    def _stop_in_time(self) -> None:
        if self._left_s() <= 0:
            raise _OutOfTimeError

    def _found(self, chosen: Candidate | None) -> Found:
        if chosen is None:
            raise NothingFoundError(self._nothing())
        dense, case = self.measuring.dense(0), chosen.case
        # The choice is made: nothing before this line has seen a label of the test part.
        model = self.measuring.loaded(case)
        speed = self.measuring.speed(case, FINAL_SPEED_S, again=True)
        return Found(
            model=model,
            chosen=replace(chosen, speed=speed),
            score_name=dense.trial.task.score_name,
            test_score=evaluate(model, dense.trial.task).score,
            dense_test_score=evaluate(dense.model, dense.trial.task).score,
            dense_size_bytes=self.measuring.dense_size_bytes,
            front=self._front(),
            failed=self.failed,
            untried=len(self.untried),
            code=code_line(case, *self.measuring.inputs.written),
            content=self.measuring.path(case).read_bytes(),
        )

    def _nothing(self) -> str:
        if not self.measured:
            failed = "; ".join(f"{name}: {reason}" for name, reason in list(self.failed.items())[:CLOSEST])
            return f"none of {len(self.asked)} methods could be tried ({failed or 'there was no time for any'})"
        closest = sorted(self.measured.values(), key=self.limits.rank)[:CLOSEST]
        said = "; ".join(
            f"{c.case.method_id} loses {c.drop:.4f} with {c.size_bytes:,} bytes"
            + ("" if c.speed is None else f" and {1e3 * c.speed.latency_s:.3g} ms")
            for c in closest
        )
        time_was_short = f" ({len(self.untried)} methods did not fit into the time)" if self.untried else ""
        return (
            f"no file of {len(self.measured)} that were written {self.limits}{time_was_short}; "
            f"closest are {said}; allow more of one, or give more time"
        )


def _by_work(candidates: Iterable[Candidate]) -> dict[Work, set[str] | None]:
    """The precisions that are left of each method, the best method first."""
    found: dict[Work, set[str] | None] = {}
    for candidate in candidates:
        found[candidate.work] = (found.get(candidate.work) or set()) | {candidate.case.precision}
    return found
