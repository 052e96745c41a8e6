"""SSD on a model that FSDP2 shards over processes, next to the same in one process.

    torchrun --nproc-per-node 2 examples/fsdp2.py     # two processes, on the CPU
    torchrun --nproc-per-node 8 examples/fsdp2.py     # eight GPUs

Expected of two processes, after 20 seconds on two cores:

    importances differ by     1.4e-07
    selected, sharded         1.6894 %
    selected, in one process  1.6894 %

The difference is |sharded - whole| / |whole| of the tensor that differs most.
"""

import copy
import os

import digits  # noqa: F401 (it finds ssd)
import torch
import torch.distributed as dist
from torch.distributed.fsdp import fully_shard
from transformers import LlamaConfig, LlamaForCausalLM

import ssd

SIZES = {"vocab_size": 256, "hidden_size": 64, "intermediate_size": 128}


def forget(model, batches):
    """SSD on the first two of its batches: (importances of all batches, share selected)."""
    full, first = ssd.importance(model, batches), ssd.importance(model, batches[:2])
    return full, ssd.dampen(model, full, first, alpha=4, lam=1)


def main():
    on_gpu = torch.cuda.is_available()
    dist.init_process_group("nccl" if on_gpu else "gloo")
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        torch.set_default_device("cuda")
    torch.manual_seed(0)
    whole = LlamaForCausalLM(LlamaConfig(num_hidden_layers=2, num_attention_heads=4, **SIZES))
    texts = torch.randint(256, (125, 32)).split(8)
    batches = [{"input_ids": text, "labels": text} for text in texts]
    sharded = copy.deepcopy(whole)
    for part in (*sharded.model.layers, sharded):
        fully_shard(part)

    importances, selected = forget(sharded, list(ssd.split_batches(batches)))
    goals, goal_selected = forget(whole, batches)
    gathered = {name: importances[name].full_tensor() for name in goals}
    differences = [(gathered[name] - goals[name]).norm() / goals[name].norm() for name in goals]
    if dist.get_rank() == 0:
        print(f"importances differ by     {max(differences):.1e}")
        print(f"selected, sharded         {100 * selected:.4f} %")
        print(f"selected, in one process  {100 * goal_selected:.4f} %")
    dist.destroy_process_group()


main()
