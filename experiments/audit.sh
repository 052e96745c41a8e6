#!/usr/bin/env bash
# The audits of docs/audit.md: every method on many trained networks. Resumable; what is done is not
# done again.
#
#   bash experiments/audit.sh digits [--jobs 2]       one class, and the images that networks
#                                                     memorise most and least; an hour on two cores
#   DATA=DIR bash experiments/audit.sh cifar10        one class and 83 random images of CIFAR-10,
#                                                     the images of DIR/cifar10; two days
#   bash experiments/audit.sh digits lines            only the lines for sweep.py
#
# From the environment: NETWORKS, the trained networks of originals, retrain and the methods of
# MANY; FEW, those of the slower methods; VERY_FEW, those of the slowest and of the probes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
SET=${1:-}
RESULTS=${RESULTS:-results/audit-$SET}
source MAIN_run_experiments.sh

MANY=(baseline retrain ssd lfssd assd alfssd head_distill)
SLOWER=(finetune bad_teacher amnesiac unsir potion jit scrub salun neggrad_plus ascent npo
  l1_sparse)
SLOWEST=(fisher ntk)
# Noise in some training images, which these are to forget. It needs no retrained network.
POISON_METHODS=(baseline retrain finetune ssd lfssd assd alfssd potion)
case $SET in
  digits)
    COMMON="-net ResNet18Slim -dataset Digits -recipe fast -wandb disabled"
    SETTINGS=("${DEMO_SETTINGS[@]}")
    NETWORKS=${NETWORKS:-64} FEW=${FEW:-16} VERY_FEW=${VERY_FEW:-8} POISONED=100 FORGOTTEN=0
    # 2 % of the training images.
    IMAGES=29
    ;;
  cifar10)
    COMMON="-net ResNet18Slim -dataset Cifar10 -data $(quoted "$DATA") -recipe fast -wandb disabled"
    NETWORKS=${NETWORKS:-12} FEW=${FEW:-8} VERY_FEW=${VERY_FEW:-8} POISONED=750
    FORGOTTEN=automobile
    ;;
  *) fail "what is to be audited? experiments/audit.sh digits, or cifar10" ;;
esac

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

# Networks that each lack another part of the images tell which images are memorised.
subsets() {
  echo "forget_random_main.py $COMMON -method retrain -forget_perc 0.3 -seed 0-31 -outputs" \
    "-results $RESULTS/subsets"
}

grid() {
  local method
  run_all full_class "-forget_class $FORGOTTEN"
  if [ "$SET" = cifar10 ]; then
    run_all random "-forget_perc $FORGET_PERC"
  else
    run_all random "-forget_list $RESULTS/lists/high.txt"
    # The negative control asks for no change.
    for method in "${MANY[@]}"; do
      run random "$method" "-forget_list $RESULTS/lists/low.txt" "$FEW"
    done
  fi
  for method in "${POISON_METHODS[@]}"; do
    echo "forget_corrupted_main.py $COMMON -method $method -corruption gaussian" \
      "-corrupt_count $POISONED -known_share 1 -probes -results $RESULTS" \
      "-train_seed $(seeds 0 $((FEW - 1)))"
  done
}

if [ "${2:-}" = lines ]; then
  grid
  exit
fi
sweep_flags=("${@:2}")
if [ ${#sweep_flags[@]} = 0 ]; then sweep_flags=(--jobs 2); fi
same_everywhere
if [ "$SET" = digits ]; then
  subsets | "$PYTHON" -W ignore sweep.py "${sweep_flags[@]}"
  "$PYTHON" -m experiments.memorised_images "$RESULTS/subsets" --count $IMAGES --to "$RESULTS/lists"
fi
grid | "$PYTHON" -W ignore sweep.py "${sweep_flags[@]}"
"$PYTHON" -W ignore audit.py "$RESULTS" --html "$RESULTS/audit.html" --brief
