"""The house rules that a machine can check: one-way imports, README snippets that run, line endings."""

import ast
import inspect
import re
import subprocess
import sys

import pytest
from conftest import ROOT

from methods import METHODS

ORDER = [
    "threads", "common", "files", "protocol", "images", "folders", "cifar", "duplicates",
    "datasets", "corruption", "numerics", "models", "training", "metrics", "gradients",
    "linearised", "ssd", "store", "soundness", "records", "mirror", "methods", "flags", "inputs",
    "experiment", "pretrain_model", "forget_full_class_main", "forget_sub_class_main",
    "forget_random_main", "forget_corrupted_main", "score", "workers", "planning", "processes",
    "cluster", "sweep", "summaries", "provenance", "panels", "curves", "plots", "page", "report",
    "tune",
]  # fmt: skip


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0]


def test_every_file_imports_only_from_files_above_it():
    files = {path.stem: [path] for path in ROOT.glob("*.py")} | {"methods": list((ROOT / "methods").glob("*.py"))}
    assert sorted(files) == sorted(ORDER)
    for name, paths in files.items():
        above = ORDER[: ORDER.index(name) + (name == "methods")]
        for path in paths:
            below = {other for other in imported(path) if other in ORDER and other not in above}
            assert not below, f"{path.name} imports {below}"
    libraries = {"math", "warnings", "contextlib", "torch"}
    assert set(imported(ROOT / "ssd.py")) | set(imported(ROOT / "gradients.py")) == {*libraries, "gradients"}
    assert {n for n in imported(ROOT / "report.py") if n in ORDER} == {
        "threads",
        "common",
        "files",
        "records",
        "summaries",
        "provenance",
        "panels",
        "plots",
        "page",
    }


SNIPPETS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_readme_snippets_run(number, tmp_path):
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", SNIPPETS[number]], cwd=tmp_path, capture_output=True,
                          text=True, timeout=200, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"})  # fmt: skip
    assert done.returncode == 0, done.stderr
    wanted = re.findall(r"# prints (.*)", SNIPPETS[number])
    assert done.stdout.split("\n")[: len(wanted)] == wanted


def test_readme_shows_ssd_on_a_toy_and_on_a_torchvision_model():
    assert len(SNIPPETS) >= 2 and any("torchvision" in snippet for snippet in SNIPPETS)


@pytest.mark.parametrize("method", METHODS)
def test_methods_page_states_each_method_and_its_defaults(method):
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", (ROOT / "docs" / "methods.md").read_text(), re.S | re.M))
    assert sections.keys() == METHODS.keys()
    parameters = inspect.signature(METHODS[method]).parameters.values()
    own = {p.name: p.default for p in parameters if type(p.default) in (int, float)}
    said = " ".join(re.findall(r"`(\w+=[^`]*)`", sections[method]))
    assert {name: float(value) for name, value in re.findall(r"(\w+)=(\S+)", said)} == own
    assert "- Equation: " in sections[method] and "- Weaknesses: " in sections[method]


def test_shell_scripts_have_unix_line_endings():
    for path in (ROOT / "MAIN_run_experiments.sh", ROOT / ".ci" / "run"):
        assert b"\r" not in path.read_bytes() and path.read_bytes().startswith(b"#!/usr/bin/env bash\n")
