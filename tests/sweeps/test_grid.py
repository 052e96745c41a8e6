"""MAIN_run_experiments.sh and the grids of experiments/: the lines that they print."""

import subprocess
import sys

import pytest
import torch
from helpers import ENVIRONMENT, ROOT, assert_refused, records_of

from learning.cifar import CIFAR10_CLASSES
from methods import METHODS
from runs.tasks import TASKS
from sweeps.grid import facts
from sweeps.lines import read
from sweeps.plan import plan

SCRIPT = ROOT / "MAIN_run_experiments.sh"
PYTHON = {**ENVIRONMENT, "PYTHON": sys.executable}


def sourced(commands, **options):
    """What bash prints for commands after it has read the script's functions."""
    command = ["bash", "-euo", "pipefail", "-c", f"source '{SCRIPT}'; {commands}"]
    done = subprocess.run(command, capture_output=True, text=True, env=PYTHON, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


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
def test_the_surroundings_are_checked_first(name, value):
    environment = {**PYTHON, name: value}
    done = subprocess.run([SCRIPT, "cpu"], capture_output=True, text=True, env=environment)
    assert_refused(done, name if name != "PYTHON" else value)
    assert done.stdout == ""


def test_without_a_word_of_what_to_do_it_says_what_can_be_done():
    done = subprocess.run([SCRIPT], capture_output=True, text=True, env=PYTHON)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "./MAIN_run_experiments.sh demo " in done.stderr
    assert "#" not in done.stderr and "set -euo" not in done.stderr


def test_a_folder_of_any_name_reaches_the_lines(tmp_path):
    data = f"{tmp_path}/it's $HOME \\ é"
    script = f'source \'{SCRIPT}\'; COMMON="-data $(quoted "$1")"; pretrain ResNet18 Cifar10'
    done = subprocess.run(
        ["bash", "-c", script, "-", data],
        capture_output=True,
        env={**PYTHON, "LC_ALL": "C"},
        check=True,
    )
    (tmp_path / "lines").write_bytes(done.stdout)
    with open(tmp_path / "lines") as stream:
        (line,) = read(stream)
    assert line.argv[-2:] == ("-data", data)


def test_the_facts_are_those_of_the_tables():
    lines = set()
    for name, method in METHODS.items():
        for fact in facts(name, method):
            lines.add(" ".join(fact))
    assert "full_class ssd once" in lines
    assert "random ssd once" not in lines
    assert "random unsir refuses" in lines
    assert "ViT fisher too_slow" in lines
    healers = {name for name, method in METHODS.items() if method.heals}
    (task,) = [task.name for task in TASKS.values() if task.heals]
    assert {line for line in lines if line.endswith("heals")} == {
        f"{task} {name} heals" for name in healers
    }


def test_grid_names_every_run_of_the_paper():
    lines = sourced("paper").splitlines()
    runs = [line for line in lines if line.startswith("forget_")]
    trainings = [line for line in lines if line.startswith("pretrain_model.py")]
    assert len(trainings) + len(runs) == len(lines)
    corrupted = 3 * 2  # counts and kinds
    assert len(trainings) == 7 + 2 * corrupted
    # Baseline and the four dampening methods draw no random number where a class is forgotten.
    seeds, methods, once = 3, 17, 5
    a_class = seeds * (methods - once) + once
    a_class_of_a_vit = seeds * (methods - 2 - once) + once  # neither Fisher nor NTK
    random = seeds * (methods - 1 + methods - 3)  # nor UNSIR
    healing = 2 * corrupted * 4 * 9 * seeds  # networks, known shares, methods
    assert len(set(runs)) == len(runs)
    assert len(runs) == (15 + 5) * a_class + 15 * a_class_of_a_vit + random + healing
    assert sum("sub_class" in line for line in runs) == 5 * (a_class + a_class_of_a_vit)
    assert not any("-gpu" in line for line in runs)


def test_the_demos_lines_can_all_run(tmp_path):
    commands = 'demo; echo; demo_all; echo; SETTINGS=("${DEMO_SETTINGS[@]}"); demo'
    short, all_tasks, short_with_settings = sourced(commands).split("\n\n")
    assert len(short.splitlines()) == 1 + 2 * 8
    assert short_with_settings.count("-method bad_teacher -set batch_size=16 -seed") == 2
    assert short_with_settings.count("-set") == 2
    (tmp_path / "lines").write_text(f"{short_with_settings}\n{all_tasks}\n")
    with open(tmp_path / "lines") as stream:
        planned = plan(read(stream))
    assert not planned.mistakes
    assert {job.args.task for job in planned.jobs if not job.trains} == TASKS.keys()


@pytest.mark.slow
@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"),
    reason="the demo's networks need AVX2",
)
def test_ssd_forgets_the_demos_two_digits(tmp_path):
    """From at least 95 % to at most 5 %, at most 5 points lost on the rest; the demo's networks."""
    lines = 'demo | grep -E "pretrain|baseline|-method ssd"'
    sweep = f'"$PYTHON" -W ignore {ROOT}/sweep.py'
    sourced(f'same_everywhere; FLAGS="-wandb disabled"; {lines} | {sweep}', cwd=tmp_path)
    scores = {}
    for record in records_of(tmp_path).values():
        config = record["config"]
        scores[config["method"], config["forget"]] = record["scores"]
    assert len(scores) == 4
    for digit in ("0", "2"):
        before, after = scores["baseline", digit], scores["ssd", digit]
        assert before["Df"] >= 95
        assert after["Df"] <= 5
        assert after["RetainTestAcc"] >= before["RetainTestAcc"] - 5


