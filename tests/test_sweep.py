"""sweep.py: the same records as fresh processes leave, whatever is killed, and whoever else is at it."""

import contextlib
import io
import os
import pty
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import (
    DIGITS,
    ENVIRONMENT,
    GRID,
    ROOT,
    assert_refused,
    call,
    copy_of,
    only_record,
    records_of,
)

import sweep as sweeping
from common.errors import UserError
from learning.cifar import CIFAR10_CLASSES
from sweeps import local, plan

COMMAND = [sys.executable, "-W", "ignore", str(ROOT / "sweep.py")]


def started(folder, *flags, lines=GRID, variables=()):
    """A sweep under way, in a process group of its own; its output goes to a file."""
    with open(folder / "sweep.log", "a") as log:
        options = {
            "stdin": subprocess.PIPE,
            "stdout": log,
            "stderr": log,
            "text": True,
            "start_new_session": True,
        }
        process = subprocess.Popen(
            [*COMMAND, *map(str, flags)],
            cwd=folder,
            env={**ENVIRONMENT, **dict(variables)},
            **options,
        )
    process.stdin.write("\n".join(lines))
    process.stdin.close()
    return process


def wait_for(condition, seconds=100):
    """What `condition()` gives once it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError("it never came")


def workers_of(process):
    """The process ids of a sweep's workers."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = (folder / "stat").read_text().rsplit(")", 1)[1].split()[1]
            if int(parent) == process.pid and b"spawn_main" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


@pytest.mark.slow
def test_one_worker_leaves_the_records_of_fresh_processes(place, tmp_path, undisturbed):
    folder = copy_of(place, tmp_path)
    done = call(
        "sweep.py", cwd=folder, input="\n".join(reversed(GRID)), env=ENVIRONMENT
    )  # retrain goes first nevertheless
    assert done.returncode == 0 and f"{len(GRID)} of {len(GRID)} runs done" in done.stdout, (
        done.stderr
    )
    assert records_of(folder) == undisturbed
    again = call("sweep.py", "--dry-run", cwd=folder, input="\n".join(GRID))
    assert f"{len(GRID)} runs: {len(GRID)} there, 0 to run, 0 wrong" in again.stdout


@pytest.mark.slow
def test_killed_again_and_again_a_sweep_loses_nothing(place, tmp_path, undisturbed, ctrl_c_counts):
    """A worker killed in mid-run, Ctrl-C, kill -9 of the sweep itself; then the rest."""
    folder = copy_of(place, tmp_path)

    def running():
        return list((folder / "results").rglob(".*.lock"))

    sweep = started(folder, "--jobs", 2)
    wait_for(running)
    for worker in workers_of(sweep):
        os.kill(worker, signal.SIGKILL)
    wait_for(lambda: "once more: " in (folder / "sweep.log").read_text())
    wait_for(running)
    os.killpg(sweep.pid, signal.SIGINT)
    assert (
        sweep.wait(60) == 130
        and "stopped; what is finished is kept" in (folder / "sweep.log").read_text()
    )

    sweep = started(folder, "--jobs", 2)
    wait_for(running)
    orphans = workers_of(sweep)
    sweep.kill()
    sweep.wait()
    wait_for(
        lambda: not [pid for pid in orphans if Path(f"/proc/{pid}/cmdline").exists()], seconds=20
    )

    sweep = started(folder, "--jobs", 2)
    assert sweep.wait(200) == 0, (folder / "sweep.log").read_text()
    assert records_of(folder) == undisturbed


def test_without_retries_a_killed_worker_is_a_failure(place, tmp_path):
    folder = copy_of(place, tmp_path)
    sweep = started(folder, "--retries", 0, lines=GRID[:2])
    wait_for(lambda: list((folder / "results").rglob(".*.lock")))
    os.kill(workers_of(sweep)[0], signal.SIGKILL)
    assert sweep.wait(100) == 1
    log = (folder / "sweep.log").read_text()
    assert (
        "failed: forget_full_class_main.py" in log
        and "its process ended" in log
        and "1 of 2 runs done" in log
    )


