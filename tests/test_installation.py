"""`pip install .`: ssd and per_sample_gradients, nothing else, and README's first snippet runs."""

import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile

import pytest
from helpers import ROOT

NOT_SOURCE = shutil.ignore_patterns(
    ".*", "__pycache__", "data", "checkpoints", "results", "published", "build", "dist"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built without a network from a copy of the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "sources", ignore=NOT_SOURCE)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder]
    done = subprocess.run([*command, folder / "sources"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_the_method_and_needs_only_torch(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith("/METADATA"))
        requirements = re.findall(r"^Requires-Dist: (\w+)", archive.read(metadata).decode(), re.M)
    installed = {name for name in names if ".dist-info/" not in name}
    modules = {path.name for path in (ROOT / "dampening").glob("*.py")}
    wanted = {"ssd.py", "per_sample_gradients.py"} | {f"dampening/{name}" for name in modules}
    assert installed == wanted
    assert requirements == ["torch"]


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """The Python of a bare environment with the wheel in it. torch is seen where it is."""
    environment = tmp_path_factory.mktemp("bare")
    venv.create(environment)
    python = environment / "bin" / "python"
    install = ["-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([sys.executable, *install, wheel], check=True)
    (site_packages,) = environment.glob("lib/python*/site-packages")
    (site_packages / "torch.pth").write_text(sysconfig.get_path("purelib"))
    return python


def run(python, code, folder):
    """What the code prints in that environment, run from a folder that is not this repository."""
    command = [python, "-W", "ignore", "-c", code]
    environment = {"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_repository_is_not_seen_from_the_environment(python, tmp_path):
    code = "import importlib.util as u; print(u.find_spec('splits'), u.find_spec('ssd').origin)"
    splits, origin = run(python, code, tmp_path).split()
    assert splits == "None"
    assert origin.startswith(str(python.parent.parent))


def test_the_first_snippet_of_the_readme_runs_there(python, tmp_path):
    snippet = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)[1]
    (wanted,) = re.findall(r"# prints (.*)", snippet)
    assert run(python, snippet, tmp_path) == wanted + "\n"
