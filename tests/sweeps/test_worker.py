"""A sweep's process over many runs."""

import subprocess
import sys

import pytest
from helpers import DIGITS, ENVIRONMENT, QUIET, ROOT

PROGRAM = """
import sys
from runs.cache import Cache
from sweeps.worker import State, call

def megabytes(name):
    (line,) = [line for line in open("/proc/self/status") if line.startswith(name + ":")]
    return int(line.split()[1]) / 1000

cache = Cache(2)
forget = sys.argv[1].split()
assert call("pretrain_model", forget[:4] + ["-epochs", "1"], cache).state is State.DONE
assert call("forget_full_class_main", forget + ["-method", "baseline"], cache).state is State.DONE
before = megabytes("VmRSS")
assert call("forget_full_class_main", forget + ["-method", "ntk"], cache).state is State.DONE
print(megabytes("VmHWM") - before, megabytes("VmRSS") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_it_gives_back_the_memory_of_a_large_run(tmp_path):
    """NTK forgetting takes gigabytes; what stays is not a tenth of them."""
    flags = " ".join([*DIGITS, "-forget_class", "3", *QUIET])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, flags],
        cwd=tmp_path,
        env={**ENVIRONMENT, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    peak, kept = map(float, done.stdout.split()[-2:])
    assert peak > 1000
    assert kept < peak / 10
