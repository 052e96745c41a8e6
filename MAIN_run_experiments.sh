#!/usr/bin/env bash
# The paper's experiments, each a command line for sweep.py. What is done is not done again.
#
#   ./MAIN_run_experiments.sh 0          the whole grid on GPU 0
#   ./MAIN_run_experiments.sh 0,1,2,3    spread over four GPUs (needs requirements-cluster.txt)
#   ./MAIN_run_experiments.sh ray=auto   over all GPUs of a Ray cluster (auto, or host:port)
#   ./MAIN_run_experiments.sh cpu        the same on the CPU, for the patient
#   ./MAIN_run_experiments.sh demo       two digits and eight methods, on the CPU in three minutes
#   ./MAIN_run_experiments.sh demo-all   all tasks and methods on digits, on the CPU in ten minutes
#
# Flags after it go to sweep.py: --dry-run says what is to be done and how long it takes,
# --jobs-per-gpu 2 shares a GPU.
# From the environment: PROTOCOL (paper or released), DATA and RESULTS (folders), and PYTHON
# (else that of .venv).
set -euo pipefail

# Of the unlearning; one trained network serves them all.
SEEDS=(0 1 2)
NETS=(ResNet18 ViT)
METHODS=(baseline retrain finetune bad_teacher amnesiac unsir fisher ntk ssd lfssd assd alfssd
  jit scrub salun neggrad_plus l1_sparse)
CIFAR20_CLASSES=(vehicle2 veg people electrical_devices natural_scenes)
# Also the sub-classes of CIFAR-20.
CIFAR100_CLASSES=(rocket mushroom baby lamp sea)
# Pins' folders by number.
FACES=(1 10 20 30 40)
# 83 of CIFAR-10's 50,000 images.
FORGET_PERC=0.00165
# Of CIFAR-10's images: so many bear a trigger, or so many a wrong label.
POISONED=(100 500 1000)
# The share of them that is known.
KNOWN=(0.01 0.1 0.5 1)

DEMO_METHODS=(baseline retrain finetune ssd lfssd assd alfssd bad_teacher)
# Why these two: docs/results.md.
DEMO_DIGITS=(0 2)
DEMO_SEEDS=(0)
DEMO_ALL_SEEDS=(0 1)
# 29 of 1,442 images.
DEMO_PERC=0.02
DEMO_POISONED=50
# The first: two images, which BatchNorm needs.
DEMO_KNOWN=(0.04 0.2 1)
# Of 1,442 images 256 at a time would be 3 steps for the teacher. NTK is to take seconds.
DEMO_SETTINGS=("bad_teacher -set batch_size=16" "ntk -set images=50")

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
DATA=${DATA:-data}
RESULTS=${RESULTS:-results}
PROTOCOL=${PROTOCOL:-paper}
# Flags of all lines, flags of the forgetting lines, a method's own flags.
COMMON="" FLAGS="" SETTINGS=()

fail() {
  echo "error: $1" >&2
  exit 2
}

# quoted TEXT: as a word of a line that sweep.py reads (it cannot read the $'...' of printf %q).
quoted() {
  local quote="'\\''"
  echo "'${1//\'/$quote}'"
}

# ask_the_tables: what the tables of methods and tasks say, by sweeps/grid.py.
ask_the_tables() {
  if [ -z "${PYTHON:-}" ]; then
    PYTHON=python3
    if [ -x "$ROOT/.venv/bin/python" ]; then PYTHON=$ROOT/.venv/bin/python; fi
  fi
  command -v "$PYTHON" > /dev/null ||
    fail "there is no $PYTHON; run 'make demo' once, or name another with PYTHON=..."
  FACTS=$(PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}" "$PYTHON" -m sweeps.grid)
  # Those that heal corrupted data.
  read -r -a HEALERS <<< "$(sed -n 's/^.* \(.*\) heals$/\1/p' <<< "$FACTS" | tr '\n' ' ')"
}

# holds TASK METHOD FACT, holds NET METHOD FACT: whether the tables say so.
holds() {
  [[ $'\n'$FACTS$'\n' == *$'\n'"$*"$'\n'* ]]
}

# settings_of METHOD: its flags in SETTINGS, with a space after them.
settings_of() {
  local entry
  for entry in ${SETTINGS[@]+"${SETTINGS[@]}"}; do
    if [ "${entry%% *}" = "$1" ]; then echo "${entry#* } "; fi
  done
}

# pretrain NET DATASET FLAGS...
pretrain() {
  echo "pretrain_model.py -net $1 -dataset $2 ${*:3} $COMMON"
}

# forget TASK NET DATASET WHAT SEEDS: what is forgotten, by all METHODS that can and with all seeds.
forget() {
  local method seeds seed words
  for method in "${METHODS[@]}"; do
    if holds "$1" "$method" refuses || holds "$2" "$method" too_slow; then continue; fi
    seeds=$5
    if holds "$1" "$method" once; then seeds=${5%% *}; fi
    for seed in $seeds; do
      words="-net $2 -dataset $3 $4 -method $method $(settings_of "$method")-seed $seed"
      echo "forget_$1_main.py $words -results $(quoted "$RESULTS") $FLAGS $COMMON"
    done
  done
}

