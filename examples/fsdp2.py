"""SSD on a model that FSDP2 shards over processes, next to the same in one process.

    torchrun --nproc-per-node 2 examples/fsdp2.py     # two processes, on the CPU
    torchrun --nproc-per-node 8 examples/fsdp2.py     # eight GPUs

Expected of two processes, after 20 seconds on two cores:

    importances differ by     1.4e-07
    weights differ by         4.2e-09
    selected, sharded         1.6894 %
    selected, in one process  1.6894 %

The differences are relative: |sharded - whole| / |whole| of the tensor that differs most.
The model has no biases, for a reason. The bias of an attention's keys has no influence on the
output. Both of its importances are rounding noise, and so is what is selected of it.
"""

import copy
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.fsdp import fully_shard
from transformers import LlamaConfig, LlamaForCausalLM

sys.path.append(str(Path(__file__).parents[1]))  # the folder of ssd.py, unless it is installed

import ssd

SIZES = {"vocab_size": 256, "hidden_size": 64, "intermediate_size": 128}
LAYERS = {"num_hidden_layers": 2, "num_attention_heads": 4}
SETTINGS = {"alpha": 4, "lam": 1}


def gathered(tensors):
    return {name: tensor.full_tensor() for name, tensor in tensors.items()}


def largest_difference(tensors, goals):
    differences = [(tensors[name] - goal).norm() / goal.norm() for name, goal in goals.items()]
    return float(max(differences))


def share_changed(weights, before):
    changed = sum(int((weights[name] != before[name]).sum()) for name in before)
    return changed / sum(weight.numel() for weight in before.values())


def main():
    on_gpu = torch.cuda.is_available()
    dist.init_process_group("nccl" if on_gpu else "gloo")
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))

    # 1. Every process makes the same model and the same batches, of which it will read its part.
    torch.manual_seed(0)
    whole = LlamaForCausalLM(LlamaConfig(**SIZES, **LAYERS)).to("cuda" if on_gpu else "cpu")
    before = copy.deepcopy(whole.state_dict())
    texts = torch.randint(256, (125, 32)).split(8)  # the last batch has 5: its parts differ in size
    full = [{"input_ids": text, "labels": text} for text in texts]
    forget = full[:2]

    # 2. FSDP2 spreads a copy of the model, and it forgets.
    sharded = copy.deepcopy(whole)
    for layer in sharded.model.layers:
        fully_shard(layer)
    fully_shard(sharded)
    importances = gathered(ssd.importance(sharded, ssd.split_batches(full)))
    ssd.unlearn(sharded, ssd.split_batches(forget), ssd.split_batches(full), **SETTINGS)
    weights = gathered(sharded.state_dict())

    # 3. The same without FSDP2: every process reads whole batches.
    goal_importances = ssd.importance(whole, full)
    ssd.unlearn(whole, forget, full, **SETTINGS)
    goal_weights = whole.state_dict()

    if dist.get_rank() == 0:
        print(f"importances differ by     {largest_difference(importances, goal_importances):.1e}")
        print(f"weights differ by         {largest_difference(weights, goal_weights):.1e}")
        print(f"selected, sharded         {100 * share_changed(weights, before):.4f} %")
        print(f"selected, in one process  {100 * share_changed(goal_weights, before):.4f} %")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
