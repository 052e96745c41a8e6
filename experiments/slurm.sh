#!/usr/bin/env bash
# The paper's grid on a SLURM cluster. checkpoints/, data/ and results/ lie in this repository, on a
# file system that all nodes share. From the repository:
#
#   sbatch experiments/slurm.sh
#       two nodes with four GPUs each, one Ray cluster inside the allocation
#   sbatch --nodes=1 --array=0-7 --gpus-per-node=1 --exclusive=user experiments/slurm.sh
#       or eight jobs of one GPU, without Ray: each takes the runs that no other job is at
#
# Requeued, extended or cancelled: submit it again, and it goes on from what is finished.
#SBATCH --job-name=unlearning
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=16
#SBATCH --time=12:00:00
#SBATCH --exclusive
#SBATCH --no-kill
#SBATCH --requeue
set -euo pipefail
# Where sbatch was called: this repository.
cd "$SLURM_SUBMIT_DIR"

# Plain array elements share the grid among themselves. SLURM shows each of them one GPU.
if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then
  exec ./MAIN_run_experiments.sh 0
fi

# ray calls itself by its name.
export PATH="$PWD/.venv/bin:$PATH"
# Without a token everyone on these machines may run code in your name.
export RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=$(python3 -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_TOKEN
# Seconds: imports from a shared disk take a while.
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=300

first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
head=$(srun --nodes=1 --ntasks=1 --nodelist="$first" hostname -I | cut -d ' ' -f 1)
# Another port for each job.
port=$((20000 + SLURM_JOB_ID % 12000))
# A Ray node on every machine. The grid is driven from the first, and all of it ends with the grid.
srun --kill-on-bad-exit=0 --cpus-per-task="$SLURM_CPUS_PER_TASK" \
  ray symmetric-run --address "$head:$port" --min-nodes "$SLURM_JOB_NUM_NODES" \
  --num-cpus "$SLURM_CPUS_PER_TASK" \
  -- ./MAIN_run_experiments.sh "ray=$head:$port" --jobs-per-gpu 2
