"""The house rules that a machine can check: one-way imports, README snippets that run, line endings."""

import ast
import inspect
import re
import subprocess
import sys

import pytest
from conftest import ROOT

from methods import METHODS

TASKS = ("full_class", "sub_class", "random", "corrupted")
STEPS = [  # a file imports only from its own step and from those above it
    {"common", "per_sample_gradients", "ssd"},
    {"learning"},
    {"datasets", "splits", "models", "metrics"},
    {"methods"},
    {"runs"},
    {"pretrain_model", "score", *(f"forget_{task}_main" for task in TASKS)},
    {"sweeps", "reports"},
    {"sweep", "tune", "report"},
]


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0]


def test_imports_point_one_way():
    below = set()
    for step in reversed(STEPS):
        for name in step:
            for path in [ROOT / f"{name}.py", *(ROOT / name).glob("*.py")]:
                if path.exists():
                    wrong = below.intersection(imported(path))
                    assert not wrong, f"{path} imports {wrong}"
        below |= step
    names = {path.stem for path in ROOT.glob("*.py")}
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert names | folders == below | {"benchmarks", "experiments", "tests"} & folders


def test_what_is_installed_needs_torch_alone():
    needed = {*imported(ROOT / "ssd.py"), *imported(ROOT / "per_sample_gradients.py")}
    assert needed == {"math", "warnings", "contextlib", "torch", "per_sample_gradients"}


SNIPPETS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_readme_snippets_run(number, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SNIPPETS[number]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    wanted = re.findall(r"# prints (.*)", SNIPPETS[number])
    assert done.stdout.split("\n")[: len(wanted)] == wanted


def test_readme_shows_ssd_on_a_toy_and_on_a_torchvision_model():
    assert len(SNIPPETS) >= 2 and any("torchvision" in snippet for snippet in SNIPPETS)


@pytest.mark.parametrize("method", METHODS)
def test_methods_page_states_each_method_and_its_defaults(method):
    sections = dict(
        re.findall(
            r"^## (\w+)\n(.*?)(?=^## |\Z)", (ROOT / "docs" / "methods.md").read_text(), re.S | re.M
        )
    )
    assert sections.keys() == METHODS.keys()
    parameters = METHODS[method].parameters.values()
    own = {p.name: p.default for p in parameters if type(p.default) in (int, float)}
    said = " ".join(re.findall(r"`(\w+=[^`]*)`", sections[method]))
    assert {name: float(value) for name, value in re.findall(r"(\w+)=(\S+)", said)} == own
    assert "- Equation: " in sections[method] and "- Weaknesses: " in sections[method]


def test_shell_scripts_have_unix_line_endings():
    for path in (ROOT / "MAIN_run_experiments.sh", ROOT / ".ci" / "run"):
        assert b"\r" not in path.read_bytes() and path.read_bytes().startswith(
            b"#!/usr/bin/env bash\n"
        )
