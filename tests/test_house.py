"""The house rules that a machine can check.

One-way imports, statements that read once, types, snippets that run, pages that say what is there.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT

from methods import METHODS

COMMAND = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
LISTED = subprocess.run(COMMAND, cwd=ROOT, capture_output=True, text=True).stdout.splitlines()
FILES = [name for name in LISTED if (ROOT / name).is_file()]
PYTHON_FILES = [name for name in FILES if name.endswith(".py")]

pytestmark = pytest.mark.skipif(not FILES, reason="these are rules of a git repository")


def tree_of(name):
    return ast.parse((ROOT / name).read_text())


def top_of(name):
    """The folder or module of the root that a file belongs to."""
    return Path(name).parts[0].removesuffix(".py")


# ---- imports ----

# A file imports what stands above its own line. Names that a | parts do not see each other.
PICTURE = """
per_sample_gradients
dampening
ssd
common
learning
datasets splits models metrics
methods | probes
runs
pretrain_model | score | forget_full_class_main | forget_sub_class_main | forget_random_main | \
forget_corrupted_main
sweeps | reports
audits
sweep | tune | report | audit
experiments | benchmarks | examples
tests
"""


def seen_from():
    """{name of the picture: names that its files may import}."""
    above, seen = set(), {}
    for line in PICTURE.strip().splitlines():
        rooms = [room.split() for room in line.split("|")]
        for room in rooms:
            for name in room:
                seen[name] = {*above, *room}
        for room in rooms:
            above.update(room)
    return seen


SEEN = seen_from()


def imported(name):
    """The tops of the modules that a file imports, wherever in it."""
    tops = set()
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.Import):
            tops.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relative to itself"
            tops.add(node.module.split(".")[0])
    return tops


@pytest.mark.parametrize("top", SEEN)
def test_imports_point_one_way(top):
    for name in PYTHON_FILES:
        if top_of(name) == top:
            unseen = (imported(name) & SEEN.keys()) - SEEN[top]
            assert not unseen, f"{name} imports {unseen}"


def test_the_picture_names_every_module_and_folder():
    assert {top_of(name) for name in PYTHON_FILES} == SEEN.keys()


def test_what_is_installed_needs_only_torch():
    own = {"ssd", "per_sample_gradients", "dampening"}
    for name in PYTHON_FILES:
        if top_of(name) in own:
            others = imported(name) - own - {"torch"}
            assert others <= sys.stdlib_module_names, name


# ---- statements ----

COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def assert_none(places):
    assert not places, "\n".join(places)


def places_where(kinds, is_wrong):
    """["file:line", ...] of the nodes of these kinds that are wrong."""
    places = []
    for name in PYTHON_FILES:
        for node in ast.walk(tree_of(name)):
            if isinstance(node, kinds) and is_wrong(node):
                places.append(f"{name}:{node.lineno}")
    return places


def holds_another(node, kinds):
    inside = [child for child in ast.walk(node) if isinstance(child, kinds)]
    return len(inside) > 1


def test_no_comprehension_is_in_another():
    def is_nested(node):
        return len(node.generators) > 1 or holds_another(node, COMPREHENSIONS)

    assert_none(places_where(COMPREHENSIONS, is_nested))


def test_no_conditional_expression_is_in_another():
    assert_none(places_where(ast.IfExp, lambda node: holds_another(node, ast.IfExp)))


def test_no_line_is_kept_from_the_formatter():
    words = "fmt: " + "skip"
    assert_none([name for name in PYTHON_FILES if words in (ROOT / name).read_text()])


# ---- types and docstrings ----

TYPED = {"ssd", "per_sample_gradients", "datasets", "splits", "models", "metrics"}
TYPED |= {"dampening", "methods", "runs"}


def is_public(node):
    return isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")


def public_functions(body):
    """The functions of a module's body, and the methods of its classes, without an underscore."""
    functions = []
    for node in filter(is_public, body):
        if isinstance(node, ast.ClassDef):
            functions += public_functions(node.body)
        else:
            functions.append(node)
    return functions


def is_typed(function):
    """Whether every argument has a type, and what is returned."""
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    untyped = [a.arg for a in arguments if a.annotation is None and a.arg != "self"]
    return not untyped and function.returns is not None


def test_public_functions_have_types():
    places = []
    for name in PYTHON_FILES:
        if top_of(name) in TYPED:
            for function in public_functions(tree_of(name).body):
                if not is_typed(function):
                    places.append(f"{name}:{function.lineno} {function.name}")
    assert_none(places)


# ---- README and docs ----

README = (ROOT / "README.md").read_text()
OWN_MODEL = (ROOT / "docs" / "own_model.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README + OWN_MODEL, re.S)


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_the_snippets_of_the_pages_run(number, tmp_path):
    command = [sys.executable, "-W", "ignore", "-c", SNIPPETS[number]]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    options = {"cwd": tmp_path, "env": environment, "timeout": 200}
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr
    wanted = re.findall(r"# prints (.*)", SNIPPETS[number])
    assert done.stdout.splitlines()[-len(wanted) :] == wanted


def test_readme_shows_ssd_on_a_toy_and_on_a_torchvision_model():
    assert any("torchvision" in snippet for snippet in SNIPPETS)


def test_readme_maps_every_folder_and_every_module():
    (page,) = re.findall(r"^## What is where\n(.*?)^## ", README, re.S | re.M)
    page = re.sub(r"(\w+)\{(\w+),(\w+)\}(\w+\.py)", r"\1\2\4 \1\3\4", page)  # as the shell reads it
    for name in FILES:
        folder, *rest = Path(name).parts
        if rest and not folder.startswith("."):
            assert f"{folder}/ " in page, folder
        elif name.endswith((".py", ".sh")):
            assert name in page, name


@pytest.mark.parametrize("method", METHODS)
def test_methods_page_states_each_method_and_its_defaults(method):
    page = (ROOT / "docs" / "methods.md").read_text()
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.S | re.M))
    assert sections.keys() == METHODS.keys()
    defaults = {}
    for parameter in METHODS[method].parameters.values():
        if type(parameter.default) in (int, float):
            defaults[parameter.name] = parameter.default
    stated = " ".join(re.findall(r"`(\w+=[^`]*)`", sections[method]))
    values = {name: float(value) for name, value in re.findall(r"(\w+)=(\S+)", stated)}
    assert values == defaults
    assert "- Equation: " in sections[method]
    assert "- Weaknesses: " in sections[method]


def test_links_of_the_pages_lead_somewhere():
    for name in FILES:
        if name.endswith(".md"):
            for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / name).read_text()):
                assert (ROOT / name).parent.joinpath(link).exists(), f"{name}: {link}"


# ---- shell ----


@pytest.mark.parametrize("name", [n for n in FILES if n.endswith(".sh") or n == ".ci/run"])
def test_shell_scripts_have_unix_line_endings(name):
    content = (ROOT / name).read_bytes()
    assert b"\r" not in content
    if name != "experiments/first_images.sh":  # read by other scripts
        assert content.startswith(b"#!/usr/bin/env bash\n")
