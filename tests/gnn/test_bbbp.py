"""BBBP: the molecules PyG's `from_smiles` gives, the rows that give none, and the two ways to split them."""

from pathlib import Path

import pytest
import torch
from rdkit import rdBase
from torch import Tensor
from torch_geometric.utils import from_smiles

from gnn.artifacts import ArtifactStore
from gnn.errors import DatasetError
from gnn.tasks import DataSource, GraphClassification, Task, load_task
from gnn.tasks.bbbp import BBBP, Molecules, label_and_smiles, load_bbbp, read_molecules
from gnn.tasks.data_source import verify
from gnn.tasks.graph_splits import random_split

RAW = Path(__file__).parents[2].parent / "shared" / "data" / BBBP.folder
ROWS = ["1,CCO", "0,O=N([O-])C", "1,c1ccccc1CC[Cl]", "0,not SMILES", "0,", "1,[Cl-].CC[NH3+]", "0,c1ccccc1C(=O)O"]
TEXT = "\n".join(["BBBP,smiles", *ROWS, ""])


@pytest.fixture(scope="module")
def raw() -> DataSource:
    if not RAW.is_dir():
        pytest.skip(f"no raw file of BBBP in {RAW}; put a PyG data root there")
    return DataSource("root", RAW)


@pytest.fixture(scope="module")
def few() -> Molecules:
    return read_molecules(TEXT)


def load(name: str, source: DataSource, store: ArtifactStore, protocol: str = "clean", seed: int = 0) -> Task:
    task = load_task(name, source, store, protocol, seed)
    assert isinstance(task, GraphClassification)
    return task


def test_molecules_are_those_of_pyg(few: Molecules) -> None:
    kept = [ROWS[row] for row in (0, 2, 5, 6)]
    assert few.collection.labels.tolist() == [int(row[0]) for row in kept]
    assert few.collection.features.dtype == torch.float32
    for graph, row in enumerate(kept):
        batch, expected = few.collection.select(torch.tensor([graph])), from_smiles(row[2:])
        assert isinstance(expected.x, Tensor)
        assert isinstance(expected.edge_index, Tensor)
        assert torch.equal(batch.features, expected.x.float())
        assert sorted(batch.edge_index.T.tolist()) == sorted(expected.edge_index.T.tolist())


def test_rows_that_are_no_molecule_are_listed_with_the_reason(few: Molecules) -> None:
    assert [(row.line, row.smiles) for row in few.skipped] == [(3, "O=N([O-])C"), (5, "not SMILES"), (6, "")]
    assert [str(row) for row in few.skipped] == [
        "line 3: O=N([O-])C: Explicit valence for atom # 1 N, 4, is greater than permitted",
        "line 5: not SMILES: no SMILES",
        "line 6: : no atoms",
    ]


def test_molecules_share_a_scaffold_when_their_rings_are_the_same(few: Molecules) -> None:
    assert few.scaffold.tolist() == [0, 1, 0, 1]


def test_a_molecule_has_one_number_however_its_smiles_is_written() -> None:
    rows = ["1,CCO", "0,c1ccccc1", "0,OCC", "1,C1=CC=CC=C1", "1,CCC", "1,C(O)C"]
    assert read_molecules("\n".join(["BBBP,smiles", *rows])).molecule.tolist() == [0, 1, 0, 1, 2, 0]


BAD_ROWS = {
    ",CCC": ",CCC: the label is '', expected 0 or 1",
    "nan,CCC": "nan,CCC: the label is 'nan', expected 0 or 1",
    "1.0,CCC": "1.0,CCC: the label is '1.0', expected 0 or 1",
    "2,CCC": "2,CCC: the label is '2', expected 0 or 1",
    "-1,CCC": "-1,CCC: the label is '-1', expected 0 or 1",
    "CCC": "CCC: the number of fields is 1, expected 2: a label and a SMILES",
    "": ": the number of fields is 0, expected 2: a label and a SMILES",
    "1,CCO,x": "1,CCO,x: the number of fields is 3, expected 2: a label and a SMILES",
    "1,[Os+8]": "[Os+8]: PyG has no number for a feature of an atom or a bond: 8 is not in list",
    '"1,CCC': '"1,CCC: no row of a csv file: unexpected end of data',
    '1,"CCC"x': """1,"CCC"x: no row of a csv file: ',' expected after '"'""",
}