# forget_classes TASK NET DATASET SEEDS CLASS...: each of the classes.
forget_classes() {
  local class
  for class in "${@:5}"; do forget "$1" "$2" "$3" "-forget_class $class" "$4"; done
}

# heal NET DATASET CORRUPTION COUNT SEEDS SHARE...: corrupted data, of which each share is known.
heal() {
  local share METHODS=("${HEALERS[@]}") poison="-corruption $3 -corrupt_count $4"
  pretrain "$1" "$2" "$poison"
  for share in "${@:6}"; do forget corrupted "$1" "$2" "$poison -known_share $share" "$5"; done
}

paper() {
  local net count kind seeds="${SEEDS[*]}"
  for net in "${NETS[@]}"; do
    # One of 20 super-classes, and one of the 100 fine classes within its super-class.
    pretrain "$net" Cifar20
    forget_classes full_class "$net" Cifar20 "$seeds" "${CIFAR20_CLASSES[@]}"
    forget_classes sub_class "$net" Cifar20 "$seeds" "${CIFAR100_CLASSES[@]}"
    # One of 100 classes.
    pretrain "$net" Cifar100
    forget_classes full_class "$net" Cifar100 "$seeds" "${CIFAR100_CLASSES[@]}"
    # Random images, and corrupted ones.
    pretrain "$net" Cifar10
    forget random "$net" Cifar10 "-forget_perc $FORGET_PERC" "$seeds"
    for count in "${POISONED[@]}"; do
      for kind in patch label; do heal "$net" Cifar10 $kind "$count" "$seeds" "${KNOWN[@]}"; done
    done
  done
  # One of 105 faces.
  pretrain ResNet18 PinsFaceRecognition
  forget_classes full_class ResNet18 PinsFaceRecognition "$seeds" "${FACES[@]}"
}

demo() {
  local METHODS=("${DEMO_METHODS[@]}") net=ResNet18Slim
  pretrain $net Digits
  forget_classes full_class $net Digits "${DEMO_SEEDS[*]}" "${DEMO_DIGITS[@]}"
}

demo_all() {
  local net=ResNet18Slim seeds="${DEMO_ALL_SEEDS[*]}"
  pretrain $net Digits
  pretrain $net DigitShapes
  forget_classes full_class $net Digits "$seeds" "${DEMO_DIGITS[@]}"
  forget_classes sub_class $net DigitShapes "$seeds" "${DEMO_DIGITS[@]}"
  forget random $net Digits "-forget_perc $DEMO_PERC" "$seeds"
  heal $net Digits patch $DEMO_POISONED "$seeds" "${DEMO_KNOWN[@]}"
}

# same_everywhere: one thread and AVX2 kernels, and so the same networks and scores on every x86 CPU.
same_everywhere() {
  export OMP_NUM_THREADS=1 ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_CBWR=COMPATIBLE
}

# The grids of experiments/ source this file for its functions.
if [ "${BASH_SOURCE[0]}" != "$0" ]; then
  ask_the_tables
  return 0
fi

cd "$ROOT"
where=${1:-}
on_data="-data $(quoted "$DATA") -protocol $PROTOCOL"
grid=paper sweep_flags=() report_flags=()
case $where in
  demo | demo-all)
    grid=${where/-/_} RESULTS=results/$where FLAGS="-wandb disabled" sweep_flags=(--jobs 2)
    SETTINGS=("${DEMO_SETTINGS[@]}")
    same_everywhere
    ;;
  cpu) COMMON=$on_data ;;
  [0-9]*) COMMON="$on_data -gpu" sweep_flags=(--gpus "$where") ;;
  ray=?*) COMMON="$on_data -gpu" sweep_flags=(--ray "${where#ray=}") ;;
  *)
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p;}' "$0" >&2
    exit 2
    ;;
esac
if [ "$where" = demo ]; then report_flags=(--brief --html "$RESULTS/report.html"); fi
case $PROTOCOL in
  paper | released) ;;
  *) fail "PROTOCOL=$PROTOCOL: it is paper or released" ;;
esac
for name in DATA RESULTS; do
  [ ! -e "${!name}" ] || [ -d "${!name}" ] || fail "$name=${!name} is a file; name a folder"
  if [[ ${!name} == *$'\n'* ]]; then
    fail "$name: the name of a folder with a line break cannot be put into a line"
  fi
done
ask_the_tables

status=0
$grid | "$PYTHON" sweep.py ${sweep_flags[@]+"${sweep_flags[@]}"} "${@:2}" || status=$?
# A run that failed (1) does not keep the others from the report.
if [ $status -gt 1 ] || [[ " $* " == *" --dry-run "* ]]; then exit $status; fi
"$PYTHON" report.py "$RESULTS" ${report_flags[@]+"${report_flags[@]}"} || status=1
exit $status
