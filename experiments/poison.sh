#!/usr/bin/env bash
# How much of a poison must be known to heal it.
#
#   experiments/poison.sh DIR > lines
#   OMP_NUM_THREADS=1 python sweep.py --jobs 2 < lines
#   python report.py results/poison
#
# DIR holds train/<class>/*.jpg and test/<class>/*.jpg of CIFAR-10. The first 1,000 training images
# of each class and the first 200 test images are copied to SMALL (data/cifar10-small).
#
# ResNet18Slim by the recipe of 20 epochs; 500 of the 10,000 images are poisoned. Dampening runs
# with two seeds, which say what part is known, and retrain with one. Half an hour on two CPU cores.
source "$(dirname "$0")/../MAIN_run_experiments.sh"
source "$(dirname "$0")/first_images.sh"

[ $# = 1 ] || fail "where are the images? experiments/poison.sh DIR"
needs_images "$1"
small=${SMALL:-data/cifar10-small}
first_images "$1" "$small" train:1000 test:200
COMMON="-data $(quoted "$small")"
FLAGS="-wandb disabled"
RESULTS=results/poison
net=ResNet18Slim
poison="-corruption patch -corrupt_count 500"

pretrain $net Folder "$poison"
for share in 0.002 0.01 0.1 0.5 1; do # the first: one image
  METHODS=(baseline potion alfssd assd ssd)
  forget corrupted $net Folder "$poison -known_share $share" "0 1"
  METHODS=(retrain)
  forget corrupted $net Folder "$poison -known_share $share" 0
done
