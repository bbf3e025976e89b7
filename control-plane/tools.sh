#!/usr/bin/env bash
# Prints a folder with helm, helm-unittest and helm-docs, for the tests of the chart.
#
# A Go module below tools/ pins each program, because their dependencies differ. They are built once into the cache for
# each set of versions. Progress goes to standard error.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/tools"

programs=(helm helm-unittest helm-docs)
# The linker variable for the version of each program that does not read it from its build information.
declare -A version_flag=(
  [helm]=helm.sh/helm/v4/internal/version.version
  [helm-unittest]=github.com/helm-unittest/helm-unittest/internal/build.version
  [helm-docs]=main.version
)

say() { echo "control-plane: $*" >&2; }
fail() { say "$*"; exit 1; }

package_of() { sed -n 's/^tool //p' "$1/go.mod"; }
version_of() {
  local module
  module=$(package_of "$1")
  sed -n "s|^[[:space:]]*${module%/cmd/*} v\([^ ]*\).*|\1|p" "$1/go.mod" | head -n 1
}

# A readable key that changes with each pinned module.
key="helm-$(version_of helm)-$(cat ./*/go.mod ./*/go.sum | sha256sum | cut -c1-8)"
folder="${XDG_CACHE_HOME:-$HOME/.cache}/flashgate-billing/control-plane/$key"

missing() {
  local program
  for program in "${programs[@]}"; do
    [[ -x $folder/$program ]] || echo "$program"
  done
}

build() {
  local program=$1 version started=$SECONDS
  version=$(version_of "$program")
  say "building $program $version (some minutes the first time)"
  unfinished="$folder/.$program.unfinished.$$"
  (cd "$program" && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X ${version_flag[$program]}=v$version" \
    -o "$unfinished" "$(package_of .)") >&2 9>&- || fail "building $program failed, see above"
  mv "$unfinished" "$folder/$program"
  say "built $program in $((SECONDS - started)) s"
}

if [[ -n $(missing) ]]; then
  command -v go >/dev/null || fail "go was not found; Go $(sed -n 's/^go //p' helm/go.mod) or later must be installed"
  mkdir -p "$folder"
  # Two builds at once are not faster.
  exec 9>"$folder/.lock"
  flock -n 9 || { say 'another build is running, waiting for it'; flock 9; }
  trap 'rm -f -- "${unfinished:-}"' EXIT
  for program in $(missing); do build "$program"; done
  exec 9>&-
fi
echo "$folder"