@pytest.mark.parametrize("row", BAD_ROWS)
def test_a_bad_row_is_listed_with_what_is_wrong_and_the_others_are_read(row: str) -> None:
    molecules = read_molecules("\n".join(["BBBP,smiles", "1,CCO", row, "0,CCC", ""]))
    assert [str(skipped) for skipped in molecules.skipped] == [f"line 3: {BAD_ROWS[row]}"]
    assert molecules.collection.labels.tolist() == [1, 0]


def test_quoted_fields_and_blank_lines_at_the_end_are_read() -> None:
    molecules = read_molecules('"BBBP","SMILES"\r\n"1","CCO"\r\n0,"CCC"\r\n\r\n  \r\n')
    assert (molecules.collection.labels.tolist(), molecules.skipped) == ([1, 0], ())


HEADER = "expected a header of two columns, the label and 'smiles'; put the line BBBP,smiles before the molecules"
ROW = "expected rows of a label 0 or 1 and a SMILES; add one such as 1,CCO"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", f"line 1 is '', {HEADER}"),
        ("\n\n", f"line 1 is '', {HEADER}"),
        ("1,CCO\n0,CCC\n", f"line 1 is '1,CCO', {HEADER}"),
        ("nan,CCO\n0,CCC\n", f"line 1 is 'nan,CCO', {HEADER}"),
        ('"1,CCO\n0,CCC\n', f"line 1 is '\"1,CCO', {HEADER}"),
        ("num,name,p_np,smiles\n1,a,1,CCO\n", f"line 1 is 'num,name,p_np,smiles', {HEADER}"),
        ("BBBP,smiles\n", f"none of 0 rows is a molecule, {ROW}"),
        (
            "BBBP,smiles\n2,CCC\n1,\n",
            f"none of 2 rows is a molecule (line 2: 2,CCC: the label is '2', expected 0 or 1), {ROW}",
        ),
    ],
)
def test_a_text_without_header_or_molecule_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(DatasetError) as caught:
        read_molecules(text)
    assert str(caught.value) == sentence


def test_reading_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    # PyG switches these messages off for good when it reads a molecule.
    rdBase.EnableLog("rdApp.*")
    try:
        read_molecules(TEXT)
    finally:
        rdBase.DisableLog("rdApp.*")
    assert capfd.readouterr() == ("", "")


PUBLISHED = b"""num,name,p_np,smiles
1,Propanolol HCl,1,[Cl].CC(C)NCC(O)COc1cccc2ccccc12
4,"Acetamide, N-[3-[3-(1-piperidinylmethyl)phenoxy]propyl]-",1,C1CCN(CC1)Cc1cccc(c1)OCCCNC(=O)C
96,\"""1,1,1-Trifluro-2-chloroethane\""",0,ClCC(F)(F)F


"""


def test_the_publishers_columns_and_empty_lines_do_not_count() -> None:
    expected = (
        b"BBBP,smiles\r\n1,[Cl].CC(C)NCC(O)COc1cccc2ccccc12\r\n1,C1CCN(CC1)Cc1cccc(c1)OCCCNC(=O)C\r\n0,ClCC(F)(F)F\r\n"
    )
    assert label_and_smiles(PUBLISHED) == expected
    assert label_and_smiles(PUBLISHED.replace(b"\n", b"\r\n")) == expected
    assert label_and_smiles(expected) == expected


def test_the_raw_file_is_the_known_one_with_or_without_names(raw: DataSource, tmp_path: Path) -> None:
    assert raw.folder is not None
    verify(BBBP, raw.folder)
    content = (raw.folder / "BBBP.csv").read_bytes()
    assert label_and_smiles(content) == content
    rows = content.decode().splitlines()[1:]
    named = ["num,name,p_np,smiles", *(f'{number},"a, {number}",{row}' for number, row in enumerate(rows)), "", ""]
    (tmp_path / "BBBP.csv").write_text("\n".join(named))
    verify(BBBP, tmp_path)
    (tmp_path / "BBBP.csv").write_text("\n".join(named).replace("c1ccccc1", "c1ccccn1", 1))
    with pytest.raises(DatasetError, match=r"BBBP\.csv is corrupted"):
        verify(BBBP, tmp_path)


