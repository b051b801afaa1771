"""Kernels in C for one core, compiled by this machine's own compiler when they are first needed.

Without a compiler there are none, and everything that calls them has a form in PyTorch. `GNN_KERNELS=torch` in the
environment asks for that form, `GNN_KERNELS=native` for these kernels, wherever both can be had, `GNN_KERNELS=sparse`
for those of them that pass over zeros of weights; else the fastest is taken, as measured (see `gnn.native.fastest`).
"""

import ctypes
import hashlib
import os
import platform
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

import torch

from gnn.errors import SettingError

SOURCES = Path(__file__).parent
WIDTHS = {"AVX512": 16, "AVX2": 8}
FLAGS = {
    "AVX512": ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma", "-mprefer-vector-width=512"),
    "AVX2": ("-mavx2", "-mfma"),
}
GENERAL_FLAGS = ("-O3", "-std=gnu11", "-shared", "-fPIC", "-ffp-contract=fast", "-fno-math-errno", "-Wno-psabi")
COMPILER_TIMEOUT_S = 300
# How an argument of a function is handed over: a pointer, a size, a number, a choice.
KINDS = {"p": ctypes.c_void_p, "n": ctypes.c_int64, "f": ctypes.c_float, "i": ctypes.c_int}
SIGNATURES = {
    "panel_width": "",
    "pack": "pnnp",
    "product": "pnppnpnnnif",
    "aggregate": "ppppnnpnpif",
    "maximum": "pppnnp",
    "sum_rectified": "pppppfnnp",
    "transform": "ppnif",
    "chain": "ppppnnpnpnp",
    "equal_rows": "pnnippnppp",
    "refine": "pppnnppipppnppp",
    "sparse_product": "pnppppnpnnnif",
    "pack_bfloat16": "pnnp",
    "product_bfloat16": "pnppnpnnnif",
    "attend": "ppnpnppinnppfpnpiif",
    "best_nodes": "pppnp",
    "learn_edges": "pppnpnpffpppn",
    "integer_group": "",
    "compute_rows": "pnn",
    "fake_quantize": "ppnfffff",
    "clip_gradient": "pppnff",
    "copy_rows": "ppnnpn",
    "observe": "pnnpiffpp",
    "beyond": "pnnpfipp",
    "learn_grids": "pnnpppipppp",
    "nearest_level": "pnnppnp",
    "select_rows": "ppppnpppp",
    "transpose": "ppnnppp",
}
WITH_RESULT = (
    *("panel_width", "chain", "sparse_product", "product_bfloat16", "attend", "best_nodes"),
    *("integer_group", "compute_rows", "copy_rows"),
    *("learn_grids", "nearest_level"),
)
RESULTS = {**dict.fromkeys(WITH_RESULT, ctypes.c_int), **dict.fromkeys(("learn_edges", "beyond"), ctypes.c_int64)}


def wanted() -> str:
    """Which kernels `GNN_KERNELS` asks for; raises `SettingError` for what is none of "native", "sparse", "torch" and
    "fastest".
    """
    value = os.environ.get("GNN_KERNELS") or "fastest"
    if value not in ("native", "sparse", "torch", "fastest"):
        raise SettingError(f"GNN_KERNELS is {value!r}; expected native, sparse, torch or fastest")
    return value


def cache_folder() -> Path:
    """Where kernels and what was measured of them are kept: `GNN_KERNEL_CACHE`, or a folder in the user's cache."""
    given = os.environ.get("GNN_KERNEL_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(given) if given else Path(home).expanduser() / "gnn-compression-bench"


@lru_cache
def library() -> ctypes.CDLL | None:
    """The compiled kernels, or None where there is no compiler or it cannot make them; see `missing_because`."""
    return None if isinstance(found := built(*processor()), str) else found


def kernels() -> ctypes.CDLL:
    """The compiled kernels; raises `SettingError` where there are none."""
    if (found := library()) is None:
        raise SettingError(f"there are no compiled kernels: {missing_because()}")
    return found


def missing_because() -> str:
    """Why there are no compiled kernels; "" where there are."""
    return found if isinstance(found := built(*processor()), str) else ""


def processor() -> tuple[int, tuple[str, ...]]:
    """How many floats a vector has here, and what the compiler has to know of the processor."""
    capability = torch.backends.cpu.get_cpu_capability()
    of_bfloat16 = ("-mavx512bf16",) if has_bfloat16() else ()
    of_bytes = ("-mavx512vnni",) if capability == "AVX512" and torch.cpu._is_vnni_supported() else ()
    return WIDTHS.get(capability, 4), (*FLAGS.get(capability, ()), *of_bfloat16, *of_bytes)


def has_bfloat16() -> bool:
    """Whether this processor has instructions for products of bfloat16, and kernels may use them."""
    return torch.backends.cpu.get_cpu_capability() == "AVX512" and torch.cpu._is_avx512_bf16_supported()


@lru_cache
def built(lanes: int, flags: tuple[str, ...]) -> ctypes.CDLL | str:
    """The library for vectors of so many floats, from the cache or compiled now, or why there is none."""
    sources = sorted(SOURCES.glob("*.c"))
    compiler = os.environ.get("CC") or "cc"
    flags = (*GENERAL_FLAGS, f"-DLANES={lanes}", *flags)
    digest = hashlib.sha256(" ".join((compiler, platform.machine(), *flags)).encode())
    for path in (*sources, *sorted(SOURCES.glob("*.h"))):
        digest.update(path.read_bytes())
    try:
        return _loaded(_compiled(cache_folder(), f"kernels-{digest.hexdigest()[:16]}.so", compiler, flags, sources))
    except FileNotFoundError:
        return f"there is no C compiler {compiler!r} here"
    except subprocess.CalledProcessError as error:
        return f"{compiler} cannot compile them: {(error.stderr.strip() or 'no reason given').splitlines()[0]}"
    except (OSError, subprocess.TimeoutExpired, AttributeError) as error:
        return f"they cannot be built or loaded: {error}"


def _compiled(folder: Path, name: str, compiler: str, flags: tuple[str, ...], sources: list[Path]) -> Path:
    """The library in a folder, or where nobody may write there in one that is gone with this process."""
    if (folder / name).exists():
        return folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            part = Path(file.name)
    except OSError:
        folder = Path(tempfile.mkdtemp())
        part = folder / "part"
    try:
        command = [compiler, *flags, *map(str, sources), "-o", str(part)]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=COMPILER_TIMEOUT_S)  # noqa: S603
        part.replace(folder / name)
    finally:
        part.unlink(missing_ok=True)
    return folder / name


def _loaded(path: Path) -> ctypes.CDLL:
    loaded = ctypes.CDLL(str(path))
    for name, kinds in SIGNATURES.items():
        function = getattr(loaded, name)
        function.argtypes, function.restype = (
            [KINDS[kind] for kind in kinds],
            RESULTS.get(name),
        )
    return loaded
