#!/usr/bin/env bash
# Validates a CSV file by focus-validator 1.0.0 of PyPI, against version 1.0 of FOCUS.
#
# The validator is installed into the cache once; progress goes to standard error. Fails if the file is not valid, and
# prints what the validator prints.
set -euo pipefail

say() { echo "focus-validator: $*" >&2; }
file=$(realpath "$1")

folder="${XDG_CACHE_HOME:-$HOME/.cache}/flashgate-billing/focus-validator"
if [[ ! -e $folder/complete ]]; then
  mkdir -p "$folder"
  exec 9>"$folder/.lock"
  flock -n 9 || { say 'another installation is running, waiting for it'; flock 9; }
fi
if [[ ! -e $folder/complete ]]; then
  say 'installing focus-validator 1.0.0'
  python3 -m venv "$folder/venv" >&2
  # Version 2 of multimethod removed a function that a dependency of the validator needs.
  "$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'focus-validator==1.0.0' 'multimethod<2' >&2
  touch "$folder/complete"
fi

# The validator opens its list of currencies relative to the folder of packages, and its exit code is always 0.
cd "$folder"/venv/lib/python3*/site-packages
output=$("$folder/venv/bin/focus-validator" --data-file "$file" --validate-version 1.0 2>&1) || true
grep -v ': passed' <<<"$output" || true
grep -q 'Validation succeeded' <<<"$output"
