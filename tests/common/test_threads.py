"""What is in place before torch is loaded: threads that spin briefly, a Ctrl-C in one line."""

import ast
import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
from helpers import ROOT

CHOICES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


def spins(**chosen):
    """GOMP_SPINCOUNT where a user has set the variables in `chosen`."""
    environment = {name: value for name, value in os.environ.items() if name not in CHOICES}
    code = "import common.threads, os; print(os.environ.get('GOMP_SPINCOUNT'))"
    command = [sys.executable, "-c", code]
    environment.update(chosen)
    printed = subprocess.check_output(command, cwd=ROOT, env=environment, text=True)
    return printed.strip()


def test_threads_spin_briefly_unless_the_user_has_chosen():
    assert spins() == "3000"
    assert spins(GOMP_SPINCOUNT="7") == "7"
    assert spins(OMP_WAIT_POLICY="passive") == "None"


def first_import(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            return node.names[0].name
        if isinstance(node, ast.ImportFrom):
            return node.module
    return None


def test_every_script_imports_threads_first():
    folders = (ROOT, ROOT / "experiments", ROOT / "benchmarks")
    scripts = []
    for folder in folders:
        scripts += [path for path in folder.glob("*.py") if "__main__" in path.read_text()]
    assert len(scripts) >= 10
    for path in [*scripts, ROOT / "tests" / "conftest.py"]:
        assert first_import(path) == "common.threads", path.name


@pytest.mark.parametrize("script", ["pretrain_model.py", "sweep.py", "report.py"])
@pytest.mark.parametrize("delay", [0.3, 1.0, 2.0])
def test_ctrl_c_while_torch_is_loaded_shows_no_traceback(script, delay, tmp_path):
    command = [sys.executable, ROOT / script, "-net", "ResNet18Slim", "-dataset", "Digits"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts background jobs deaf to Ctrl-C, and the tests may be one.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=120)
    assert "Traceback" not in told
    # 2: it was faster, and had refused its flags. -SIGINT: Python was ending after that.
    assert process.returncode in (2, 130, -signal.SIGINT)
