"""W&B costs nothing where nobody is logged in, and local runs can be found."""

import os
import subprocess
import sys

import pytest
from helpers import ROOT

from common.errors import UserError
from runs import wandb_mirror

WITHOUT = (
    "WANDB_API_KEY",
    "WANDB_IDENTITY_TOKEN_FILE",
    "WANDB_MODE",
    "WANDB_BASE_URL",
    "NETRC",
    "WANDB_CONFIG_DIR",
)
RECORD = """{
    "task": "random", "scores": {"Df": 1.5}, "seconds": {"method": 2.0}, "selected": None,
    "forget_hash": "", "data_hash": "", "commit": None, "collapse": [],
    "config": {
        "net": "ResNet18", "dataset": "Cifar10", "method": "ssd", "forget": "0.1", "seed": 0,
        "protocol": "paper",
    },
}"""


@pytest.fixture
def nobody(tmp_path, monkeypatch):
    """A home without a login."""
    for name in WITHOUT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def logged(mode, times=1):
    """What a process prints that sends a record to W&B, and whether it has imported wandb."""
    code = f"""
import sys
from runs import wandb_mirror
for _ in range({times}):
    wandb_mirror.log({RECORD}, {mode!r})
print("wandb" in sys.modules)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    *printed, imported = done.stdout.splitlines()
    return printed, imported == "True"


def test_without_a_login_wandb_is_not_imported_and_no_run_is_kept(nobody):
    (nobody / ".netrc").write_text("machine example.com\n  login user\n  password secret\n")
    assert logged("auto") == ([], False)
    assert logged("disabled") == ([], False)
    assert [path.name for path in nobody.iterdir()] == [".netrc"]


@pytest.mark.parametrize("where", ["key", "netrc", "server", "settings"])
def test_what_says_that_the_user_is_logged_in(nobody, monkeypatch, where):
    assert not wandb_mirror._has_credentials()
    netrc, server = nobody / ".netrc", "api.wandb.ai"
    if where == "key":
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    elif where == "settings":
        folder = nobody / ".config" / "wandb"
        folder.mkdir(parents=True)
        (folder / "settings").write_text("[default]\nbase_url = https://wandb.example.com\n")
    else:
        if where == "server":
            server = "wandb.example.com:8080"
            monkeypatch.setenv("WANDB_BASE_URL", f"https://{server}")
        netrc.write_text(f"machine {server}\n  login user\n  password {'0' * 40}\n")
    assert wandb_mirror._has_credentials()


def test_damaged_credentials_are_none(nobody):
    (nobody / ".netrc").write_bytes(b"machine \xff\xfe login\n\0 password")
    assert not wandb_mirror._has_credentials()


def test_offline_runs_are_kept_and_the_way_to_them_is_said_once(nobody):
    printed, imported = logged("offline", times=2)
    assert imported and len(list((nobody / "wandb").glob("offline-run-*"))) == 2
    (line,) = printed
    assert "'wandb sync wandb/offline-run-*'" in line and "'wandb leet wandb'" in line


def test_wandbs_own_variable_decides_what_auto_is(nobody, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert (
        wandb_mirror._in_effect("auto") == "offline"
        and wandb_mirror._in_effect("disabled") == "disabled"
    )
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert wandb_mirror._in_effect("auto") == "disabled"


def test_what_is_asked_for_and_cannot_be_is_refused(monkeypatch):
    monkeypatch.setattr(
        wandb_mirror, "_installed", lambda: False
    )  # wandb is installed where tests run
    for mode in ("online", "offline"):
        with pytest.raises(UserError, match=f"-wandb {mode} needs wandb: pip install wandb"):
            wandb_mirror.check(mode)
    wandb_mirror.check("auto")