def test_missing_networks_are_trained_once_and_a_dry_run_does_nothing(image_folder, tmp_path):
    flags = f"-net ResNet18Slim -dataset Folder -data {image_folder} -forget_class dog -wandb disabled -method"
    lines = [
        f"forget_full_class_main.py {flags} {method}"
        for method in ("baseline", "ssd -alpha 2", "baseline")
    ]
    lines.append(f"forget_full_class_main.py {flags} baseline -weight_path nowhere.safetensors")
    dry = call("sweep.py", "--dry-run", cwd=tmp_path, input="\n".join(lines))
    assert dry.returncode == 1 and "4 runs: 0 there, 3 to run, 1 wrong" in dry.stdout, dry.stdout
    assert "no record tells yet how long that takes" in dry.stdout
    assert "WRONG   line 4: no checkpoint at nowhere.safetensors" in dry.stdout
    assert not (tmp_path / "results").exists()
    assert not (tmp_path / "checkpoints").exists()
    done = call("sweep.py", "--jobs", 2, cwd=tmp_path, input="\n".join(lines))
    assert (
        done.returncode == 1
        and "3 of 4 runs done" in done.stdout
        and "no checkpoint at nowhere.safetensors" in done.stderr
    )
    assert done.stdout.count("of the test images right") == 1
    lines = [
        *lines[:3],
        lines[0].replace("dog", "owl"),
        f"forget_full_class_main.py {flags} finetune",
    ]
    dry = call("sweep.py", "--dry-run", cwd=tmp_path, input="\n".join(lines))
    assert dry.returncode == 0 and "4 runs: 2 there, 2 to run, 0 wrong" in dry.stdout
    assert re.search(r"to run .*owl.* about [\d.]+ s", dry.stdout)
    assert (
        "in one process for 1 of them; no record tells yet how long the other 1 take" in dry.stdout
    )


@pytest.mark.slow
def test_two_sweeps_at_once_share_the_work(place, tmp_path, undisturbed):
    """Each does what the other is not at; in the end both have seen every run done, and each was done once."""
    folder = copy_of(place, tmp_path)
    both = [started(folder), started(folder)]
    assert [sweep.wait(200) for sweep in both] == [0, 0]
    log = (folder / "sweep.log").read_text()
    assert (
        log.count("  record: ") == log.count("done before") == len(GRID)
        and log.count("runs done") == 2
    )
    assert records_of(folder) == undisturbed and not list(folder.rglob("*.lock"))


@pytest.mark.slow
def test_a_place_that_is_full_ends_the_sweep(place, tmp_path, undisturbed):
    """A limit on file size stands for a full disk: one error, finished records stay."""
    folder = copy_of(place, tmp_path)
    assert call("sweep.py", cwd=folder, input=GRID[0], env=ENVIRONMENT).returncode == 0
    full = f"trap '' XFSZ; ulimit -f 1; exec {' '.join(COMMAND)}"
    done = subprocess.run(
        ["bash", "-c", full],
        input="\n".join(GRID),
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=200,
        env=ENVIRONMENT,
    )
    assert done.returncode == 2 and done.stderr.count("error: cannot write") == 1, done.stderr
    ((name, record),) = records_of(folder).items()
    assert undisturbed[name] == record


def test_a_killed_run_leaves_no_claim(tmp_path):
    path = tmp_path / "x.json"
    code = f"import files, time; claimed = files.Claim({str(path)!r}); print('held', flush=True); time.sleep(100)"
    command, options = (
        [sys.executable, "-c", code],
        {"cwd": ROOT, "stdout": subprocess.PIPE, "text": True},
    )
    with subprocess.Popen(command, **options) as holder:
        assert holder.stdout.readline() == "held\n"
        with subprocess.Popen(command, **options) as waiter:
            assert "waiting for it" in waiter.stdout.readline()
            holder.kill()
            assert waiter.stdout.readline() == "held\n"
            waiter.kill()


