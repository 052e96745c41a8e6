"""sweep.py: the records of fresh processes, whatever is killed, and whoever else is at it."""

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from helpers import (
    DIGITS,
    ENVIRONMENT,
    GRID,
    ROOT,
    SWEEP,
    assert_refused,
    call,
    copy_of,
    line_of,
    only_record,
    records_of,
    runs_under_way,
    started,
    wait_for,
)

import sweep as command
from common.errors import UserError
from sweeps.dry_run import dry_run
from sweeps.lines import Line, read
from sweeps.plan import plan

LINUX = pytest.mark.skipif(not Path("/proc/locks").exists(), reason="looks into /proc")
SEVEN = (*DIGITS, "-forget_class", 7, "-method")


def workers_of(process):
    """The process ids of a sweep's workers."""
    workers = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = (folder / "stat").read_text().rsplit(")", 1)[1].split()[1]
            if int(parent) == process.pid and b"spawn_main" in (folder / "cmdline").read_bytes():
                workers.append(int(folder.name))
    return workers


# ---- the records ----


@pytest.mark.slow
def test_one_worker_leaves_the_records_of_fresh_processes(place, tmp_path, undisturbed):
    folder = copy_of(place, tmp_path)
    lines = "\n".join(reversed(GRID))  # retrain goes first nevertheless
    done = call("sweep.py", cwd=folder, input=lines, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    assert f"{len(GRID)} of {len(GRID)} runs done" in done.stdout
    assert records_of(folder) == undisturbed
    again = call("sweep.py", "--dry-run", cwd=folder, input="\n".join(GRID))
    assert f"{len(GRID)} runs: {len(GRID)} there, 0 to run, 0 wrong" in again.stdout


@LINUX
@pytest.mark.slow
def test_killed_again_and_again_a_sweep_loses_nothing(place, tmp_path, undisturbed, ctrl_c_counts):
    """A worker killed in mid-run, Ctrl-C, kill -9 of the sweep itself; then the rest."""
    folder = copy_of(place, tmp_path)
    log = folder / "sweep.log"

    sweep = started(folder, "--jobs", 2)
    wait_for(lambda: runs_under_way(folder))
    for worker in workers_of(sweep):
        os.kill(worker, signal.SIGKILL)
    wait_for(lambda: "once more: " in log.read_text())
    wait_for(lambda: runs_under_way(folder))
    os.killpg(sweep.pid, signal.SIGINT)
    assert sweep.wait(60) == 130
    assert "stopped; what is finished is kept" in log.read_text()

    sweep = started(folder, "--jobs", 2)
    wait_for(lambda: runs_under_way(folder))
    orphans = workers_of(sweep)
    sweep.kill()
    sweep.wait()

    def all_ended():
        return not [pid for pid in orphans if Path(f"/proc/{pid}/cmdline").exists()]

    wait_for(all_ended, seconds=20)

    sweep = started(folder, "--jobs", 2)
    assert sweep.wait(200) == 0, log.read_text()
    assert records_of(folder) == undisturbed


@LINUX
def test_without_retries_a_killed_worker_is_a_failure(place, tmp_path):
    folder = copy_of(place, tmp_path)
    sweep = started(folder, "--retries", 0, lines=GRID[:2])
    wait_for(lambda: runs_under_way(folder))
    os.kill(workers_of(sweep)[0], signal.SIGKILL)
    assert sweep.wait(100) == 1
    log = (folder / "sweep.log").read_text()
    assert "failed: forget_full_class_main.py" in log
    assert "its process ended" in log
    assert "1 of 2 runs done" in log


@pytest.mark.slow
def test_two_sweeps_at_once_share_the_work(place, tmp_path, undisturbed):
    """Each does what the other is not at; in the end both have seen every run done, once."""
    folder = copy_of(place, tmp_path)
    both = [started(folder), started(folder)]
    assert [sweep.wait(200) for sweep in both] == [0, 0]
    log = (folder / "sweep.log").read_text()
    assert log.count("   record: ") == log.count("done before") == len(GRID)
    assert log.count("runs done") == 2
    assert records_of(folder) == undisturbed


@pytest.mark.slow
def test_a_place_that_is_full_ends_the_sweep(place, tmp_path, undisturbed):
    """A limit on file size stands for a full disk: one error, finished records stay."""
    folder = copy_of(place, tmp_path)
    assert call("sweep.py", cwd=folder, input=GRID[0], env=ENVIRONMENT).returncode == 0
    done = subprocess.run(
        ["bash", "-c", f"trap '' XFSZ; ulimit -f 1; exec {' '.join(SWEEP)}"],
        input="\n".join(GRID),
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=200,
        env=ENVIRONMENT,
    )
    assert done.returncode == 2
    assert done.stderr.count("error: cannot write") == 1, done.stderr
    ((name, record),) = records_of(folder).items()
    assert undisturbed[name] == record


# ---- what it does about networks and lines ----


@pytest.fixture
def looked_at(tmp_path, monkeypatch, capsys):
    """Lines -> (what a dry run of them prints, whether something is wrong), in this process."""
    monkeypatch.setenv("TQDM_DISABLE", "1")  # given back afterwards, as a worker sets it
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)

    def look(lines):
        (tmp_path / "lines").write_text("\n".join(lines))
        with open(tmp_path / "lines") as stream:
            wrong = dry_run(plan(read(stream)))
        return capsys.readouterr().out, wrong

    return look


