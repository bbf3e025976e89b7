#!/usr/bin/env bash
# Shows that the campaign can fail: applies each patch of tests/mutants that is named, or every one, to a copy of what
# Git knows here, plays the campaign there until its first violation, and fails where it finds none.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

say() { printf '\n==> %s\n' "$*"; }

mutants=("$@")
(( $# > 0 )) || mutants=(conflict-taken-for-success payment-not-kept-with-its-invoice receipts-dropped-before-they-are-confirmed)
# Always the same place: what was built there is not built again.
copy=${CARGO_TARGET_DIR:-$PWD/target}/broken
rm -rf "$copy"
mkdir -p "$copy"
log=$(mktemp)
trap 'rm -rf "$copy" "$log"' EXIT
git ls-files -z --cached --others --exclude-standard | tar --create --null --files-from - | tar --extract --directory "$copy"

survivors=()
for mutant in "${mutants[@]}"; do
  patch=$PWD/tests/mutants/$mutant.patch
  say "$mutant: $(head -n 1 "$patch")"
  patch --quiet --directory "$copy" --strip 1 <"$patch"
  (cd "$copy" && cargo build --bin flashgate-billing --test campaign)
  if (cd "$copy" && cargo test --quiet --test campaign -- --stop) >"$log" 2>&1; then
    survivors+=("$mutant")
    tail -n 3 "$log"
  elif ! grep -A 4 '^VIOLATED ' "$log" && ! grep 'without faults: ' "$log"; then
    # Neither all is well nor is anything violated: the campaign itself has failed.
    cat "$log"
    exit 1
  fi
  patch --quiet --directory "$copy" --strip 1 --reverse <"$patch"
done

(( ${#survivors[@]} == 0 )) || { say "not caught: ${survivors[*]}"; exit 1; }
say "${#mutants[@]} of ${#mutants[@]} broken builds were caught"