def test_the_rest_is_finished_after_a_failure(place, tmp_path):
    flags = f"{' '.join(DIGITS)} -method baseline -wandb disabled -results {tmp_path}"
    lines = [
        "# a comment",
        *(f"python forget_full_class_main.py {flags} -forget_class {digit}" for digit in (99, 7)),
    ]
    lines.append(f"forget_full_class_main.py {flags} -forget_class 7 -nonsense")
    lines.append(f"forget_full_class_main.py {flags} -forget_class 3 -nonsense")
    done = call("sweep.py", cwd=place, input="\n".join(lines))
    assert done.returncode == 1 and "1 of 4 runs done" in done.stdout, done.stderr
    assert only_record(tmp_path)["config"]["forget"] == "7"
    said = done.stderr.splitlines()
    for word in ("wrong", "failed"):  # before the work and after it
        unknown_class, unknown_flag = [line for line in said if line.startswith(f"{word}: ")]
        assert unknown_class.startswith(f"{word}: line 2: there is no class '99'")
        assert unknown_flag.startswith(
            f"{word}: line 4 and 1 more: unrecognized arguments: -nonsense"
        )
        assert "-forget_class 7 -nonsense" in unknown_flag


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_where_no_line_can_run_one_line_says_so(tmp_path, dry):
    flags = f"{' '.join(DIGITS)} -protocol banana -method"
    lines = [f"forget_full_class_main.py {flags} ssd -forget_class {digit}" for digit in range(9)]
    done = call("sweep.py", *dry, cwd=tmp_path, input="\n".join(["# a grid", *lines]))
    assert_refused(done, "no line can run: line 2 and 8 more: ", "'banana'", "-forget_class 0")
    done = call("sweep.py", *dry, cwd=tmp_path, input="\n".join([lines[0], "rm -rf /"]))
    assert_refused(done, "line 1: ", "and 1 other mistakes")
    assert not list(tmp_path.iterdir())


def lines_of(data):
    return plan.read_lines(io.TextIOWrapper(io.BytesIO(data)))


@pytest.mark.parametrize(
    ("data", "mistake"),
    [
        (b"rm -rf /", "starts with one of pretrain_model, forget"),
        (b"python", "starts with one of"),
        (b"forget_random_main.txt -net ViT", "starts with one of"),
        (b"forget_random_main.py 'unclosed", "No closing quotation"),
        (b"forget_random_main.py -data a\0b", "NUL"),
        (b"forget_random_main.py -data \xff\xfe", "UTF-8"),
        (b"\x7fELF\x02\x01\x01\0\0\xc3\x28", "UTF-8"),
    ],
)
def test_a_line_that_is_no_command_is_a_mistake(data, mistake):
    good, bad = lines_of(b"forget_random_main.py -h\n" + data)
    assert mistake in bad.mistake and bad.number == 2
    assert good == ("forget_random_main", ["-h"], 1, "", "")
    (job,) = plan.plan([bad])
    assert job.mistake == bad.mistake and str(job) == bad.text and str(job).isprintable()


def test_a_script_may_be_given_with_its_path(tmp_path, monkeypatch):
    starts = [
        "",
        "python ",
        "python3.11 ",
        ".venv/bin/python ",
        "./",
        f"{ROOT}/",
        f"python {ROOT}/",
    ]
    data = "\n".join(f"{start}forget_random_main.py -h" for start in starts)
    found = lines_of(b"\xef\xbb\xbf" + data.replace("\n", "\r\n").encode())  # as Windows writes it
    assert [line[:3] for line in found] == [
        ("forget_random_main", ["-h"], n) for n in range(1, len(starts) + 1)
    ]
    (tmp_path / "forget_random_main.py").touch()
    (line,) = lines_of(f"{tmp_path}/forget_random_main.py -h".encode())
    assert "is not the one of" in line.mistake and str(ROOT) in line.mistake


def test_a_line_without_end_is_refused():
    with pytest.raises(UserError, match="line 2 has more than 100000 bytes"):
        lines_of(b"forget_random_main.py -h\n" + b"x" * 100_001)
    assert len(lines_of(b"forget_random_main.py -data " + b"x" * 99_000)) == 1


