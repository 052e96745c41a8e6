"""A sweep's workers on several GPUs or several machines: one Ray actor each.

Ray (https://docs.ray.io) finds them a place, starts them, and tells which have died. All machines
see this folder, the data, checkpoints and results under the same paths, as on a shared file system.
"""

import logging
import os
import socket
from concurrent.futures import BrokenExecutor
from pathlib import Path

from common.errors import UserError
from sweeps.worker import begin

# Variables of the sweep's shell that reach the workers, by how their names start.
HANDED_ON = (
    "OMP_",
    "GOMP_",
    "MKL_",
    "KMP_",
    "ONEDNN_",
    "ATEN_",
    "TORCH_",
    "CUBLAS_",
    "NVIDIA_TF32",
    "WANDB_",
    "HF_",
)


class Cluster:
    """Workers on a Ray cluster: at `address`, or without one on this machine with that many `gpus`.

    jobs_per_gpu: 0 for runs on the CPU; each then takes as many cores as OMP_NUM_THREADS names, or
    one. Raises UserError where Ray is missing, or there is no such cluster, or it has no place for
    a single run.
    """

    captured = True

    def __init__(self, address, gpus, jobs_per_gpu):
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            import ray
        except ImportError as error:
            raise UserError(
                "several GPUs and clusters need Ray: pip install -r requirements-cluster.txt"
            ) from error
        self.ray = ray
        threads = os.environ.get("OMP_NUM_THREADS", "")
        self.cores = int(threads) if threads.isdecimal() and not jobs_per_gpu else 1
        self.jobs_per_gpu = jobs_per_gpu
        local = {
            "num_gpus": gpus,
            "num_cpus": max(os.cpu_count(), gpus * jobs_per_gpu),
            "include_dashboard": False,
        }
        where = {"address": address} if address else {"address": "local", **local}
        variables = {
            name: value for name, value in os.environ.items() if name.startswith(HANDED_ON)
        }
        variables["PYTHONPATH"] = os.pathsep.join(
            [str(Path(__file__).parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        )
        try:
            if address and ":" in address:  # Ray itself would try for minutes
                host, _, port = address.rpartition(":")
                socket.create_connection((host, port), timeout=10).close()
            ray.init(
                **where,
                runtime_env={"env_vars": variables},
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except Exception as error:  # Ray has many kinds
            said = " ".join(str(error).split())[:300]
            if not address:
                raise UserError(
                    f"Ray cannot start on this machine: {said}; take one GPU, which needs no Ray"
                ) from error
            raise UserError(
                f"no Ray cluster at {address}: {said}; start one with 'ray start --head', give its "
                "host:port or auto, and set RAY_AUTH_TOKEN to its token"
            ) from error
        if not self.count():
            raise UserError(self._no_room())

    def _no_room(self):
        if self.jobs_per_gpu:
            return "the Ray cluster has no GPU for a run; add a node that has one, or omit -gpu"
        return f"the Ray cluster has no node with {self.cores} free CPU cores; add one, or set OMP_NUM_THREADS lower"

    def gpu_mistake(self):
        """Empty: whether the nodes have GPUs is checked when they are joined."""
        return ""

    def count(self):
        """How many workers the nodes that are alive have room for."""
        try:
            nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        except Exception as error:  # Ray has many kinds
            raise UserError(
                "the Ray cluster is gone; start it again, and the same command goes on"
            ) from error
        cores, gpus = ([node.get(kind, 0) for node in nodes] for kind in ("CPU", "GPU"))
        rooms = [int(count // self.cores) for count in cores]
        if self.jobs_per_gpu:
            rooms = [
                min(room, int(count) * self.jobs_per_gpu)
                for room, count in zip(rooms, gpus, strict=True)
            ]
        return sum(rooms)

    def open(self):
        share = (
            int(10_000 / self.jobs_per_gpu) / 10_000 if self.jobs_per_gpu else 0
        )  # as finely as Ray divides
        return Worker(self.ray, bool(self.jobs_per_gpu), num_gpus=share, num_cpus=self.cores)

    def close(self, worker):
        self.ray.kill(worker.actor)

    def end(self):
        self.ray.shutdown()


class Worker:
    """An actor, spoken to as to an executor."""

    def __init__(self, ray, gpu, **resources):
        self.ray, self.started = ray, False
        self.actor = ray.remote(**resources)(_Actor).remote(os.getcwd(), gpu)

    def submit(self, function, *args):
        """A Future of function(*args). BrokenExecutor where the actor died while it was idle."""
        if self.started:
            try:
                self.ray.get(self.actor.call.remote(os.getpid), timeout=10)
            except self.ray.exceptions.RayError as error:
                raise BrokenExecutor(str(error)) from error
        self.started = True
        return self.actor.call.remote(function, *args).future()


class _Actor:
    def __init__(self, folder, gpu):
        begin(folder, captured=True, gpu=gpu)

    def call(self, function, *args):
        return function(*args)
