#!/usr/bin/env bash
# The tables of docs/results.md: every method on CIFAR-10 (JPEG), random images and classes forgotten.
#
#   [SIZE=fifth|small|full] experiments/cifar10_jpeg.sh DIR > lines     DIR holds train/<class>/*.jpg and test/<class>/*.jpg
#   python sweep.py < lines && python report.py results/cifar10-jpeg-$SIZE && python report.py results/cifar10-jpeg-$SIZE-alpha
#
# fifth: ResNet18Slim, the first 1,000 training images of each class, one trained network: three hours on two CPU cores
# small (default): the same on all 50,000, twelve hours: OMP_NUM_THREADS=1 python sweep.py --jobs 2
# full: ResNet18 at full width, three trained networks, ten classes, for a GPU: python sweep.py --gpus 0
# Stopped at any moment, the same command goes on.
source "$(dirname "$0")/../MAIN_run_experiments.sh"
source "$(dirname "$0")/first_images.sh"
[ $# = 1 ] || fail "where are the images? experiments/cifar10_jpeg.sh DIR"
DATA=$1
needs_images "$DATA"
SIZE=${SIZE:-small} FLAGS="-wandb disabled"
net=ResNet18Slim gpu="" trainings=(0) random_seeds="0 1 2" class_seeds=0 classes=(automobile cat ship)
case $SIZE in
  fifth) first_images "$DATA" "${FIFTH:=data/cifar10-fifth}" train:1000 test:1000
    DATA=$FIFTH FORGET_PERC=0.0083 ;;               # 83 images here too
  small) ;;
  full) net=ResNet18 gpu=" -gpu" trainings=(0 1 2) random_seeds="0 1 2 3 4" class_seeds="0 1 2"
    classes=(airplane automobile bird cat deer dog frog horse ship truck) ;;
  *) fail "SIZE=$SIZE: it is fifth, small or full" ;;
esac

grid() { # protocol
  local training class
  COMMON="-data $(quoted "$DATA") -protocol $1$gpu" RESULTS=results/cifar10-jpeg-$SIZE
  for training in "${trainings[@]}"; do
    pretrain $net Folder -seed "$training"
    forget random $net Folder "-forget_perc $FORGET_PERC -train_seed $training" "$random_seeds"
    for class in "${classes[@]}"; do forget full_class $net Folder "-forget_class $class -train_seed $training" "$class_seeds"; done
  done
}

each() { # flags: a run of METHODS for each forget set, of the first trained network
  local class
  forget random $net Folder "-forget_perc $FORGET_PERC$1" 0
  for class in "${classes[@]}"; do forget full_class $net Folder "-forget_class $class$1" 0; done
}

grid paper
METHODS=(ssd)                                       # at the published alpha, beside the one that the network has of its own
for class in "${classes[@]}"; do forget full_class $net Folder "-forget_class $class -alpha 10" 0; done
RESULTS=results/cifar10-jpeg-$SIZE-alpha
METHODS=(baseline assd) && each ""                  # what the curves over alpha stand beside
for method in ssd lfssd; do
  METHODS=($method)
  for alpha in 0.1 0.3 1 2 3 4 5 6 7 8 9 10 12 30 100; do each " -alpha $alpha"; done
done
METHODS=(retrain ssd unsir)
if [ "$SIZE" = full ]; then grid released; fi
