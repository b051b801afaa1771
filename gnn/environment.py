"""What changes the last bits of a result without being a setting."""

import platform
import subprocess
from functools import lru_cache
from pathlib import Path

import torch


def environment(device: torch.device | str = "cpu") -> dict[str, str]:
    """PyTorch's version, its instruction set, the processor's vendor, by which MKL picks kernels, and any GPU."""
    gpu = {} if str(device) == "cpu" else {"gpu": torch.cuda.get_device_name(device)}
    return {
        "torch": torch.__version__,
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "vendor": _cpu_field("vendor_id") or platform.machine(),
        **gpu,
    }


def cpu_name() -> str:
    """The processor's name as its maker gives it, or its architecture where the system does not tell."""
    return _cpu_field("model name") or _macos_name() or platform.processor() or platform.machine()


@lru_cache
def _cpu_field(name: str) -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")


def _macos_name() -> str:
    """Such as Apple M1; no text on other systems."""
    if platform.system() != "Darwin":
        return ""
    command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return ""
