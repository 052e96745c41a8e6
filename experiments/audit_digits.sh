#!/usr/bin/env bash
# The audit of docs/audit.md on the digits: one class, the images that networks memorise most, and
# those that they memorise least. Resumable; what is done is not done again.
#
#   bash experiments/audit_digits.sh [--jobs 2]
#
# From the environment: NETWORKS (64), the trained networks of originals, retrain and the methods of
# MANY; FEW (16), those of the slower methods; VERY_FEW (8), those of the slowest and of the probes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
RESULTS=${RESULTS:-results/audit}
source MAIN_run_experiments.sh

NETWORKS=${NETWORKS:-64} FEW=${FEW:-16} VERY_FEW=${VERY_FEW:-8}
FORGOTTEN=0
# 2 % of the training images.
IMAGES=29

MANY=(baseline retrain ssd lfssd assd alfssd head_distill)
SLOWER=(finetune bad_teacher amnesiac unsir potion jit scrub salun neggrad_plus l1_sparse)
SLOWEST=(fisher ntk)
SETTINGS=("${DEMO_SETTINGS[@]}")
COMMON="-net ResNet18Slim -dataset Digits -recipe fast -wandb disabled"

# seeds FIRST LAST: as -train_seed takes them.
seeds() { if [ "$1" = "$2" ]; then echo "$1"; else echo "$1-$2"; fi; }

# run TASK METHOD WHAT COUNT: so many trained networks; the first few of a class are probed.
run() {
  if holds "$1" "$2" refuses; then return; fi
  local line="forget_$1_main.py $COMMON -method $2 $(settings_of "$2")$3 -results $RESULTS"
  local probed=0
  if [ "$1" = full_class ]; then
    probed=$VERY_FEW
    echo "$line -train_seed $(seeds 0 $((probed - 1))) -probes"
  fi
  if [ "$4" -gt "$probed" ]; then
    echo "$line -train_seed $(seeds "$probed" $(($4 - 1))) -outputs"
  fi
}

# run_all TASK WHAT: every method, with as many networks as its speed allows.
run_all() {
  local method
  for method in "${MANY[@]}"; do run "$1" "$method" "$2" "$NETWORKS"; done
  for method in "${SLOWER[@]}"; do run "$1" "$method" "$2" "$FEW"; done
  for method in "${SLOWEST[@]}"; do run "$1" "$method" "$2" "$VERY_FEW"; done
}

# Noise in some training images, which these are to forget. It needs no retrained network.
POISONED="-corruption gaussian -corrupt_count 100 -known_share 1"
POISON_METHODS=(baseline retrain finetune ssd lfssd assd alfssd potion)

subsets() {
  echo "forget_random_main.py $COMMON -method retrain -forget_perc 0.3 -seed 0-31 -outputs" \
    "-results $RESULTS/subsets"
}

grid() {
  local method
  run_all full_class "-forget_class $FORGOTTEN"
  run_all random "-forget_list $RESULTS/lists/high.txt"
  # The negative control asks for no change.
  for method in "${MANY[@]}"; do
    run random "$method" "-forget_list $RESULTS/lists/low.txt" "$FEW"
  done
  for method in "${POISON_METHODS[@]}"; do
    echo "forget_corrupted_main.py $COMMON -method $method $POISONED -probes -results $RESULTS" \
      "-train_seed $(seeds 0 $((FEW - 1)))"
  done
}

same_everywhere
subsets | "$PYTHON" -W ignore sweep.py "${@:---jobs=2}"
"$PYTHON" -m experiments.memorised_images "$RESULTS/subsets" --count $IMAGES --to "$RESULTS/lists"
grid | "$PYTHON" -W ignore sweep.py "${@:---jobs=2}"
"$PYTHON" -W ignore audit.py "$RESULTS" --html "$RESULTS/audit.html" --brief
