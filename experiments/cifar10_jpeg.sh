#!/usr/bin/env bash
# The tables of docs/results.md: every method on CIFAR-10 (JPEG); random images and classes.
#
#   [SIZE=small|full] experiments/cifar10_jpeg.sh DIR > lines
#   python sweep.py < lines
#   python report.py results/cifar10-jpeg-$SIZE
#   python report.py results/cifar10-jpeg-$SIZE-alpha
#
# DIR holds train/<class>/*.jpg and test/<class>/*.jpg.
#
# small (default): ResNet18Slim, one trained network, three classes. Twelve hours on two CPU cores,
#   with OMP_NUM_THREADS=1 python sweep.py --jobs 2
# full: ResNet18 at full width, three trained networks, ten classes, for a GPU,
#   with python sweep.py --gpus 0
#
# Stopped at any moment, the same command goes on.
source "$(dirname "$0")/../MAIN_run_experiments.sh"
source "$(dirname "$0")/first_images.sh"

[ $# = 1 ] || fail "where are the images? experiments/cifar10_jpeg.sh DIR"
needs_images "$1"
data=$(quoted "$1")
SIZE=${SIZE:-small}
FLAGS="-wandb disabled"
case $SIZE in
  small)
    net=ResNet18Slim gpu=""
    trainings=(0) random_seeds="0 1 2" class_seeds="0"
    classes=(automobile cat ship)
    ;;
  full)
    net=ResNet18 gpu=" -gpu"
    trainings=(0 1 2) random_seeds="0 1 2 3 4" class_seeds="0 1 2"
    classes=(airplane automobile bird cat deer dog frog horse ship truck)
    ;;
  *) fail "SIZE=$SIZE: it is small or full" ;;
esac
ALPHAS=(0.1 0.3 1 2 3 4 5 6 7 8 9 10 12 30 100)

# forget_each_class FLAGS SEEDS: each of the classes.
forget_each_class() {
  local class
  for class in "${classes[@]}"; do
    forget full_class $net Folder "-forget_class $class$1" "$2"
  done
}

# grid PROTOCOL: METHODS on every trained network.
grid() {
  local training
  COMMON="-data $data -protocol $1$gpu"
  RESULTS=results/cifar10-jpeg-$SIZE
  for training in "${trainings[@]}"; do
    pretrain $net Folder -seed "$training"
    forget random $net Folder "-forget_perc $FORGET_PERC -train_seed $training" "$random_seeds"
    forget_each_class " -train_seed $training" "$class_seeds"
  done
}

# one_run_each FLAGS: METHODS for each forget set, on the first trained network.
one_run_each() {
  forget random $net Folder "-forget_perc $FORGET_PERC$1" 0
  forget_each_class "$1" 0
}

grid paper

# SSD at the published alpha, next to the one that the network has of its own.
METHODS=(ssd)
forget_each_class " -alpha 10" 0

# The curves over alpha, and what they stand next to.
RESULTS=results/cifar10-jpeg-$SIZE-alpha
METHODS=(baseline assd)
one_run_each ""
for method in ssd lfssd; do
  METHODS=("$method")
  for alpha in "${ALPHAS[@]}"; do one_run_each " -alpha $alpha"; done
done

METHODS=(retrain ssd unsir)
if [ "$SIZE" = full ]; then grid released; fi