def test_standard_input_that_holds_no_lines_is_refused(tmp_path):
    command = f"{' '.join(COMMAND)}"
    for redirection, words in (
        ("<&-", "closed"),
        (f"0> {tmp_path}/x", "cannot be read"),
        ("< /dev/null", "holds no command line"),
    ):
        done = subprocess.run(
            ["bash", "-c", f"{command} {redirection}"], capture_output=True, text=True, cwd=tmp_path
        )
        assert_refused(done, words, "sweep.py < lines")
    screen, terminal = pty.openpty()
    done = subprocess.run(
        COMMAND, stdin=terminal, capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    os.close(screen)
    os.close(terminal)
    assert_refused(done, "the terminal", "sweep.py < lines")


def test_bad_flags_are_refused(tmp_path):
    for flags, words in {
        ("--jobs", 0): "--jobs 0",
        ("--gpus", "0,x"): "by their numbers",
        ("--gpus", "1,1"): "each once",
        ("--gpus", 0, "--jobs", 2): "--jobs-per-gpu",
        ("--retries", -1): "--retries -1",
        ("--gpus", 0, "--ray", "auto"): "--ray",
        ("--jobs-per-gpu", 2): "lines with -gpu",
        ("--gpus", 0): "lines with -gpu",
    }.items():
        assert_refused(call("sweep.py", *flags, cwd=tmp_path, input=GRID[0]), words)
    line = f"{GRID[0]} -gpu"
    hidden = {**ENVIRONMENT, "CUDA_VISIBLE_DEVICES": ""}
    assert_refused(
        call("sweep.py", cwd=tmp_path, input=line, env=hidden),
        "line 1: ",
        "no CUDA device",
        "omit -gpu",
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PROTOCOL", "banana"),
        ("DATA", __file__),
        ("RESULTS", __file__),
        ("DATA", "a\nb"),
        ("PYTHON", "nowhere/python"),
    ],
)
def test_the_grids_surroundings_are_checked_first(name, value):
    environment = {**ENVIRONMENT, name: value}
    done = subprocess.run(
        [ROOT / "MAIN_run_experiments.sh", "cpu"], capture_output=True, text=True, env=environment
    )
    assert_refused(done, name if name != "PYTHON" else value)
    assert done.stdout == ""


def test_a_folder_of_any_name_reaches_the_lines(tmp_path):
    data = f"{tmp_path}/it's $HOME \\ é"
    script = f'source \'{ROOT}/MAIN_run_experiments.sh\'; COMMON="-data $(quoted "$1")"; pretrain ResNet18 Cifar10'
    plain = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(
        ["bash", "-c", script, "-", data], capture_output=True, env=plain, check=True
    )
    (line,) = lines_of(done.stdout)
    assert line.argv[-2:] == ["-data", data]


def test_grid_names_every_run_of_the_paper(tmp_path):
    script = (
        (ROOT / "MAIN_run_experiments.sh").read_text().replace('| "$PYTHON" sweep.py', "; exit")
    )
    (tmp_path / "grid.sh").write_text(script)
    lines = subprocess.run(
        ["bash", tmp_path / "grid.sh", "cpu"], capture_output=True, text=True
    ).stdout.split("\n")
    runs = [line for line in lines if line.startswith("forget_")]
    assert (
        len([line for line in lines if line.startswith("pretrain")]) == 7 + 2 * 3 * 2
    )  # corrupted in three counts and two ways
    seeds, methods, once = (
        3,
        17,
        5,
    )  # baseline and dampening draw no random number where a class is forgotten
    a_class, vits = (
        seeds * (count - once) + once for count in (methods, methods - 2)
    )  # no Fisher and no NTK for a ViT
    no_class = seeds * (methods - 1 + methods - 3)  # nor UNSIR for random images
    healing = (
        2 * 3 * 2 * 4 * 9 * seeds
    )  # two networks, three counts, two kinds, four known shares, nine methods
    assert len(runs) == len(set(runs)) == (15 + 5) * a_class + 15 * vits + no_class + healing
    assert sum("sub_class" in line for line in runs) == 5 * (a_class + vits) and not any(
        "-gpu" in line for line in runs
    )


