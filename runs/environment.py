"""What a run was made with: code, versions, machine, day."""

import functools
import platform
import re
import subprocess
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import torch

ROOT = Path(__file__).parent.parent


def versions() -> dict[str, str]:
    """Those of what a number may depend on."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": version("torchvision"),
        "scikit-learn": version("scikit-learn"),
    }


def device(gpu: bool) -> str:
    """What a run was timed on: the graphics card, or the processor and its threads."""
    if gpu:
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    return f"{processor()}, 1 thread" if threads == 1 else f"{processor()}, {threads} threads"


def processor() -> str:
    """The CPU by its name, where the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        name = re.search(r"model name\s*: (.+)", cpuinfo.read_text())
        if name:
            return name[1]
    return f"{platform.processor() or platform.machine()} CPU"


def today() -> str:
    """The day, UTC, as 2026-11-27."""
    return datetime.now(timezone.utc).date().isoformat()


@functools.cache
def commit() -> str | None:
    """This repository's commit when first asked, then "-dirty" where files differ from it.

    None outside git.
    """
    describe = ["describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        call = subprocess.run(
            ["git", "-C", str(ROOT), *describe], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return call.stdout.strip()
