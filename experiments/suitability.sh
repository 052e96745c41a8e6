#!/usr/bin/env bash
# Does the overlap of the importances predict how much SSD damages a network?
#
#   experiments/suitability.sh [DIR] > lines
#   python sweep.py --jobs 1 < lines
#   python -m experiments.suitability_plot results/suitability
#
# The digits: five trained networks, each of which forgets each of the ten digits. An hour on one
# CPU core, most of it for retraining.
#
# DIR: CIFAR-10's images, train/<class>/*.jpg and test/<class>/*.jpg. The network that is published
# with its records forgets each of the ten classes. Another hour. It is not retrained: D_r is
# compared with the baseline's.
#
# Run both in the demo's environment (the `export` in MAIN_run_experiments.sh), and every x86 CPU
# trains the same networks.
source "$(dirname "$0")/../MAIN_run_experiments.sh"
source "$(dirname "$0")/first_images.sh"

[ $# -le 1 ] || fail "name one folder of images, or none: experiments/suitability.sh [DIR]"
FLAGS="-wandb disabled"
RESULTS=results/suitability
net=ResNet18Slim
digits=(0 1 2 3 4 5 6 7 8 9)
classes=(airplane automobile bird cat deer dog frog horse ship truck)

METHODS=(baseline retrain ssd assd)
for training in 0 1 2 3 4; do
  pretrain $net Digits -seed $training
  for digit in "${digits[@]}"; do
    forget full_class $net Digits "-forget_class $digit -train_seed $training" 0
  done
done

[ $# = 1 ] || exit 0
needs_images "$1"
# A copy, since the importances of D are kept next to a network.
network=checkpoints/published/$net-Folder-seed0.safetensors
mkdir -p "$(dirname "$network")"
cp "$ROOT/published/cifar10-jpeg-small/$net-Folder-seed0.safetensors" "$network"
COMMON="-data $(quoted "$1") -weight_path $network"
for class in "${classes[@]}"; do
  METHODS=(baseline ssd assd)
  forget full_class $net Folder "-forget_class $class" 0
  METHODS=(ssd)
  forget full_class $net Folder "-forget_class $class -alpha 5" 0
done
