"""Artifacts are built once, shared by processes, and built again when damaged."""

import errno
import hashlib
import os
import stat
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from filelock import FileLock

import gnn.artifacts
from gnn.artifacts import Artifact, ArtifactStore, CorruptArtifactWarning
from gnn.errors import CacheError
from gnn.turns import taking_turns

KEY = {"kind": "test", "number": 1, "nested": {"list": [1, 2.5, None, True]}}
BUILD_IN_THREE_PROCESSES = """
import os, sys, time
from pathlib import Path
import torch
from gnn.artifacts import Artifact, ArtifactStore
folder = Path(sys.argv[1])

def build():
    with (folder / "builds").open("a") as builds:
        builds.write("built\\n")
    time.sleep(0.5)
    return Artifact({"x": torch.arange(5)}, {"fact": "yes"})

def read():
    artifact = ArtifactStore(folder / "store").load_or_build({"kind": "shared"}, build)
    os.write(1, f"{artifact.tensors['x'].tolist()} {artifact.facts}\\n".encode())  # One call: lines stay whole.
    os._exit(0)

processes = [os.fork() or read() for _ in range(3)]
assert [os.waitpid(process, 0)[1] for process in processes] == [0, 0, 0]
"""


class Builder:
    """Builds an artifact and counts how often it was asked to."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact, self.builds = artifact, 0

    def __call__(self) -> Artifact:
        self.builds += 1
        return self.artifact


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path)


@pytest.fixture
def builder() -> Builder:
    tensors = {"x": torch.tensor([[0.0, -0.0, float("nan")], [1e-45, 2.0, 3.0]]), "labels": torch.arange(4)}
    return Builder(Artifact(tensors, {"cpu_s": repr(0.1 + 0.2), "sentence": 'ä \n "quoted"'}))


def assert_same(one: Artifact, other: Artifact) -> None:
    assert one.facts == other.facts
    assert one.tensors.keys() == other.tensors.keys()
    for name, tensor in one.tensors.items():
        assert tensor.dtype == other.tensors[name].dtype
        assert torch.equal(tensor.view(torch.uint8), other.tensors[name].view(torch.uint8))


def test_an_artifact_is_built_once_and_read_afterwards(store: ArtifactStore, builder: Builder) -> None:
    assert_same(store.load_or_build(KEY, builder), builder.artifact)
    assert_same(store.load_or_build(KEY, builder), builder.artifact)
    assert_same(ArtifactStore(store.folder).load_or_build(KEY, builder), builder.artifact)
    assert builder.builds == 1


def test_a_read_artifact_is_nobody_elses(store: ArtifactStore, builder: Builder) -> None:
    store.load_or_build(KEY, builder)
    store.load_or_build(KEY, builder).tensors["labels"].zero_()
    assert store.load_or_build(KEY, builder).tensors["labels"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("fact", ["cpu_s", "format"])
def test_facts_survive_whatever_their_name(store: ArtifactStore, fact: str) -> None:
    builder = Builder(Artifact({"x": torch.zeros(1)}, {fact: "value"}))
    store.load_or_build(KEY, builder)
    assert store.load_or_build(KEY, builder).facts == {fact: "value"}


def test_an_artifact_without_facts_has_none(store: ArtifactStore) -> None:
    builder = Builder(Artifact({"x": torch.zeros(1)}))
    assert store.load_or_build(KEY, builder).facts == {}
    assert store.load_or_build(KEY, builder).facts == {}


def test_the_order_of_a_key_does_not_matter(store: ArtifactStore) -> None:
    assert store.path(dict(reversed(KEY.items()))) == store.path(KEY)


@pytest.mark.parametrize("change", [{"kind": "other"}, {"number": 2}, {"nested": {"list": [1]}}, {"more": 0}])
def test_another_key_is_another_file(store: ArtifactStore, change: dict[str, object]) -> None:
    assert store.path(KEY | change) != store.path(KEY)


@pytest.mark.parametrize(
    ("part", "name"),
    [("environment", "torch"), ("environment", "instruction_set"), ("environment", "vendor"), ("_versions", "rdkit")],
)
def test_another_environment_is_another_file(
    store: ArtifactStore, part: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, elsewhere = store.path(KEY), getattr(gnn.artifacts, part)() | {name: "another"}
    assert here == store.path(KEY)
    monkeypatch.setattr(gnn.artifacts, part, lambda: elsewhere)
    assert store.path(KEY) != here


def test_a_key_that_is_no_json_is_refused(store: ArtifactStore, builder: Builder) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        store.load_or_build({"key": object()}, builder)
    assert builder.builds == 0


def flip(position: int) -> Callable[[bytes], bytes]:
    def damage(content: bytes) -> bytes:
        flipped = bytearray(content)
        flipped[position] ^= 1
        return bytes(flipped)

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda _content: b"", id="empty"),
        pytest.param(lambda content: content[:31], id="shorter than its digest"),
        pytest.param(lambda content: content[:32], id="digest only"),
        pytest.param(lambda content: content[:-1], id="without its last byte"),
        pytest.param(lambda content: content + b"\0", id="with one more byte"),
        *(pytest.param(flip(position), id=f"bit flipped at {position}") for position in (0, 31, 32, 39, 60, -1)),
    ],
)
def test_a_damaged_file_is_reported_and_built_again(
    store: ArtifactStore, builder: Builder, damage: Callable[[bytes], bytes]
) -> None:
    store.load_or_build(KEY, builder)
    path = store.path(KEY)
    content = path.read_bytes()
    path.write_bytes(damage(content))
    with pytest.warns(CorruptArtifactWarning) as caught:
        assert_same(store.load_or_build(KEY, builder), builder.artifact)
    assert len(caught) == 1
    assert str(caught[0].message) == (
        f"artifact {path} is damaged (its content does not match its sha256); it is built again"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", CorruptArtifactWarning)
        assert_same(store.load_or_build(KEY, builder), builder.artifact)
    assert builder.builds == 2


def test_the_file_of_another_key_is_reported_and_built_again(store: ArtifactStore, builder: Builder) -> None:
    other = Builder(Artifact({"x": torch.ones(1)}))
    store.load_or_build(KEY, other)
    store.load_or_build(KEY | {"number": 2}, builder)
    path = store.path(KEY)
    path.write_bytes(store.path(KEY | {"number": 2}).read_bytes())
    name = store.path(KEY | {"number": 2}).stem
    with pytest.warns(CorruptArtifactWarning, match=rf"is damaged \(it is that of another key, {name}\); it is built"):
        assert_same(store.load_or_build(KEY, other), other.artifact)
    assert_same(store.load_or_build(KEY, other), other.artifact)
    assert other.builds == 2


@pytest.mark.parametrize("facts", [100_000 * "[" + 100_000 * "]", "[]", "{", "null"], ids=lambda text: text[:4])
def test_facts_that_are_none_are_reported_and_built_again(store: ArtifactStore, builder: Builder, facts: str) -> None:
    path = store.path(KEY)
    path.parent.mkdir(parents=True)
    content = safetensors.torch.save({}, metadata={"facts": facts, "name": path.stem})
    path.write_bytes(hashlib.sha256(content).digest() + content)
    with pytest.warns(CorruptArtifactWarning, match="is damaged"):
        assert_same(store.load_or_build(KEY, builder), builder.artifact)
    assert_same(store.load_or_build(KEY, builder), builder.artifact)
    assert builder.builds == 1


def refused(store: ArtifactStore, builder: Builder, path: Path, reason: str) -> None:
    with pytest.raises(CacheError) as error:
        store.load_or_build(KEY, builder)
    assert str(error.value) == (
        f"{path} in the cache cannot be used ({reason}); expected a regular file that this user may write to: remove "
        "it, let those who share the cache write to it (umask 002, chmod -R g+rwX), or name another folder with "
        "GNN_CACHE"
    )


def test_a_folder_in_place_of_a_file_is_refused(store: ArtifactStore, builder: Builder) -> None:
    store.path(KEY).mkdir(parents=True)
    refused(store, builder, store.path(KEY), "Is a directory")
    assert builder.builds == 0


@pytest.mark.parametrize("dangling", [True, False])
def test_a_lock_that_is_a_link_is_refused_and_not_followed(
    store: ArtifactStore, builder: Builder, tmp_path: Path, dangling: bool
) -> None:
    lock = store.path(KEY).with_suffix(".lock")
    lock.parent.mkdir(parents=True)
    lock.symlink_to(tmp_path / "elsewhere")
    if not dangling:
        (tmp_path / "elsewhere").write_text("kept")
    refused(store, builder, lock, "Too many levels of symbolic links")
    assert (tmp_path / "elsewhere").exists() is not dangling


@pytest.mark.parametrize("what", ["lock", "artifact"])
def test_a_cache_that_cannot_be_shared_says_so(
    store: ArtifactStore, builder: Builder, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    store.load_or_build(KEY, builder)
    path, open_file = store.path(KEY).with_suffix(f".{what}"), os.open

    def refuse(opened: str | Path, flags: int, mode: int = 0o777) -> int:
        # As the kernel does for another user's file of mode 0644; whoever runs tests as root may open everything.
        if Path(opened) == path:
            raise PermissionError(errno.EACCES, "Permission denied", str(opened))
        return open_file(opened, flags, mode)

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(Path, "read_bytes", lambda self: os.open(self, os.O_RDONLY))
    refused(store, builder, path, "Permission denied")


def test_a_group_that_shares_a_cache_may_lock_and_replace_each_others_files(
    store: ArtifactStore, builder: Builder
) -> None:
    before = os.umask(0o002)
    try:
        store.load_or_build(KEY, builder)
    finally:
        os.umask(before)
    modes = {path.suffix: stat.S_IMODE(path.stat().st_mode) for path in store.path(KEY).parent.iterdir()}
    assert modes == {".lock": 0o664, ".artifact": 0o664}
    assert stat.S_IMODE(store.path(KEY).parent.stat().st_mode) == 0o775


def test_a_string_is_a_folder(tmp_path: Path, builder: Builder) -> None:
    assert_same(ArtifactStore(str(tmp_path)).load_or_build(KEY, builder), builder.artifact)
    assert ArtifactStore(tmp_path).path(KEY).exists()


def test_a_build_that_fails_leaves_no_artifact(store: ArtifactStore, builder: Builder) -> None:
    def fail() -> Artifact:
        raise RuntimeError("no luck")

    with pytest.raises(RuntimeError, match="no luck"):
        store.load_or_build(KEY, fail)
    assert not store.path(KEY).exists()
    assert_same(store.load_or_build(KEY, builder), builder.artifact)


def test_of_several_processes_one_builds(tmp_path: Path) -> None:
    command = [sys.executable, "-c", BUILD_IN_THREE_PROCESSES, str(tmp_path)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == 3 * "[0, 1, 2, 3, 4] {'fact': 'yes'}\n"
    assert (tmp_path / "builds").read_text() == "built\n"
    assert not list((tmp_path / "store").rglob("*.part"))


def test_whoever_waits_for_an_artifact_offers_its_turn(
    store: ArtifactStore, builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gnn.artifacts, "LOCK_TIMEOUT_S", 0.01)
    path = store.path(KEY).with_suffix(".lock")
    path.parent.mkdir(parents=True)
    builder_elsewhere = FileLock(path)
    builder_elsewhere.acquire()
    turns: list[int] = []

    def offer() -> None:
        turns.append(builder.builds)
        if len(turns) == 3:
            builder_elsewhere.release()

    with taking_turns(offer):
        store.load_or_build(KEY, builder)
    assert turns == [0, 0, 0]
    assert builder.builds == 1