@pytest.mark.parametrize(
    ("size", "networks", "runs"),
    [
        (
            "small",
            1,
            16 * 3 + 3 * 18 + 4 * 32,
        ),  # 16 methods, three seeds; 17 and alpha 10, three classes; the curves over alpha
        ("fifth", 1, 16 * 3 + 3 * 18 + 4 * 32),
        (
            "full",
            6,
            3 * (16 * 5 + 10 * (5 + 12 * 3)) + 10 + 3 * (2 * 5 + 10 * (1 + 2 * 3)) + 11 * 32,
        ),
    ],
)
def test_grid_of_the_real_tables(size, networks, runs, tmp_path):
    names = [f"train/a/{number:04}.jpg" for number in range(1002)] + [
        "train/b c/0.jpg",
        "test/a/0.jpg",
        "test/b c/0.jpg",
    ]
    names += [f"{part}/{name}/0.jpg" for part in ("train", "test") for name in CIFAR10_CLASSES]
    for name in names:
        (tmp_path / "all" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "all" / name).touch()
    script = [ROOT / "experiments" / "cifar10_jpeg.sh", tmp_path / "all"]
    environment = {**ENVIRONMENT, "SIZE": size, "FIFTH": str(tmp_path / "fifth")}
    lines = subprocess.run(
        script, capture_output=True, text=True, env=environment, check=True
    ).stdout.splitlines()
    copied = {
        str(path.relative_to(tmp_path / "fifth")) for path in (tmp_path / "fifth").rglob("*.jpg")
    }
    assert copied == (
        set(names) - {"train/a/1000.jpg", "train/a/1001.jpg"} if size == "fifth" else set()
    )
    assert len(set(lines)) == len(lines) == networks + runs
    jobs = plan.plan(lines_of("\n".join(lines).encode()))
    assert sum(job.script == "pretrain_model" for job in jobs) == networks and len(jobs) == len(
        lines
    )
    assert not plan.mistakes_in_words(jobs)


class NoPlace:
    """Where no worker ever starts."""

    captured, opened = True, 0

    def count(self):
        return 2

    def open(self):
        self.opened += 1
        return self

    def submit(self, function, *args):
        future = Future()
        future.set_exception(RuntimeError("CUDA finds no GPU"))
        return future

    def close(self, worker):
        pass

    def gpu_mistake(self):
        return ""

    end = dict


def test_a_sweep_without_workers_ends_and_says_why():
    place = NoPlace()
    with pytest.raises(UserError, match="no worker starts: CUDA finds no GPU"):
        sweeping.Sweep(place, 0).run([("forget_random_main", ["-h"])])
    assert 3 < place.opened < 30


class Thread(NoPlace):
    """One worker, a thread."""

    def open(self):
        return ThreadPoolExecutor(1)

    def close(self, worker):
        worker.shutdown()


@pytest.fixture
def ctrl_c_counts():
    """A suite that runs in a shell's background inherits a SIGINT that is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_interrupts_nothing_half_way(monkeypatch, ctrl_c_counts):
    """Raised within a future's lock it left that lock taken, and the sweep never ended."""
    waited, wait = [], sweeping.wait

    def interrupted(*args):
        if not waited:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
        waited.append(wait(*args))
        return waited[-1]

    monkeypatch.setattr(sweeping, "wait", interrupted)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        sweeping.Sweep(Thread(), 0).run([("forget_random_main", ["-h"])])
    assert len(waited) == 1 and signal.getsignal(signal.SIGINT) is handler


def test_a_second_ctrl_c_is_raised_and_an_ignored_one_stays_ignored(ctrl_c_counts):
    with pytest.raises(KeyboardInterrupt), local.interrupts_noted() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop == [signal.SIGINT]
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as nohup's shell leaves it
    try:
        with local.interrupts_noted() as stop:
            os.kill(os.getpid(), signal.SIGINT)
        assert stop == [] and signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, handler)


