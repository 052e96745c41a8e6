#!/usr/bin/env bash
# Measurements that need a GPU, one stage a call, each within eight minutes:
#
#   experiments/gpu.sh sharded    ssd on a model sharded over NCCL, against the same model whole
#   experiments/gpu.sh memory     peak memory of SSD on a model of 1 billion parameters in bfloat16
#   experiments/gpu.sh recipes    ResNet18 on CIFAR-10 by both recipes: accuracy, seconds, a pool
#
# PYTHON names the Python to use (python), DATA the folder where data sets lie (data). Nothing is written; the output is the result.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python}
export PYTHONPATH=$PWD

case ${1:-} in
  sharded)
    count=$($PYTHON -c "import torch; print(torch.cuda.device_count())")
    $PYTHON -m torch.distributed.run --standalone --nproc-per-node "$count" examples/fsdp2.py
    ;;
  memory) $PYTHON -m benchmarks.memory --millions 1000 --dtype bfloat16 --gpu ;;
  recipes)
    $PYTHON -m benchmarks.recipes --gpu --net ResNet18 --dataset Cifar10 --data "${DATA:-data}" \
      --seeds 1
    ;;
  *)
    echo "experiments/gpu.sh STAGE; the stages: sharded, memory, recipes" >&2
    exit 2
    ;;
esac
