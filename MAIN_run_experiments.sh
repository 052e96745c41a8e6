#!/usr/bin/env bash
# The paper's experiments, each a command line handed to sweep.py; what is done already is not done again.
#
#   ./MAIN_run_experiments.sh 0          the whole grid on GPU 0
#   ./MAIN_run_experiments.sh 0,1,2,3    spread over four GPUs (needs requirements-cluster.txt)
#   ./MAIN_run_experiments.sh ray=auto   over all GPUs of a Ray cluster (auto, or host:port)
#   ./MAIN_run_experiments.sh cpu        the same on the CPU, for the patient
#   ./MAIN_run_experiments.sh demo       two digits, two sub-classes, a random set and a poison, on the CPU in minutes
#
# Flags after it go to sweep.py: --dry-run says what is to be done and how long it takes, --jobs-per-gpu 2 shares a GPU.
# From the environment: PROTOCOL (paper or released), DATA and RESULTS (folders), PYTHON (else that of .venv).
set -euo pipefail

SEEDS=(0 1 2)                                       # of the unlearning; one trained network serves them all
NETS=(ResNet18 ViT)
METHODS=(baseline retrain finetune bad_teacher amnesiac unsir fisher ntk ssd lfssd assd alfssd jit scrub salun neggrad_plus l1_sparse)
HEALERS=(baseline retrain finetune bad_teacher scrub ssd assd alfssd potion)  # of corrupted data
CIFAR20_CLASSES=(vehicle2 veg people electrical_devices natural_scenes)
CIFAR100_CLASSES=(rocket mushroom baby lamp sea)    # also the sub-classes of CIFAR-20
FACES=(1 10 20 30 40)                               # Pins' folders by number
FORGET_PERC=0.00165                                 # 83 of CIFAR-10's 50,000 images
POISONED=(100 500 1000)                             # of CIFAR-10's images; labels are wrong for as many
KNOWN=(0.01 0.1 0.5 1)                              # share of them that is known
DATA=${DATA:-data}
RESULTS=${RESULTS:-results}
PROTOCOL=${PROTOCOL:-paper}

DEMO_SEEDS=(0 1)
DEMO_DIGITS=(0 2)                                   # why these two: docs/results.md
DEMO_PERC=0.02                                      # 29 of 1,442 images
DEMO_POISONED=50
DEMO_KNOWN=(0.04 0.2 1)                             # the first: two images, which BatchNorm needs

fail() { echo "error: $1" >&2; exit 2; }
quoted() { # as a word of a line that sweep.py reads; printf %q would write $'...', which it cannot
  local quote="'\\''"
  echo "'${1//\'/$quote}'"
}

pretrain() { echo "pretrain_model.py -net $1 -dataset $2 ${*:3} $COMMON"; }
forget() { # script, net, data set, what to forget, seeds
  local method seed seeds own methods=("${METHODS[@]}")
  [ "$1" = corrupted ] && methods=("${HEALERS[@]}")
  for method in "${methods[@]}"; do
    seeds=$5
    case $1-$method in *_class-baseline | *_class-*ssd) seeds=${5%% *} ;; esac  # they draw no random number
    case $method in bad_teacher) own=$BAD_TEACHER ;; ntk) own=$NTK ;; *) own="" ;; esac
    case $1-$2-$method in                           # no class, no UNSIR; a ViT's 86 M weights are too many for the two
      random-*-unsir | *-ViT-fisher | *-ViT-ntk) continue ;;
    esac
    for seed in $seeds; do
      echo "forget_$1_main.py -net $2 -dataset $3 $4 -method $method $own-seed $seed -results $(quoted "$RESULTS") $FLAGS $COMMON"
    done
  done
}

heal() { # net, data set, corruption, how many, known shares, seeds
  local share
  pretrain "$1" "$2" -corruption "$3" -corrupt_count "$4"
  for share in $5; do forget corrupted "$1" "$2" "-corruption $3 -corrupt_count $4 -known_share $share" "$6"; done
}