# 16 methods at three seeds; 17 and alpha 10 for three classes; the curves over alpha.
SMALL = 16 * 3 + 3 * 18 + 4 * 32
FULL = 3 * (16 * 5 + 10 * (5 + 12 * 3)) + 10 + 3 * (2 * 5 + 10 * (1 + 2 * 3)) + 11 * 32


def lines_of(script, *folders, **variables):
    """The lines that a script of experiments/ prints."""
    command = [ROOT / "experiments" / script, *folders]
    environment = {**PYTHON, **variables}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return done.stdout.splitlines()


def planned_from(lines, folder):
    """What a sweep makes of them."""
    (folder / "lines").write_text("\n".join(lines))
    with open(folder / "lines") as stream:
        return plan(read(stream))


def empty_images(folder, names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.mark.parametrize(("size", "networks", "runs"), [("small", 1, SMALL), ("full", 6, FULL)])
def test_grid_of_the_real_tables(size, networks, runs, tmp_path):
    for part in ("train", "test"):
        empty_images(tmp_path / "all" / part, [f"{name}/0.jpg" for name in CIFAR10_CLASSES])
    lines = lines_of("cifar10_jpeg.sh", tmp_path / "all", SIZE=size)
    assert len(set(lines)) == len(lines) == networks + runs
    planned = planned_from(lines, tmp_path)
    assert not planned.mistakes
    assert len(planned.jobs) == len(lines)
    assert sum(bool(job.trains) for job in planned.jobs) == networks


def test_grid_of_the_poison(tmp_path):
    """One network; for five known shares five methods with two seeds, and retrain with one."""
    names = [f"train/a/{number:04}.jpg" for number in range(1002)]
    names += [f"test/a/{number:04}.jpg" for number in range(201)]
    names += ["train/b c/0.jpg", "test/b c/0.jpg"]
    empty_images(tmp_path / "all", names)
    small = tmp_path / "small"
    lines = lines_of("poison.sh", tmp_path / "all", SMALL=str(small))
    copied = {str(path.relative_to(small)) for path in small.rglob("*.jpg")}
    omitted = {"train/a/1000.jpg", "train/a/1001.jpg", "test/a/0200.jpg"}
    assert copied == set(names) - omitted
    assert len(set(lines)) == len(lines) == 1 + 5 * (5 * 2 + 1)
    planned = planned_from(lines, tmp_path)
    assert sum("-method retrain " in line for line in lines) == 5
    assert len(planned.jobs) == len(lines)
