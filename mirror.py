"""Weights & Biases as a mirror of the records: never required, never asking."""

import importlib.util

from common import UserError


def check(mode):
    """UserError where -wandb online cannot work: better before the run than after it."""
    if mode == "online" and importlib.util.find_spec("wandb") is None:
        raise UserError("-wandb online needs wandb: pip install wandb, or take -wandb disabled")
    if mode == "online" and not _logged_in():
        raise UserError(
            "-wandb online needs a network and a login: run 'wandb login' once or set WANDB_API_KEY, or take -wandb offline"
        )


def log(record, mode):
    """Send one record to W&B. auto: online when logged in, else offline; nothing where wandb is not installed."""
    if mode == "disabled" or importlib.util.find_spec("wandb") is None:
        return
    config = record["config"]
    try:
        import wandb

        if mode == "auto":
            mode = "online" if _logged_in() else "offline"
        run = wandb.init(
            project="selective-synaptic-dampening",
            mode=mode,
            group=f"{record['task']}-{config['net']}-{config['dataset']}",
            name=f"{config['method']}-{config['forget']}-seed{config['seed']}",
            tags=[record["task"], config["net"], config["dataset"], config["method"], config["protocol"]],
            config={**config, **{k: record[k] for k in ("forget_hash", "data_hash", "commit", "selected", "collapse")}},
            settings=wandb.Settings(silent=True),
        )
        try:
            run.log({**record["scores"], "MethodTime": record["seconds"]["method"]})
        finally:
            run.finish()  # else the next record of this process would go into this run
    except Exception as error:  # the record is written already; a mirror that fails must not fail the run
        print(f"W&B did not take this record ({type(error).__name__}: {error}); the record itself is safe")


def _logged_in():
    import wandb

    try:
        return wandb.login(prompt=False)
    except Exception:  # a key that the server does not know, or no server to ask
        return False
