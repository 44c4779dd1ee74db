# shellcheck shell=bash
# What the tests of the engines share: the programs, the data, the undisturbed run, and the verdict. Sourced.
#
# PROGRAMS is the folder of the programs (target/release), MNIST_DIR that of real MNIST.
set -euo pipefail
root=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
programs=$(realpath "${PROGRAMS:-$root/target/release}")
mnist=$(realpath "${MNIST_DIR:?"the folder of MNIST's four files"}")
folder=$(mktemp -d)
# KEEP=1 leaves the folder, with all logs.
trap '[ "${KEEP:-}" ] || rm -rf "$folder"' EXIT
began=$(date +%s)

say() { printf '%3d s  %s\n' $(($(date +%s) - began)) "$*" >&2; }

fail() {
  say "failed: $*"
  exit 1
}

# needs PACKAGE PROGRAM...: each program that is missing is said, with Debian's package.
needs() {
  local package=$1 program
  shift
  for program in "$@"; do
    command -v "$program" >/dev/null || [ -x "$program" ] || fail "there is no $program: install $package"
  done
}

# until_true SECONDS WHAT COMMAND...: waits until a command succeeds.
until_true() {
  local deadline=$(($(date +%s) + $1)) what=$2
  shift 2
  until "$@"; do
    [ "$(date +%s)" -lt "$deadline" ] || fail "$what: not within its time"
    sleep 0.3
  done
  say "$what"
}

# digest FILE: that of the model in the last summary of a log.
digest() { sed -n 's/.*model.safetensors *sha256 *//p' "$1" | tail -n 1; }

# golden FLAG...: the digest of an undisturbed run with one local worker.
golden() {
  (cd "$folder" && env MNIST_DIR="$mnist" "$programs/coordinator" --workers 1 --local --checkpoint-dir golden "$@" \
    >golden.log 2>&1) || fail "the undisturbed run: $(tail -n 3 "$folder/golden.log")"
  digest "$folder/golden.log"
}

# steps FOLDER: the newest checkpoint's step, 0 if there is none.
steps() {
  local newest
  newest=$(find "$1" -maxdepth 1 -name 'step-*' 2>/dev/null | sort | tail -n 1)
  newest=${newest##*step-}
  echo $((10#${newest:-0}))
}

# reached FOLDER STEP: whether a checkpoint of this step or a later one is there.
reached() { [ "$(steps "$1")" -ge "$2" ]; }

# verdict ENGINE EXPECTED GOT: the line of the test.
verdict() {
  local word=equal
  [ -n "$2" ] && [ "$2" = "$3" ] || word=different
  echo "$1: $word, undisturbed $2, with the faults $3, in $(($(date +%s) - began)) s"
  [ $word = equal ]
}

# venv PACKAGE...: the Python of an environment with these packages, made once in target/engines-venv or
# ENGINES_VENV.
venv() {
  local environment=${ENGINES_VENV:-$root/target/engines-venv}
  [ -x "$environment/bin/python" ] || python3 -m venv "$environment" >&2
  "$environment/bin/pip" install --quiet --disable-pip-version-check "$@" >&2 || fail "pip can't install $*"
  echo "$environment/bin/python"
}