def test_missing_networks_are_trained_once_and_a_dry_run_does_nothing(
    image_folder, tmp_path, looked_at
):
    data = ("-net", "ResNet18Slim", "-dataset", "Folder", "-data", image_folder)

    def line(name, *method):
        return line_of("full_class", *data, "-forget_class", name, "-method", *method)

    lines = [
        line("dog", "baseline"),
        line("dog", "ssd", "-alpha", 2),
        line("dog", "baseline"),
        line("dog", "baseline", "-weight_path", "nowhere.safetensors"),
    ]
    printed, wrong = looked_at(lines)
    assert wrong
    assert "4 runs: 0 there, 3 to run, 1 wrong" in printed
    assert "no record tells yet how long that takes" in printed
    assert "WRONG   line 4: no checkpoint at nowhere.safetensors" in printed
    assert not (tmp_path / "results").exists()
    assert not (tmp_path / "checkpoints").exists()
    done = call("sweep.py", "--jobs", 2, cwd=tmp_path, input="\n".join(lines))
    assert done.returncode == 1
    assert "3 of 4 runs done" in done.stdout
    assert "no checkpoint at nowhere.safetensors" in done.stderr
    assert done.stdout.count("of the test images right") == 1
    printed, wrong = looked_at([*lines[:3], line("owl", "baseline"), line("dog", "finetune")])
    assert not wrong
    assert "4 runs: 2 there, 2 to run, 0 wrong" in printed
    assert re.search(r"to run .*owl.* about [\d.]+ s", printed)
    assert "in one process for 1 of them; " in printed
    assert "no record tells yet how long the other 1 take" in printed


def test_the_rest_is_finished_after_a_failure(place, tmp_path):
    lines = [
        "# a comment",
        f"python {line_of('full_class', *DIGITS, '-method', 'baseline', '-forget_class', 99)}",
        line_of("full_class", *SEVEN, "baseline", "-results", tmp_path),
        line_of("full_class", *SEVEN, "baseline", "-nonsense"),
        line_of("full_class", *SEVEN, "ssd", "-nonsense"),
    ]
    done = call("sweep.py", cwd=place, input="\n".join(lines))
    assert done.returncode == 1
    assert "1 of 4 runs done" in done.stdout, done.stderr
    assert only_record(tmp_path)["config"]["forget"] == "7"
    said = done.stderr.splitlines()
    for word in ("wrong", "failed"):  # before the work and after it
        unknown_class, unknown_flag = [line for line in said if line.startswith(f"{word}: ")]
        assert unknown_class.startswith(f"{word}: line 2: there is no class '99'")
        reason = "unrecognized arguments: -nonsense"
        assert unknown_flag.startswith(f"{word}: line 4 and 1 more: {reason}")
        assert "baseline -nonsense" in unknown_flag


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_where_no_line_can_run_one_line_says_so(tmp_path, dry):
    wrong = line_of("full_class", *SEVEN, "ssd", "-protocol", "banana")
    lines = ["# a grid", wrong, "rm -rf /"]
    done = call("sweep.py", *dry, cwd=tmp_path, input="\n".join(lines))
    assert_refused(done, "no line can run: line 2: ", "'banana'", "and 1 other mistakes")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--jobs", "0"), "--jobs 0"),
        (("--gpus", "0,x"), "by their numbers"),
        (("--gpus", "1,1"), "each once"),
        (("--gpus", "0", "--jobs", "2"), "--jobs-per-gpu"),
        (("--gpus", "0", "--ray", "auto"), "--ray"),
        (("--jobs-per-gpu", "0"), "--jobs-per-gpu 0"),
        (("--retries", "-1"), "--retries -1"),
    ],
)
def test_bad_flags_are_refused(flags, words):
    with pytest.raises(UserError, match=words):
        command.arguments(flags)


