"""A sweep's workers on several GPUs or several machines: one Ray actor each.

Ray (https://docs.ray.io) finds them a place, starts them, and tells which have died. All machines
see this folder, the data, checkpoints and results under the same paths, as on a shared file system.
"""

import logging
import os
import socket
from concurrent.futures import BrokenExecutor

from common.errors import UserError
from sweeps.lines import ROOT
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
PARTS = 10_000  # into which Ray divides a GPU
CONNECTS = 10  # seconds that a cluster's head may take to answer; Ray itself would try for minutes


class Cluster:
    """Workers on a Ray cluster: at `address`, or without one on this machine with its `gpus`.

    jobs_per_gpu: 0 for runs on the CPU; each then takes as many cores as OMP_NUM_THREADS names, or
    one. UserError where Ray is missing, or there is no such cluster, or it has no place for a run.
    """

    def __init__(self, address: str | None, gpus: int, jobs_per_gpu: int):
        self.ray = _ray()
        self.jobs_per_gpu = jobs_per_gpu
        threads = os.environ.get("OMP_NUM_THREADS", "")
        self.cores = int(threads) if threads.isdecimal() and not jobs_per_gpu else 1
        if address:
            _join(self.ray, address)
        else:
            _start_here(self.ray, gpus, jobs_per_gpu)
        if not self.count():
            raise UserError(self._no_room())

    def _no_room(self):
        if self.jobs_per_gpu:
            return "the Ray cluster has no GPU for a run; add a node that has one, or omit -gpu"
        return (
            f"the Ray cluster has no node with {self.cores} free CPU cores; add one, "
            "or set OMP_NUM_THREADS lower"
        )

    def gpu_mistake(self) -> str:
        """Empty: whether the nodes have GPUs is checked when they are joined."""
        return ""

    def count(self) -> int:
        """How many workers the nodes that are alive have room for."""
        try:
            nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        except Exception as error:  # Ray has many kinds
            raise UserError(
                "the Ray cluster is gone; start it again, and the same command goes on"
            ) from error
        return sum(self._room(node) for node in nodes)

    def _room(self, resources):
        """How many workers a node has room for."""
        room = int(resources.get("CPU", 0) // self.cores)
        if self.jobs_per_gpu:
            room = min(room, int(resources.get("GPU", 0)) * self.jobs_per_gpu)
        return room

    def open(self):
        """A new worker, which starts."""
        share = 0
        if self.jobs_per_gpu:
            share = int(PARTS / self.jobs_per_gpu) / PARTS
        return Worker(self.ray, bool(self.jobs_per_gpu), num_gpus=share, num_cpus=self.cores)

    def close(self, worker):
        """End a worker."""
        self.ray.kill(worker.actor)

    def end(self):
        """End all of them, and a cluster that was started here."""
        self.ray.shutdown()


def _ray():
    """The library, with GPUs left visible to workers that ask for none."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise UserError(
            "several GPUs and clusters need Ray: pip install -r requirements-cluster.txt"
        ) from error
    return ray


def _join(ray, address):
    """Connect to a cluster. UserError where there is none."""
    try:
        if ":" in address:
            host, _, port = address.rpartition(":")
            socket.create_connection((host, port), timeout=CONNECTS).close()
        _connect(ray, address=address)
    except Exception as error:  # Ray has many kinds
        raise UserError(
            f"no Ray cluster at {address}: {_said(error)}; start one with 'ray start --head', "
            "give its host:port or auto, and set RAY_AUTH_TOKEN to its token"
        ) from error


def _start_here(ray, gpus, jobs_per_gpu):
    """Start a cluster of this machine. UserError where that cannot be."""
    cores = max(os.cpu_count(), gpus * jobs_per_gpu)
    try:
        _connect(ray, address="local", num_gpus=gpus, num_cpus=cores, include_dashboard=False)
    except Exception as error:  # Ray has many kinds
        raise UserError(
            f"Ray cannot start on this machine: {_said(error)}; take one GPU, which needs no Ray"
        ) from error


def _connect(ray, **place):
    variables = {}
    for name, value in os.environ.items():
        if name.startswith(HANDED_ON):
            variables[name] = value
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    ray.init(
        **place,
        runtime_env={"env_vars": variables},
        log_to_driver=False,
        logging_level=logging.ERROR,
    )


def _said(error):
    """What Ray says of an error, in one line."""
    return " ".join(str(error).split())[:300]


class Worker:
    """An actor, spoken to as to an executor."""

    def __init__(self, ray, gpu: bool, **resources):
        self.ray = ray
        self.started = False
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
        begin(folder, gpu=gpu)

    def call(self, function, *args):
        return function(*args)
