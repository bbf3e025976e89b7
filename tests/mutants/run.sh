#!/usr/bin/env bash
# Runs mutation tests. Applies each named patch of this folder, or all, to a copy of the files that Git tracks. Runs the
# tests that the line `Killer:` of the patch names, and fails if they pass. Prints a table row for each patch. `--by
# KILLER` replaces the line `Killer:`: gate, ledger, meter, simulator, campaign, 'unit FILTER', or 'suite FILTER'.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

by=
if [[ ${1:-} == --by ]]; then
  by=$2
  shift 2
fi
mutants=("$@")
(( $# > 0 )) || mapfile -t mutants < <(basename --suffix .patch --multiple tests/mutants/*.patch)

# Mutants have their own target folder, because cargo would reuse their builds for the checkout.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}-mutants
# The path is always the same, so that cargo reuses earlier builds.
copy=$CARGO_TARGET_DIR/source
rm -rf "$copy"
mkdir -p "$copy"
log=$(mktemp)
trap 'rm -rf "$copy" "$log"' EXIT
git ls-files -z --cached --others --exclude-standard | tar --create --null --files-from - | tar --extract --directory "$copy"

# Runs the tests of a killer. With --no-run, only builds them.
kill_by() {
  local killer=$1
  shift
  case $killer in
    gate) cargo test --package flashgate-gate "$@" ;;
    ledger) cargo test --package flashgate-ledger "$@" ;;
    meter) cargo test --package flashgate-meter "$@" ;;
    'unit '*) cargo test --workspace --exclude flashgate-ledger --lib "$@" -- "${killer#unit }" ;;
    simulator) cargo test --test simulator "$@" -- --seeds 5000 --failures stop ;;
    campaign) cargo test --test campaign "$@" -- --stop ;;
    'suite '*) cargo test --test suite "$@" -- "${killer#suite }" ;;
    *) echo "'$killer' is no killer: must be gate, ledger, meter, simulator, campaign, or unit or suite with a filter" >&2; return 2 ;;
  esac
}

# Prints the output about the first failed test.
victim() {
  grep --max-count 1 --only-matching --perl-regexp '^test \K\S+(?= \.\.\. FAILED$)|^VIOLATED \K.*|^(seed \d+): \K.*' "$log" ||
    grep --max-count 1 'without faults: ' "$log"
}

survivors=()
echo '| mutation | killed by | seconds |'
echo '|---|---|---|'
for mutant in "${mutants[@]}"; do
  patch=$PWD/tests/mutants/$mutant.patch
  killer=${by:-$(sed -n 's/^Killer: //p' "$patch")}
  patch --quiet --directory "$copy" --strip 1 <"$patch"
  if ! (cd "$copy" && kill_by "$killer" --no-run) >"$log" 2>&1; then
    cat "$log"
    echo "$mutant does not build: must be an edit that compiles"
    exit 1
  fi
  begin=$SECONDS
  if (cd "$copy" && PROPTEST_MAX_SHRINK_ITERS=0 kill_by "$killer") >"$log" 2>&1; then
    # A filter that matches no test proves nothing.
    if [[ $killer == *' '* ]] && ! grep -q '^test result: ok\. [1-9]' "$log"; then
      echo "$mutant: '$killer' runs no test: correct the line 'Killer:' of its patch"
      exit 1
    fi
    survivors+=("$mutant")
    echo "| $(head -n 1 "$patch") | **survived**; must be killed by $killer | $((SECONDS - begin)) |"
  elif found=$(victim); then
    echo "| $(head -n 1 "$patch") | $killer: ${found//|/\\|} | $((SECONDS - begin)) |"
  else
    # The tests neither passed nor failed, so the killer itself failed.
    cat "$log"
    exit 1
  fi
  patch --quiet --directory "$copy" --strip 1 --reverse <"$patch"
done

if (( ${#survivors[@]} > 0 )); then
  echo "not killed: ${survivors[*]}"
  exit 1
fi
echo "${#mutants[@]} of ${#mutants[@]} were killed"