paper() {
  local net class count kind
  for net in "${NETS[@]}"; do
    pretrain "$net" Cifar20                         # one of 20 super-classes
    for class in "${CIFAR20_CLASSES[@]}"; do forget full_class "$net" Cifar20 "-forget_class $class" "${SEEDS[*]}"; done
    # one of the 100 fine classes within its super-class
    for class in "${CIFAR100_CLASSES[@]}"; do forget sub_class "$net" Cifar20 "-forget_class $class" "${SEEDS[*]}"; done
    pretrain "$net" Cifar100                        # one of 100 classes
    for class in "${CIFAR100_CLASSES[@]}"; do forget full_class "$net" Cifar100 "-forget_class $class" "${SEEDS[*]}"; done
    pretrain "$net" Cifar10                         # random images
    forget random "$net" Cifar10 "-forget_perc $FORGET_PERC" "${SEEDS[*]}"
    for count in "${POISONED[@]}"; do for kind in patch label; do heal "$net" Cifar10 $kind "$count" "${KNOWN[*]}" "${SEEDS[*]}"; done; done
  done
  pretrain ResNet18 PinsFaceRecognition             # one of 105 faces
  for class in "${FACES[@]}"; do forget full_class ResNet18 PinsFaceRecognition "-forget_class $class" "${SEEDS[*]}"; done
}

demo() {
  local digit net=ResNet18Slim
  pretrain $net Digits
  pretrain $net DigitShapes
  for digit in "${DEMO_DIGITS[@]}"; do forget full_class $net Digits "-forget_class $digit" "${DEMO_SEEDS[*]}"; done
  for digit in "${DEMO_DIGITS[@]}"; do forget sub_class $net DigitShapes "-forget_class $digit" "${DEMO_SEEDS[*]}"; done
  forget random $net Digits "-forget_perc $DEMO_PERC" "${DEMO_SEEDS[*]}"
  heal $net Digits patch $DEMO_POISONED "${DEMO_KNOWN[*]}" "${DEMO_SEEDS[*]}"
}

FLAGS="" SWEEP=() BAD_TEACHER="" NTK=""
[ "${BASH_SOURCE[0]}" = "$0" ] || return 0          # experiments/ takes the functions alone
case ${1:-} in
  demo | cpu | [0-9]* | ray=?*) ;;
  *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p;}' "$0" >&2; exit 2 ;;
esac
cd "$(dirname "$0")"
if [ -z "${PYTHON:-}" ]; then
  PYTHON=python3
  if [ -x .venv/bin/python ]; then PYTHON=.venv/bin/python; fi
fi
command -v "$PYTHON" > /dev/null || fail "there is no $PYTHON; run 'make demo' once, or name another with PYTHON=..."
case $PROTOCOL in paper | released) ;; *) fail "PROTOCOL=$PROTOCOL: it is paper or released" ;; esac
for name in DATA RESULTS; do
  [ ! -e "${!name}" ] || [ -d "${!name}" ] || fail "$name=${!name} is a file; name a folder"
  case ${!name} in *$'\n'*) fail "$name: the name of a folder with a line break cannot be put into a line" ;; esac
done
case $1 in
  demo) COMMON="" RESULTS=results/demo FLAGS="-wandb disabled" SWEEP=(--jobs 2); grid=demo
    BAD_TEACHER="-set batch_size=16 " NTK="-set images=50 "  # of 1,442 images 256 at a time would be 3 steps; NTK in seconds
    # One thread and AVX2 kernels: the same networks, and so the README's numbers, on every x86 CPU.
    export OMP_NUM_THREADS=1 ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_CBWR=COMPATIBLE ;;
  cpu) COMMON="-data $(quoted "$DATA") -protocol $PROTOCOL"; grid=paper ;;
  [0-9]*) COMMON="-data $(quoted "$DATA") -protocol $PROTOCOL -gpu" SWEEP=(--gpus "$1"); grid=paper ;;
  ray=?*) COMMON="-data $(quoted "$DATA") -protocol $PROTOCOL -gpu" SWEEP=(--ray "${1#ray=}"); grid=paper ;;
esac
status=0
$grid | "$PYTHON" sweep.py ${SWEEP[@]+"${SWEEP[@]}"} "${@:2}" || status=$?  # a failed run does not keep the others from the report
case "$status $* " in *" --dry-run "*) ;; [01]" "*) "$PYTHON" report.py "$RESULTS" || status=1 ;; esac
exit $status
