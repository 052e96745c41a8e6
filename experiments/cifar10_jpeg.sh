#!/usr/bin/env bash
# The tables of docs/results.md: every method on CIFAR-10 (JPEG), random images and classes forgotten.
#
#   [SIZE=small|full] experiments/cifar10_jpeg.sh DIR > lines     DIR holds train/<class>/*.jpg and test/<class>/*.jpg
#   python sweep.py < lines && python report.py results/cifar10-jpeg && python report.py results/cifar10-jpeg-alpha
#
# small (default): ResNet18Slim, one trained network, on a CPU overnight: OMP_NUM_THREADS=1 python sweep.py --jobs 2
# full: ResNet18 at full width, three trained networks, ten classes, for a GPU: python sweep.py --gpus 0
# Stopped at any moment, the same command goes on. What comes first is what the others are measured against.
set -euo pipefail
data=${1:?where are the images? experiments/cifar10_jpeg.sh DIR}
perc=0.00165                                        # 83 of 50,000 images
methods="retrain baseline ssd lfssd assd alfssd jit finetune bad_teacher amnesiac unsir fisher ntk scrub salun neggrad_plus l1_sparse"
case ${SIZE:-small} in
  small) net=ResNet18Slim gpu="" trainings="0" random_seeds="0 1 2" class_seeds="0" classes="automobile cat ship" released=() ;;
  full) net=ResNet18 gpu=-gpu trainings="0 1 2" random_seeds="0 1 2 3 4" class_seeds="0 1 2" released=(retrain ssd unsir)
    classes="airplane automobile bird cat deer dog frog horse ship truck" ;;
  *) echo "SIZE is small or full, not $SIZE" >&2; exit 2 ;;
esac

forget() { # training seed, protocol, script, what, method, unlearning seeds
  local seeds=$6
  case $3-$5 in
    random-unsir) return ;;                         # no class, no UNSIR
    full_class-baseline | full_class-*ssd) seeds=${6%% *} ;;  # they draw no random number
  esac
  for seed in $seeds; do
    echo "forget_$3_main.py $common -train_seed $1 -protocol $2 $4 -method $5 -seed $seed -results results/cifar10-jpeg -wandb disabled"
  done
}

grid() { # protocol, methods
  for training in $trainings; do
    echo "pretrain_model.py $common -protocol $1 -seed $training"
    for method in $2; do
      forget "$training" "$1" random "-forget_perc $perc" "$method" "$random_seeds"
      for class in $classes; do forget "$training" "$1" full_class "-forget_class $class" "$method" "$class_seeds"; done
    done
  done
}

curve() { # D_f and D_r over alpha, on the first trained network; ASSD, which needs none, beside it
  local what=$1 method alpha
  for method in baseline assd; do echo "$what -method $method"; done
  for method in ssd lfssd; do for alpha in 0.1 0.3 1 2 3 4 5 6 7 8 9 10 12 30 100; do echo "$what -method $method -alpha $alpha"; done; done
}

common="-net $net -dataset Folder -data $data${gpu:+ $gpu}"
grid paper "$methods"
[ ${#released[@]} = 0 ] || grid released "${released[*]}"
{
  curve "forget_random_main.py $common -forget_perc $perc"
  for class in $classes; do curve "forget_full_class_main.py $common -forget_class $class"; done
} | sed 's|$| -results results/cifar10-jpeg-alpha -wandb disabled|'
