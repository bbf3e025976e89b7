#!/usr/bin/env bash
# Prints a folder with `verdicts` (see main.go) and definitions/, the CRDs of Argo CD, Flux, Prometheus and the Gateway API.
#
# Both come from Go modules and are built once for each set of pinned versions. Progress goes to standard error.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

fail() { echo "control-plane: $*" >&2; exit 1; }

key="gitops-$(cat ./*.go go.mod go.sum definitions.txt | sha256sum | cut -c1-8)"
folder="${XDG_CACHE_HOME:-$HOME/.cache}/flashgate-billing/control-plane/$key"

# A module is used only if it has the pinned hash.
fetch_definition() {
  local module=$1 hash=$2 path=$3 fetched
  fetched=$(cd / && GOFLAGS=-mod=mod go mod download -json "$module") || fail "$module could not be fetched: $fetched"
  [[ $fetched == *"\"Sum\": \"$hash\""* ]] || fail "$module must have the hash $hash: $fetched"
  cp "$(sed -n 's/.*"Dir": "\(.*\)".*/\1/p' <<<"$fetched")/$path" "$unfinished/definitions/"
}

make_in() {
  unfinished=$1
  mkdir -p "$unfinished/definitions"
  local module hash path
  while read -r module hash path; do
    [[ $module == \#* ]] || fetch_definition "$module" "$hash" "$path"
  done <definitions.txt
  chmod -R u+w "$unfinished"
  echo 'control-plane: building verdicts (some minutes the first time)' >&2
  CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$unfinished/verdicts" . >&2
}

if [[ ! -d $folder ]]; then
  command -v go >/dev/null || fail "go was not found; Go $(sed -n 's/^go //p' go.mod) or later must be installed"
  mkdir -p "${folder%/*}"
  exec 9>"$folder.lock"
  flock 9
  # Another process can have built it before this one got the lock.
  if [[ ! -d $folder ]]; then
    trap 'rm -rf -- "$folder.unfinished"' EXIT
    rm -rf -- "$folder.unfinished"
    make_in "$folder.unfinished"
    mv "$folder.unfinished" "$folder"
  fi
fi
echo "$folder"
