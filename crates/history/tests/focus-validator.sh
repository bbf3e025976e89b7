#!/usr/bin/env bash
# Validates a CSV file by focus-validator 1.0.0 of PyPI, against version 1.0 of FOCUS. Fails if the file is not valid,
# and prints what the validator prints.
set -euo pipefail

file=$(realpath "$1")
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
# Version 2 of multimethod removed a function that a dependency of the validator needs.
programs=$("$root/control-plane/venv.sh" focus-validator 'focus-validator==1.0.0' 'multimethod<2')

# The validator opens its list of currencies relative to the folder of packages, and its exit code is always 0.
cd "$programs"/../lib/python3*/site-packages
output=$("$programs/focus-validator" --data-file "$file" --validate-version 1.0 2>&1) || true
grep -v ': passed' <<<"$output" || true
grep -q 'Validation succeeded' <<<"$output"
