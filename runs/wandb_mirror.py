"""Weights & Biases as a mirror of the records: never required, never asking.

What -wandb says:

    -wandb auto (default)   sends each record where you are logged in; else does nothing, at no cost
    -wandb online           the same, and refuses to start where you are not logged in
    -wandb offline          keeps each record in a local run, in the folder wandb/ (0.75 s a record)
    -wandb disabled         does nothing

WANDB_MODE=offline or disabled is what `auto` comes to where it is set.
"""

import functools
import importlib.util
import netrc
import os
from pathlib import Path
from urllib.parse import urlsplit

from common.errors import UserError

SERVER = "https://api.wandb.ai"


def check(mode: str) -> None:
    """UserError where -wandb online or offline cannot work: better before the run than after it."""
    if mode in ("online", "offline") and not _installed():
        raise UserError(f"-wandb {mode} needs wandb: pip install wandb, or take -wandb disabled")
    if mode == "online" and not _logged_in():
        raise UserError(
            "-wandb online needs a network and a login: run 'wandb login' once or set "
            "WANDB_API_KEY, or take -wandb offline"
        )


def log(record: dict, mode: str) -> None:
    """Send one record to W&B, or keep it in a local run, as `mode` says; see above."""
    mode = _in_effect(mode)
    if mode == "disabled" or not _installed():
        return
    config = record["config"]
    facts = ("forget_hash", "data_hash", "commit", "selected", "collapse")
    try:
        import wandb

        run = wandb.init(
            project="selective-synaptic-dampening",
            mode=mode,  # type: ignore[arg-type]  # `check` has refused other words
            group=f"{record['task']}-{config['net']}-{config['dataset']}",
            name=f"{config['method']}-{config['forget']}-seed{config['seed']}",
            tags=[
                record["task"],
                config["net"],
                config["dataset"],
                config["method"],
                config["protocol"],
            ],
            config={**config, **{name: record[name] for name in facts}},
            settings=wandb.Settings(silent=True),
        )
        try:
            run.log({**record["scores"], "MethodTime": record["seconds"]["method"]})
        finally:
            run.finish()  # else the next record of this process would go into this run
        if mode == "offline":
            _say_once(Path(run.dir).parents[1])
    except Exception as error:  # the record is written already: a mirror must not fail the run
        reason = f"{type(error).__name__}: {error}"
        print(f"W&B did not take this record ({reason}); the record itself is safe")


def _installed():
    return importlib.util.find_spec("wandb") is not None


def _in_effect(mode):
    """What `auto` comes to: what WANDB_MODE says; else online where the user is logged in."""
    if mode != "auto":
        return mode
    chosen = os.environ.get("WANDB_MODE", "").lower()
    if chosen in ("offline", "dryrun"):
        return "offline"
    if chosen == "disabled" or not _has_credentials():
        return "disabled"
    return "online" if _installed() and _logged_in() else "disabled"


def _has_credentials():
    """Whether W&B may know the user. wandb, whose import takes half a second, is not imported."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    return _in_netrc() or _in_settings()


def _in_netrc():
    """Whether netrc, where `wandb login` puts the key, has an entry for the server."""
    usual = [Path(os.path.expanduser("~"), name) for name in (".netrc", "_netrc")]
    paths = [Path(os.environ["NETRC"])] if os.environ.get("NETRC") else usual
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or SERVER).netloc
    for path in paths:
        try:
            entry = netrc.netrc(os.path.expanduser(path)).authenticators(host)
        except (OSError, ValueError, netrc.NetrcParseError):
            continue
        if entry:
            return True
    return False


def _in_settings():
    """Whether wandb's own settings name a key, or a server that is not the public one."""
    usual = Path(os.path.expanduser("~"), ".config", "wandb")
    folders = (Path(os.environ.get("WANDB_CONFIG_DIR") or usual), Path("wandb"))
    for folder in folders:
        try:
            text = (folder / "settings").read_text()
        except (OSError, ValueError):
            continue
        if "api_key" in text or "base_url" in text:
            return True
    return False


@functools.cache
def _logged_in():
    import wandb

    try:
        return bool(wandb.login(prompt=False))
    except Exception:  # a key that the server does not know, or no server to ask
        return False


@functools.cache
def _say_once(folder):
    """How to send or look at what lies in the folder of local runs; once per process."""
    here = Path.cwd()
    shown = folder.relative_to(here) if folder.is_relative_to(here) else folder
    print(
        f"W&B runs are kept in {shown}: 'wandb sync {shown}/offline-run-*' sends them to your "
        f"account, 'wandb leet {shown}' shows them in the terminal"
    )
