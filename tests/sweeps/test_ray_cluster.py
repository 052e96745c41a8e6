"""sweep.py on a real Ray cluster of two nodes on this machine, whose nodes and processes die."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from helpers import (
    DIGITS,
    ENVIRONMENT,
    GRID,
    ROOT,
    assert_refused,
    call,
    copy_of,
    line_of,
    only_record,
    records_of,
    started,
    wait_for,
)

pytest.importorskip("ray")
pytestmark = pytest.mark.slow

# Who lacks the token is not let in.
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4}
CLUSTER = {
    **os.environ,
    **TOKEN,
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_failure_threshold": "3",
}
AMNESIAC = ("-method", "amnesiac", "-set", "epochs=15")
LONG = [line_of("full_class", *DIGITS, "-forget_class", digit, *AMNESIAC) for digit in (1, 4, 5)]


class Node:
    """`ray start` in the foreground: a raylet with one core.

    Without an `address` it is the head, which keeps the cluster together.
    """

    def __init__(self, folder, name, address=None):
        ray = Path(sys.executable).with_name("ray")
        command = [ray, "start", "--block", "--num-cpus=1", "--disable-usage-stats"]
        if address:
            command.append(f"--address={address}")
        else:
            # Not where a cluster of the user's own would be looked for; sockets need a short path.
            self.temporary = tempfile.TemporaryDirectory(dir="/tmp")
            command += ["--head", "--port=0", "--include-dashboard=false"]
            command.append(f"--temp-dir={self.temporary.name}")
        self.log = folder / f"{name}.log"
        with open(self.log, "w") as file:
            self.process = subprocess.Popen(
                command, stdout=file, stderr=file, start_new_session=True, env=CLUSTER
            )
        wait_for(lambda: "Ray runtime started" in self.log.read_text())

    @property
    def address(self):
        return re.search(r"--address='(\S+:\d+)'", self.log.read_text()).group(1)

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """[the head of a cluster]; what a test appends to it is ended with it."""
    running = [Node(tmp_path_factory.mktemp("nodes"), "head")]
    yield running
    for node in reversed(running):
        node.kill()
    running[0].temporary.cleanup()


def test_nodes_workers_and_the_sweep_itself_die(nodes, place, tmp_path, undisturbed):
    """A node is killed, another joins, workers are killed, the sweep is killed and goes on."""
    folder = copy_of(place, tmp_path)
    wanted = copy_of(place, tmp_path / "undisturbed")
    done = call("sweep.py", "--jobs", 2, cwd=wanted, input="\n".join(LONG), env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    log = folder / "sweep.log"

    def sweep():
        return started(folder, "--ray", nodes[0].address, lines=LONG + GRID, variables=TOKEN)

    nodes.append(Node(tmp_path, "second", nodes[0].address))
    first = sweep()
    wait_for(lambda: len(actors()) == 2)  # one run on each node
    nodes[1].kill()
    wait_for(lambda: "once more: " in log.read_text())
    nodes.append(Node(tmp_path, "third", nodes[0].address))  # joins in mid-sweep
    wait_for(lambda: len(actors()) == 2)
    victims = actors()
    for worker in victims:
        os.kill(worker, signal.SIGKILL)
    wait_for(lambda: log.read_text().count("once more: ") >= 2)
    wait_for(actors)
    first.kill()
    first.wait()
    assert len(victims) == 2
    assert "runs done" not in log.read_text()
    assert sweep().wait(200) == 0, log.read_text()
    assert records_of(folder) == undisturbed | records_of(wanted)


def actors():
    """The process ids of the cluster's workers that are at a run."""
    done = subprocess.run(["ps", "-ww", "-eo", "pid=,args="], capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if re.search(r"ray::_Actor\.call", line)]
    return [int(line.split()[0]) for line in lines]


def test_workers_find_what_stands_outside(nodes, tmp_path):
    """A network and a method of the user's own files, which lie where the sweep was started."""
    for name in ("network.py", "method.py"):
        shutil.copy(ROOT / "examples" / "outside" / name, tmp_path)
    outside = "-net network.py:small -dataset Digits"
    method = "-method method.py:ascend -wandb disabled"
    lines = [
        f"pretrain_model.py {outside} -epochs 1",
        f"forget_full_class_main.py {outside} -forget_class 3 {method}",
    ]
    sweep = started(tmp_path, "--ray", nodes[0].address, lines=lines, variables=TOKEN)
    assert sweep.wait(200) == 0, (tmp_path / "sweep.log").read_text()
    record = only_record(tmp_path / "results")
    assert record["config"]["net"] == "network.py:small"
    assert record["config"]["method"] == "method.py:ascend"
    assert set(record["config"]["outside"]) == {"net", "method"}


def test_a_wrong_address_is_one_line(tmp_path):
    environment = {**ENVIRONMENT, **TOKEN}
    flags = ("--ray", "127.0.0.1:1")
    done = call("sweep.py", *flags, cwd=tmp_path, input=GRID[0], env=environment)
    assert_refused(done, "no Ray cluster at", "ray start --head", "token")


def test_a_wrong_token_ends_in_the_same_line(nodes, tmp_path):
    environment = {**ENVIRONMENT, **TOKEN, "RAY_AUTH_TOKEN": "f" * 64}
    flags = ("--ray", nodes[0].address)
    done = call("sweep.py", *flags, cwd=tmp_path, input=GRID[0], env=environment)
    assert "InvalidAuthToken" in done.stderr  # Ray says why, many times
    done.stderr = done.stderr.strip().split("\n")[-1]
    assert_refused(done, "no Ray cluster at", "ray start --head", "token")


def test_a_cluster_without_a_gpu_is_one_line(nodes, tmp_path):
    environment = {**ENVIRONMENT, **TOKEN}
    flags = ("--ray", nodes[0].address)
    done = call("sweep.py", *flags, cwd=tmp_path, input=f"{GRID[0]} -gpu", env=environment)
    assert_refused(done, "has no GPU", "omit -gpu")