def test_statistics_of_bbbp(raw: DataSource, store: ArtifactStore) -> None:
    task = load("bbbp", raw, store)
    assert task.statistics == {
        "graphs": 2039,
        "nodes": 49068,
        "edges": 52921,
        "features": 9,
        "labels": 2,
        "nodes_per_graph": "2-132",
        "edges_per_graph": "1-145",
        "molecules": 1975,
        "repeated_rows": 124,
        "contradicting_molecules": 10,
    }
    assert isinstance(task, GraphClassification)
    assert torch.bincount(task.collection.labels).tolist() == [479, 1560]


def test_eleven_rows_of_bbbp_are_skipped_for_a_nitrogen_with_four_bonds(raw: DataSource, store: ArtifactStore) -> None:
    molecules = load_bbbp(raw, store)
    assert [row.line for row in molecules.skipped] == [61, 63, 393, 616, 644, 647, 648, 649, 650, 651, 687]
    assert all("N, 4, is greater than permitted" in row.reason for row in molecules.skipped)
    assert len(molecules.scaffold) == 2039
    assert len(molecules.scaffold.unique()) == 1025


def test_the_scaffold_split_is_harder_and_the_same_for_every_seed(raw: DataSource, store: ArtifactStore) -> None:
    tasks = [load("bbbp-scaffold", raw, store, protocol, seed) for protocol in ("clean", "paper") for seed in (0, 1)]
    assert len({task.sha256 for task in tasks}) == 1
    task = tasks[0]
    assert isinstance(task, GraphClassification)
    parts = {part: task.targets(part) for part in ("train", "validation", "test")}
    assert [len(labels) for labels in parts.values()] == [1631, 204, 204]
    positive = [labels.double().mean().item() for labels in parts.values()]
    assert positive == pytest.approx([0.822, 0.549, 0.525], abs=5e-4)


@pytest.fixture(params=["planted", "raw"])
def source(request: pytest.FixtureRequest) -> DataSource:
    return DataSource("planted") if request.param == "planted" else request.getfixturevalue("raw")


def parts_of(task: Task) -> tuple[Tensor, Tensor, Tensor]:
    assert isinstance(task, GraphClassification)
    return task.split.train, task.split.validation, task.split.test


@pytest.mark.parametrize(("name", "seed"), [("bbbp", 0), ("bbbp", 1), ("bbbp", 2), ("bbbp-scaffold", 0)])
def test_a_molecule_and_in_the_scaffold_split_a_scaffold_is_in_one_part(
    source: DataSource, store: ArtifactStore, name: str, seed: int
) -> None:
    molecules, parts = load_bbbp(source, store), parts_of(load(name, source, store, seed=seed))
    for group in (molecules.molecule, molecules.scaffold)[: 1 if name == "bbbp" else 2]:
        sets = [set(group[part].tolist()) for part in parts]
        assert sum(map(len, sets)) == len(set.union(*sets)) == len(group.unique()) < 2039
    assert torch.cat(parts).sort().values.tolist() == list(range(2039))
    assert [len(part) for part in parts] == pytest.approx([1631, 203, 205], abs=10)


def test_the_papers_random_split_deals_out_rows_whatever_their_molecule(
    source: DataSource, store: ArtifactStore
) -> None:
    task = load("bbbp", source, store, "paper", seed=1)
    assert task.protocol == "paper"
    expected = random_split(2039, seed=1)
    assert all(map(torch.equal, parts_of(task), (expected.train, expected.validation, expected.test)))


def test_the_random_split_is_new_for_every_seed_in_both_protocols(source: DataSource, store: ArtifactStore) -> None:
    tasks = [load("bbbp", source, store, protocol, seed) for protocol in ("clean", "paper") for seed in (0, 1)]
    assert len({task.sha256 for task in tasks}) == 4


def test_what_the_store_gives_back_is_what_was_read(raw: DataSource, store: ArtifactStore) -> None:
    assert raw.folder is not None
    load_bbbp(raw, store)
    stored, read = load_bbbp(raw, store), read_molecules((raw.folder / "BBBP.csv").read_text())
    assert stored.skipped == read.skipped
    assert torch.equal(stored.scaffold, read.scaffold)
    assert torch.equal(stored.molecule, read.molecule)
    assert all(torch.equal(tensor, read.collection.tensors[name]) for name, tensor in stored.collection.tensors.items())
