#!/usr/bin/env bash
# How much of a poison must be known to heal it: ResNet18Slim on 10,000 images of CIFAR-10 (JPEG), 500 of them poisoned.
#
#   experiments/poison.sh DIR > lines        DIR: train/<class>/, test/<class>/; copies the first images of each
#   OMP_NUM_THREADS=1 python sweep.py --jobs 2 < lines && python report.py results/poison
#
# The 20-epoch recipe. Dampening runs with two seeds (of which part is known), retrain with one. About half an hour on two CPU cores.
source "$(dirname "$0")/../MAIN_run_experiments.sh"
source "$(dirname "$0")/first_images.sh"
[ $# = 1 ] || fail "where are the images? experiments/poison.sh DIR"
needs_images "$1"
small=${SMALL:-data/cifar10-small}
first_images "$1" "$small" train:1000 test:200
COMMON="-data $(quoted "$small")" FLAGS="-wandb disabled" RESULTS=results/poison
poison="-corruption patch -corrupt_count 500"
pretrain ResNet18Slim Folder "$poison"
for share in 0.002 0.01 0.1 0.5 1; do # the first: one image
  HEALERS=(baseline potion alfssd assd ssd)
  forget corrupted ResNet18Slim Folder "$poison -known_share $share" "0 1"
  HEALERS=(retrain)
  forget corrupted ResNet18Slim Folder "$poison -known_share $share" 0
done
