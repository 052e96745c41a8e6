"""What a run was made with: code, versions, machine, day."""

import functools
import platform
import re
import subprocess
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path


def versions():
    """Those that a number may depend on."""
    import torch

    packages = {
        name: version(name) for name in ("torchvision", "scikit-learn")
    }  # not imported for that
    return {"python": platform.python_version(), "torch": torch.__version__, **packages}


def device(gpu):
    """What a run was timed on: the card, or the processor and its threads."""
    import torch

    threads = torch.get_num_threads()
    return (
        torch.cuda.get_device_name()
        if gpu
        else f"{processor()}, {threads} thread{'s' * (threads > 1)}"
    )


def processor():
    """The CPU by its name, where the system tells."""
    told = Path("/proc/cpuinfo")
    name = re.search(r"model name\s*: (.+)", told.read_text()) if told.exists() else None
    return name[1] if name else f"{platform.processor() or platform.machine()} CPU"


def today():
    """The day, UTC."""
    return datetime.now(timezone.utc).date().isoformat()


@functools.cache
def commit():
    """This repository's commit, with "-dirty" behind it where files differ, when first asked; None outside git."""
    call = [
        "git",
        "-C",
        str(Path(__file__).parent.parent),
        "describe",
        "--always",
        "--abbrev=40",
        "--dirty",
        "--exclude=*",
    ]
    try:
        return subprocess.run(call, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