def test_gpus_are_numbered_among_those_that_are_shown(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert local.visible(["0", "2"]) == "0,2"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5ab")
    assert local.visible(["0"]) == "3" and local.visible(["1", "0"]) == "GPU-5ab,3"
    with pytest.raises(UserError, match="number them from 0"):
        local.visible(["2"])


def test_runs_wait_for_the_retrain_they_are_measured_against():
    """However its folders and its class are spelled."""
    flags = ["-net", "ResNet18", "-dataset", "Cifar20"]
    lines = [
        ("ssd", "vehicle2", "./results"),
        ("retrain", "vehicles_2", "results"),
        ("ssd", "veg", "results"),
    ]
    jobs = plan.plan(
        [
            (
                "forget_full_class_main",
                [*flags, "-method", method, "-forget_class", name, "-results", folder],
            )
            for method, name, folder in lines
        ]
    )
    training, ssd, retrain, other = jobs
    assert (
        training.script == "pretrain_model"
        and training.makes in ssd.needs
        and training.makes in retrain.needs
    )
    assert (
        retrain.makes in ssd.needs
        and retrain.makes not in other.needs
        and retrain.makes not in retrain.needs
    )


def test_baselines_wait_for_the_first_pass_of_importances_of_their_network():
    lines = [
        (method, "ResNet18", 0) for method in ("retrain", "baseline", "finetune", "lfssd", "ssd")
    ]
    lines += [("baseline", "ResNet18", 1), ("ssd -importance sample", "ResNet18", 1)]
    jobs = plan.plan(
        [
            (
                "forget_full_class_main",
                [
                    "-net",
                    net,
                    "-dataset",
                    "Cifar20",
                    "-forget_class",
                    "veg",
                    "-train_seed",
                    str(seed),
                    "-method",
                    *method.split(),
                ],
            )
            for method, net, seed in lines
        ]
    )
    methods = [job.argv[job.argv.index("-method") + 1] for job in jobs[2:]]
    assert methods == ["lfssd", "retrain", "baseline", "finetune", "ssd", "baseline", "ssd"]
    lfssd, _, baseline, finetune, ssd, other, alone = jobs[2:]
    assert lfssd.makes in baseline.needs and lfssd.makes not in [
        need for job in (lfssd, finetune, ssd) for need in job.needs
    ]
    assert lfssd.makes not in other.needs and ssd.makes is alone.makes is None


def test_a_sweep_of_two_processes_leaves_no_semaphore_behind(place, tmp_path):
    lines = [
        f"forget_full_class_main.py {' '.join(DIGITS)} -forget_class {n} -method ssd -wandb disabled"
        for n in (1, 2, 3)
    ]
    copy_of(place, tmp_path)
    done = subprocess.run(
        [sys.executable, ROOT / "sweep.py", "--jobs", "2"],
        input="\n".join(lines),
        cwd=tmp_path,
        text=True,
        capture_output=True,
        env=ENVIRONMENT,
        timeout=300,
    )
    assert done.returncode == 0 and "leaked" not in done.stderr, done.stderr


FLAGS = ["-net", "ResNet18", "-dataset", "Cifar10", "-forget_class", "cat", "-wandb", "disabled"]


def jobs_of(*lines):
    """The jobs of forget_full_class_main.py with FLAGS and each line's own flags."""
    return plan.plan([("forget_full_class_main", [*FLAGS, *line.split()]) for line in lines])


def mistakes_of(jobs):
    return [job.mistake for job in jobs if job.script != "pretrain_model"]


def test_what_is_done_about_duplicates_reaches_the_training_and_tells_goals_apart():
    jobs = jobs_of(
        "-method ssd -duplicates drop_train",
        "-method retrain",
        "-method retrain -duplicates drop_train",
    )
    first, second = jobs[:2]
    assert first.argv[-2:] == ["-duplicates", "drop_train"] and "drop_train" in first.makes
    assert "-duplicates" not in second.argv and "drop_train" not in second.makes
    ssd, plain, dropped = jobs[2:]
    assert ssd.needs == (first.makes, dropped.makes) and plain.makes not in ssd.needs
    # Of one network: what is tested decides whose goal a retrain is.
    jobs = jobs_of(
        "-method ssd -duplicates drop_test",
        "-method retrain",
        "-method retrain -duplicates drop_test",
    )
    training, ssd, plain, dropped = jobs
    assert ssd.needs == (training.makes, dropped.makes) and plain.needs == dropped.needs
    assert plain.makes not in ssd.needs


def test_two_runs_never_keep_their_networks_in_one_file(tmp_path):
    jobs = jobs_of(
        "-method ssd -save a.safetensors",
        "-method lfssd -save ./a.safetensors",
        "-method ssd -save b.safetensors",
    )
    assert ["several runs would write it" in mistake for mistake in mistakes_of(jobs)] == [
        True,
        True,
        False,
    ]
    jobs = jobs_of(
        "-method ssd -save a.safetensors", "-save a.safetensors -method ssd"
    )  # the same run, written otherwise
    assert mistakes_of(jobs) == ["", ""]
    usual = "checkpoints/ResNet18-Cifar10-seed0.safetensors"
    (mistake,) = mistakes_of(jobs_of(f"-method ssd -save {usual}"))
    assert "starts from" in mistake
    jobs = jobs_of(f"-method ssd -train_seed 1 -save {usual}", "-method lfssd")
    assert ["another line makes or starts from" in mistake for mistake in mistakes_of(jobs)] == [
        True,
        False,
    ]


def test_a_run_waits_for_the_network_that_an_earlier_line_keeps():
    jobs = jobs_of("-method ssd -save a.safetensors", "-method lfssd -weight_path a.safetensors")
    training, first, second = jobs
    assert mistakes_of(jobs) == ["", ""] and training.script == "pretrain_model"
    assert set(first.products) & set(second.needs) and not set(second.products) & set(first.needs)
    jobs = jobs_of("-method lfssd -weight_path a.safetensors", "-method ssd -save a.safetensors")
    assert ["starts from" in mistake for mistake in mistakes_of(jobs)] == [False, True]


def test_what_flags_alone_tell_is_a_mistake_before_any_work(place):
    network = place / "checkpoints" / "ResNet18Slim-Digits-seed0.safetensors"
    for line, words in {
        f"-method ssd -weight_path {network}": "was trained for net ResNet18Slim",
        "-method ssd -weight_path nowhere.safetensors": "no checkpoint at nowhere.safetensors",
        f"-method ssd -weight_path {__file__}.safetensors": "no checkpoint at",
        "-method ssd -alpha -1": "-alpha -1",
        "-method ssd -forget_class dragon": "no class 'dragon'",
        f"-method ssd -data {'x' * 5000} -dataset Folder": "too long",
        "-method amnesiac -set epochs=x": "whole number",
    }.items():
        (mistake,) = mistakes_of(jobs_of(line))
        assert words in mistake, line
    (job,) = plan.plan(
        [("pretrain_model", ["-net", "ResNet18", "-dataset", "Cifar10", "-epochs", "0"])]
    )
    assert "-epochs 0" in job.mistake


def sweep_of(*jobs, past):
    """A sweep under way: two at a time, what past runs took."""
    sweep = sweeping.Sweep(NoPlace(), 0)
    sweep.waiting, sweep.past, sweep.total = list(jobs), past, len(jobs)
    return sweep


def job_of(kind, recorded=False):
    return plan.Job("forget_random_main", [], kind=kind, recorded=recorded)


def test_the_time_left_counts_what_is_known_and_nothing_else():
    short, long, unknown = job_of(("short",)), job_of(("long",)), job_of(("unknown",))
    past = {("short",): [9.0, 10.0, 400.0], ("long",): [300.0], ("of no line",): [9999.0]}
    assert sweep_of(short, short, past=past).status() == "[0 of 2 done, 0 running, about 10 s left]"
    assert sweep_of(short, long, past=past).time_left([short, long]) == "about 2.6 min left"
    assert sweep_of(short, unknown, past=past).time_left([short, unknown]) == "more than 5 s left"
    assert sweep_of(unknown, past=past).status() == "[0 of 1 done, 0 running]"
    done = job_of(("long",), recorded=True)
    assert sweep_of(done, past=past).time_left([done, short]) == "about 10 s left"


def test_times_of_past_runs_are_told_apart(place, tmp_path):
    folder = copy_of(place, tmp_path)
    line = f"forget_full_class_main.py {' '.join(DIGITS)} -forget_class 7 -wandb disabled -method amnesiac -set epochs="
    assert call("sweep.py", cwd=folder, input=f"{line}1").returncode == 0
    seconds = only_record(folder / "results")["seconds"]
    jobs = plan.plan(
        plan.read_lines(io.TextIOWrapper(io.BytesIO(f"{line}1\n{line}1 -seed 5\n{line}2".encode())))
    )
    same, again, longer = jobs
    assert (
        same.seconds == again.seconds == seconds["method"] + seconds["evaluation"]
        and longer.seconds is None
    )
    assert (same.recorded, again.recorded, longer.recorded) == (True, False, False)


def catches_ctrl_c(pid):
    """Whether the process has a handler of its own for SIGINT, as Python soon has."""
    with contextlib.suppress(OSError):
        caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
        return bool(int(caught[1], 16) >> (signal.SIGINT - 1) & 1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks into /proc")
@pytest.mark.parametrize("delay", [0.1, 0.3, 0.6, 1.0, 1.5, 2.0, 3.0])
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
    assert "Traceback" not in log and "stopped" in log and "KeyboardInterrupt" not in log, log
    with pytest.raises(ProcessLookupError):
        wait_for(lambda: os.killpg(sweep.pid, 0), seconds=10)
