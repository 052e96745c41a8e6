"""Sharded models and plain data parallel: several processes against one alone.

several_processes.py makes the comparisons, once for all tests here.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import ROOT
from oracles import one_line
from torch import nn

import ssd

SCRIPT = Path(__file__).with_name("several_processes.py")


def measured_by(count, folder):
    """What `count` processes measure, in one go."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(count), SCRIPT, folder]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(
    scope="module", params=[2, pytest.param(3, marks=pytest.mark.slow)], ids=["two", "three"]
)
def measured(request, tmp_path_factory):
    return measured_by(request.param, tmp_path_factory.mktemp("importances"))


@pytest.mark.parametrize("kind", ["fisher", "norm", "hybrid"])
def test_a_sharded_model_is_dampened_as_the_whole(measured, kind):
    result = measured[kind]
    assert result["importances"] < 1e-5
    assert result["overlap"] < 1e-6
    assert result["adaptive"] < 1e-4
    assert result["share"] == 0
    assert 0.05 < result["selected"] < 0.95
    assert result["weights"] < 1e-6
    assert result["dtensors"]
    assert result["left_sharded"]


def test_unlearn_on_a_sharded_model(measured):
    assert measured["unlearn"]["weights"] < 1e-6
    assert measured["unlearn"]["changed"] > 0.1


def test_models_that_each_process_holds_whole(measured):
    assert measured["replicated"] < 1e-5
    assert measured["replicated_samples"] < 1e-5


def test_batches_of_its_own_for_each_process_are_another_ssd(measured):
    assert measured["naive"] < 0.75


def test_a_loss_says_over_how_many_terms_it_is_the_mean(measured):
    assert measured["own_loss"] < 1e-5


def test_bfloat16_is_summed_in_float32(measured):
    assert measured["bfloat16"]["dtypes"] == ["torch.float32"]
    assert measured["bfloat16"]["importances"] < 0.1


def test_importances_are_saved_and_loaded_in_parts(measured):
    assert measured["saved"] == 0


REFUSALS = {
    "per_sample": "is sharded, and per_sample needs it whole",
    "fewer": "processes have a batch 2; give each process its part of every batch",
    "empty": "processes is empty; give each process its part of every batch",
    "nothing": "batch 1 has no sample or token that counts",
    "partly": "is whole; call fully_shard on the whole model too",
    "wrapped": "is wrapped in DistributedDataParallel; give the module in it",
    "float16": "float16 is not supported with several processes",
    "unsynchronised": "with FSDP set_requires_gradient_sync must be True",
    "parallel": "is sharded in another way than by fully_shard",
    "no_logits": "it cannot be seen over how many labels the model's own loss is the mean",
    "whole": "is not sharded as the parameter is",
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_what_several_processes_are_refused(measured, kind):
    message = measured["refusals"][kind]
    assert REFUSALS[kind] in message
    assert "\n" not in message


def test_a_group_needs_processes():
    with pytest.raises(ValueError) as error:
        batch = torch.randn(4, 3), torch.zeros(4, dtype=torch.int64)
        ssd.importance(nn.Linear(3, 2), [batch], reduce_over="world")
    one_line(error, "call torch.distributed.init_process_group first")
    with pytest.raises(ValueError) as error:
        ssd.split_batches([batch])
    one_line(error, "call torch.distributed.init_process_group first")