@pytest.mark.parametrize("flags", [("--jobs-per-gpu", "2"), ("--gpus", "0")])
def test_flags_for_gpus_are_for_lines_that_ask_for_one(flags):
    args = command.arguments(flags)
    with pytest.raises(UserError, match="lines with -gpu"):
        command.places(args, [Line("forget_random_main", ("-net", "ViT"))])


def test_a_line_that_asks_for_a_gpu_where_there_is_none_is_refused(tmp_path):
    hidden = {**ENVIRONMENT, "CUDA_VISIBLE_DEVICES": ""}
    done = call("sweep.py", cwd=tmp_path, input=f"{GRID[0]} -gpu", env=hidden)
    assert_refused(done, "line 1: ", "no CUDA device", "omit -gpu")


# ---- what it shows ----


def shown_on_a_terminal(lines, folder):
    """(exit code, what a terminal of 300 columns is sent) of a sweep."""
    screen, terminal = pty.openpty()
    subprocess.run(["stty", "cols", "300", "rows", "40"], stdin=terminal, check=True)
    process = subprocess.Popen(
        SWEEP, stdin=subprocess.PIPE, stdout=terminal, stderr=terminal, cwd=folder, env=ENVIRONMENT
    )
    os.close(terminal)
    process.stdin.write("\n".join(lines).encode())
    process.stdin.close()
    shown = b""
    with contextlib.suppress(OSError):  # Linux's way to say that all is read
        while part := os.read(screen, 10_000):
            shown += part
    os.close(screen)
    return process.wait(60), shown.decode()


def test_a_terminal_sees_a_bar_and_a_line_for_what_collapsed_or_failed(place, tmp_path):
    lines = [
        line_of("full_class", *SEVEN, "baseline"),
        line_of("full_class", *SEVEN, "ssd", "-alpha", 0),
        line_of("full_class", *SEVEN, "nonsense"),
    ]
    code, shown = shown_on_a_terminal(lines, copy_of(place, tmp_path))
    assert code == 1
    assert re.search(r" 67 % \|.*\| 1 of 3 done, 1 failed, 1 running", shown), shown
    kept = []  # what is not drawn over
    for line in shown.split("\n"):
        text = line.rstrip("\r").rpartition("\r")[2]
        if text.strip():
            kept.append(text)
    wrong, collapsed, total = kept
    assert wrong.startswith("wrong: line 3: ")
    assert "'nonsense'" in wrong
    assert collapsed.startswith("COLLAPSED: forget_full_class_main.py")
    assert "-method ssd" in collapsed
    assert total == "2 of 3 runs done"


# ---- how it ends ----


def test_a_sweep_of_two_processes_leaves_no_semaphore_behind(place, tmp_path):
    copy_of(place, tmp_path)
    lines = []
    for digit in (1, 2, 3):
        flags = (*DIGITS, "-forget_class", digit, "-method", "baseline")
        lines.append(line_of("full_class", *flags))
    done = subprocess.run(
        [sys.executable, ROOT / "sweep.py", "--jobs", "2"],
        input="\n".join(lines),
        cwd=tmp_path,
        text=True,
        capture_output=True,
        env=ENVIRONMENT,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "leaked" not in done.stderr


def catches_ctrl_c(pid):
    """Whether the process has a handler of its own for SIGINT, as Python soon has."""
    with contextlib.suppress(OSError):
        caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
        return bool(int(caught[1], 16) >> (signal.SIGINT - 1) & 1)


@LINUX
@pytest.mark.parametrize("delay", [0.1, 0.5, 1.5, 3.0])
def test_ctrl_c_in_the_first_seconds_leaves_no_traceback_and_no_process(
    place, tmp_path, ctrl_c_counts, delay
):
    folder = copy_of(place, tmp_path)
    sweep = started(folder, "--jobs", 2)
    wait_for(lambda: catches_ctrl_c(sweep.pid))
    time.sleep(delay)
    os.killpg(sweep.pid, signal.SIGINT)
    assert sweep.wait(60) == 130
    log = (folder / "sweep.log").read_text()
    assert "Traceback" not in log, log
    assert "KeyboardInterrupt" not in log, log
    assert "stopped" in log, log
    with pytest.raises(ProcessLookupError):
        wait_for(lambda: os.killpg(sweep.pid, 0), seconds=10)
