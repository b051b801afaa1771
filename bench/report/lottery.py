"""Whether a winning lottery ticket exists, model by model, from the records of a run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.report.metrics import scores
from bench.report.table import Cell, Quantity, Table
from fixtures.paired import PairedDifference, paired_difference
from fixtures.record import Record

# A ticket is as good as the dense model when it is at most this much worse.
MARGIN = 0.01
TICKETS = ("init", "early")
NOT_RUN = "not run"
HEADERS = (
    *("model", "sparsity", "ticket", "accuracy", "ticket - dense", "as good as dense"),
    *("ticket - random", "beats random", "ticket - one-shot", "winning ticket"),
)
STYLES = {"sparsity": "g", "accuracy": ".3f"} | {header: "+.3f" for header in HEADERS if header.startswith("ticket - ")}
CRITERIA = (
    f"A ticket wins when it is as good as dense (the 95% interval of ticket - dense lies above {-MARGIN}) and beats "
    'random (that of ticket - random lies above 0); "no" is an interval at or below that bound. Differences are '
    "paired by seed, accuracy is the task's score. All have the same sparsity and the same training; init and early "
    "are the weights a ticket is rewound to, random is the mask of init (beside early, too) with weights drawn anew, "
    "one-shot is pruned once. The intervals are not corrected for the number of comparisons."
)
CLAIM = 'The paper (Section 4): "the lottery ticket hypothesis for GNNs is not valid". A winning ticket contradicts it.'


@dataclass(frozen=True)
class _Ticket:
    """One ticket and what it is compared with; None where that was not run."""

    model: str
    sparsity: float
    start: str
    record: Record | None
    against: Mapping[str, PairedDifference | None]

    @property
    def answers(self) -> tuple[str, str]:
        """Whether it is as good as the dense model, and whether it beats its mask with random weights."""
        return _answer(self.against["dense"], -MARGIN), _answer(self.against["random"], 0.0)

    @property
    def wins(self) -> str:
        """What both answers say together."""
        if "no" in self.answers:
            return "no"
        if NOT_RUN in self.answers:
            return NOT_RUN
        return "yes" if self.answers == ("yes", "yes") else "undecided"

    @property
    def row(self) -> list[Cell]:
        """The cells of its row."""
        as_good, beats_random = self.answers
        differences = {name: _difference(difference) for name, difference in self.against.items()}
        return [
            *(self.model, self.sparsity, self.start),
            scores(self.record.accuracy) if self.record else NOT_RUN,
            *(differences["dense"], as_good),
            *(differences["random"], beats_random),
            *(differences["one-shot"], self.wins),
        ]


def tickets_table(records: Sequence[Record]) -> Table | None:
    """One row for each model, sparsity and ticket that has a record, and what they say about the paper's claim.

    None when no record is of a ticket or of one of its controls.
    """
    groups = _groups(records)
    if not groups:
        return None
    tickets = [_ticket(*key, start, groups[key]) for key in sorted(groups) for start in TICKETS]
    notes = [CLAIM, _conclusion(tickets), CRITERIA, *_late_notes(groups)]
    return Table("tickets", "Winning lottery tickets", HEADERS, [ticket.row for ticket in tickets], notes, STYLES)


def ticket_differences(records: Sequence[Record]) -> Iterator[tuple[Record, str, PairedDifference]]:
    """Every ticket that was run, the name of what it is compared with, and by how much it is more accurate."""
    for (model, sparsity), group in sorted(_groups(records).items()):
        for start in TICKETS:
            ticket = _ticket(model, sparsity, start, group)
            for name, difference in ticket.against.items():
                if ticket.record and difference:
                    yield ticket.record, name, difference


def _groups(records: Sequence[Record]) -> dict[tuple[str, float], dict[str, Record]]:
    """Tickets and their controls by what they start from, for each model and sparsity."""
    groups: dict[tuple[str, float], dict[str, Record]] = {}
    for record in records:
        if record.method == "lottery-ticket":
            key = record.case_model, record.settings["sparsity"]
            groups.setdefault(key, {})[record.settings["start"]] = record
    return groups


def _ticket(model: str, sparsity: float, start: str, group: Mapping[str, Record]) -> _Ticket:
    record = group.get(start)
    against = {
        "dense": record and _against_dense(record),
        "random": _paired(record, group.get("random")),
        "one-shot": _paired(record, group.get("one-shot")),
    }
    return _Ticket(model, sparsity, start, record, against)


def _against_dense(record: Record) -> PairedDifference:
    drops = record.accuracy_drop.values
    return paired_difference([0.0] * len(drops), drops)


def _paired(first: Record | None, second: Record | None) -> PairedDifference | None:
    """The difference of the seeds that both have; None without a common one."""
    if first is None or second is None:
        return None
    one, other = (dict(zip(r.seeds, r.accuracy.values, strict=True)) for r in (first, second))
    common = sorted(one.keys() & other.keys())
    return paired_difference([one[seed] for seed in common], [other[seed] for seed in common]) if common else None


def _answer(difference: PairedDifference | None, bound: float) -> str:
    if difference is None:
        return NOT_RUN
    if difference.ci95 is None:
        return "undecided (one seed)"
    low, high = difference.ci95
    if low > bound:
        return "yes"
    return "no" if high <= bound else f"undecided ({high - low:.3f} wide)"


def _difference(difference: PairedDifference | None) -> Cell:
    return NOT_RUN if difference is None else Quantity(difference.mean, interval=difference.ci95)


def _late_notes(groups: Mapping[tuple[str, float], Mapping[str, Record]]) -> list[str]:
    """The seeds whose training ended while it might still have found a better epoch."""
    late = [
        f"{record.id} (seed {seed})"
        for group in groups.values()
        for record in group.values()
        for seed, truncated in zip(record.seeds, record.truncated, strict=True)
        if truncated
    ]
    return [f"Training was cut short by its budget in: {', '.join(sorted(late))}."] if late else []


def _conclusion(tickets: Sequence[_Ticket]) -> str:
    """What the rows say together."""
    named = {
        answer: [f"{ticket.model} {ticket.sparsity:g} {ticket.start}" for ticket in tickets if ticket.wins == answer]
        for answer in ("yes", "no", "undecided", NOT_RUN)
    }
    counts = (
        ("yes", "a winning ticket exists for"),
        ("no", "none exists for"),
        ("undecided", "the seeds do not decide"),
        (NOT_RUN, "not run:"),
    )
    parts = [f"{words} {', '.join(named[answer])}" for answer, words in counts if named[answer]]
    return f"The data: {'; '.join(parts)}."
