#!/usr/bin/env bash
# Runs each fuzz target for SECONDS. Inputs that reach new code are kept in the user's cache for the next run. An input
# that fails is stored in fuzz/artifacts, and the script exits with 1: fix the bug, and add the input to fuzz/corpus,
# which the suite reads.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
seconds=${1:?usage: run.sh SECONDS}
version=0.13.1

say() { printf '\n==> %s\n' "$*"; }

cache="${XDG_CACHE_HOME:-$HOME/.cache}/flashgate-billing"
tools="$cache/tools"
export PATH="$tools/bin:$PATH"
if [[ $(cargo fuzz --version 2>/dev/null) != "cargo-fuzz $version" ]]; then
  say "installing cargo-fuzz $version into $tools (about 2 minutes the first time)"
  CARGO_TARGET_DIR="$tools/target" cargo install --locked cargo-fuzz --version "$version" --root "$tools"
  rm -rf "$tools/target"
fi
# A separate target folder, because every dependency is built with other flags.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$cache/target}/fuzz"
# Sanitizers need a nightly compiler, and safe Rust prevents the bugs that they find.
flags=(--sanitizer none --dev)

say 'building the fuzz targets (about 10 minutes the first time)'
cargo fuzz build "${flags[@]}"
for target in fuzz_targets/*.rs; do
  target=$(basename "$target" .rs)
  say "fuzzing $target for $seconds seconds"
  mkdir -p "$cache/fuzz/$target"
  cargo fuzz run "${flags[@]}" "$target" "$cache/fuzz/$target" "corpus/$target" -- \
    "-max_total_time=$seconds" -timeout=10 -print_final_stats=1 -print_funcs=0 -verbosity=0
done
