#!/usr/bin/env bash
# Prints a folder that holds etcd, kube-apiserver, kube-controller-manager and kubectl.
#
# If KUBEBUILDER_ASSETS is set, its programs are used. envtest has no kube-controller-manager, so that is built if it is
# missing. Otherwise all are built once from go.mod of this folder into the cache. Progress goes to standard error.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

programs=(etcd kube-apiserver kube-controller-manager kubectl)
declare -A package=(
  [etcd]=go.etcd.io/etcd/server/v3
  [kube-apiserver]=k8s.io/kubernetes/cmd/kube-apiserver
  [kube-controller-manager]=k8s.io/kubernetes/cmd/kube-controller-manager
  [kubectl]=k8s.io/kubernetes/cmd/kubectl
)
declare -A first_time=(
  [etcd]='about 4 minutes' [kube-apiserver]='about 10 minutes'
  [kube-controller-manager]='about 2 minutes' [kubectl]='about a minute'
)

say() { echo "control-plane: $*" >&2; }
fail() { say "$*"; exit 1; }

version_of() { sed -n "s|^[[:space:]]*$1 v\([^ ]*\).*|\1|p" go.mod | head -n 1; }
kubernetes=$(version_of k8s.io/kubernetes)
etcd=$(version_of go.etcd.io/etcd/server/v3)
# A readable key that changes with each pinned module.
key="kubernetes-$kubernetes-etcd-$etcd-$(cat go.mod go.sum | sha256sum | cut -c1-8)"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/flashgate-billing/control-plane"

# Without a version the server reports v0.0.0, and clients fail.
linker_flags() {
  local major minor
  IFS=. read -r major minor _ <<<"$kubernetes"
  local version=k8s.io/component-base/version
  echo "-s -w -X $version.gitVersion=v$kubernetes -X $version.gitMajor=$major -X $version.gitMinor=$minor"
}

missing_in() {
  local program
  for program in "${programs[@]}"; do
    [[ -x $1/$program ]] || echo "$program"
  done
}

# Prints a line every 15 seconds, because a build without output for ten minutes looks like one that hangs.
report_time() {
  local seconds=0
  # Without output, because a remaining sleep would keep the pipe of the caller open.
  while sleep 15 >/dev/null 2>&1 && kill -0 "$$" 2>/dev/null; do
    seconds=$((seconds + 15))
    say "still building $1, $((seconds / 60)) min $((seconds % 60)) s"
  done
}

build() {
  local program=$1 folder=$2 version=$kubernetes started=$SECONDS
  [[ $program == etcd ]] && version=$etcd
  say "building $program $version (${first_time[$program]} the first time)"
  report_time "$program" >/dev/null 9>&- &
  reporter=$!
  unfinished="$folder/.$program.unfinished.$$"
  # In the background, so that a signal to this script ends it immediately.
  CGO_ENABLED=0 go build -trimpath -ldflags "$(linker_flags)" -o "$unfinished" "${package[$program]}" >&2 9>&- &
  compiler=$!
  wait "$compiler" || fail "building $program failed, see above"
  compiler=''
  kill "$reporter" && reporter=''
  mv "$unfinished" "$folder/$program"
  say "built $program in $((SECONDS - started)) s"
}

stop_building() {
  local process
  for process in ${reporter:-} ${compiler:-}; do kill "$process" 2>/dev/null || true; done
  wait
  rm -f -- "${unfinished:-}"
}

build_missing_into() {
  local folder=$1 program
  if ! command -v go >/dev/null; then
    fail "go was not found. Go $(sed -n 's/^go //p' go.mod) or later must be installed to build $(missing_in "$folder" | xargs)," \
      'or KUBEBUILDER_ASSETS must name a folder that holds them'
  fi
  # Two builds at once are not faster.
  exec 9>"$folder/.lock"
  flock -n 9 || { say 'another build is running, waiting for it'; flock 9; }
  trap stop_building EXIT
  # Removes the remains of killed builds. No other build runs now.
  rm -f -- "$folder"/.*.unfinished.*
  for program in $(missing_in "$folder"); do build "$program" "$folder"; done
  exec 9>&-
}

# A folder with links to the given programs, for the missing ones to be built into.
link_assets() {
  local assets=$1 folder program
  [[ -d $assets ]] || fail "KUBEBUILDER_ASSETS must be a folder with etcd, kube-apiserver and kubectl, but '$assets' is not a folder"
  assets=$(cd "$assets" && pwd)
  folder="$cache/with-assets-$(echo "$assets" | sha256sum | cut -c1-8)-$key"
  mkdir -p "$folder"
  for program in "${programs[@]}"; do
    [[ -x $assets/$program ]] && ln -sfn "$assets/$program" "$folder/$program"
  done
  echo "$folder"
}

if [[ -z ${KUBEBUILDER_ASSETS:-} ]]; then
  folder="$cache/$key"
elif [[ -z $(missing_in "$KUBEBUILDER_ASSETS") ]]; then
  folder=$(cd "$KUBEBUILDER_ASSETS" && pwd)
else
  folder=$(link_assets "$KUBEBUILDER_ASSETS")
fi
mkdir -p "$folder"
[[ -z $(missing_in "$folder") ]] || build_missing_into "$folder"
echo "$folder"
