#!/usr/bin/env bash
# The demo: billing on a real API server, from `kubectl apply` to balances, usage from Prometheus, a history of months,
# and the page for customers. `make demo` starts a private control plane for it. It also runs on any cluster of
# KUBECONFIG that has no operator yet.
#
#   demo/run.sh PATH/TO/flashgate-billing
#
# In a terminal, or with KEEP=1, it serves the page until Ctrl+C. PORT is the port of the page; any free one by default.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

program=$1
folder=$(mktemp -d)
history=sqlite:$folder/history.db
catalog=$folder/catalog.yaml
processes=()

bold='' plain=''
if [[ -t 1 ]]; then bold=$'\033[1m' plain=$'\033[0m'; fi
title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
show() { printf '%s$ %s%s\n' "$bold" "$*" "$plain"; }
# Prints a command, then runs it.
run() { show "$@"; "$@"; }

end() {
  local code=$?
  if (( code != 0 && code != 130 )); then
    title 'The demo failed. The last lines of its processes:'
    tail -n 5 "$folder"/*.log 2>/dev/null || true
  fi
  for process in "${processes[@]}"; do kill "$process" 2>/dev/null || true; done
  wait
  rm -rf "$folder"
  exit "$code"
}
trap end EXIT
trap 'exit 130' INT TERM

# Starts a command of the program in the background. Its log is the file $1.log of the folder.
start() {
  local name=$1
  shift
  show "flashgate-billing $* &" | sed "s|$folder/||g"
  "$program" "$@" >"$folder/$name.log" 2>&1 &
  processes+=($!)
}

# Waits until the command $2... succeeds, for at most a minute. $1 says what is awaited.
await() {
  local what=$1 deadline=$(( SECONDS + 60 ))
  shift
  until "$@" >"$folder/await.log" 2>&1; do
    (( SECONDS < deadline )) || { echo "not true within a minute: $what" >&2; cat "$folder/await.log" >&2; return 1; }
    sleep 0.2
  done
}

# A copy of the kubeconfig, so that the default namespace below is set for this demo only.
kubectl config view --raw --flatten --minify >"$folder/kubeconfig"
export KUBECONFIG=$folder/kubeconfig

title '1. Install the CRDs and the operator'
run kubectl apply --server-side -f crds/
kubectl wait --for=condition=Established --timeout=60s -f crds/ >/dev/null
run kubectl create namespace examples
kubectl config set-context --current --namespace examples >/dev/null
start examples run --namespace examples --history "$history" --metrics-addr 127.0.0.1:0

title '2. Apply Subscriptions, packs and usage'
for example in examples/[0-9]*.yaml; do
  run kubectl apply -f "$example"
done
# Usage has a time, so a script prints the manifests.
show 'examples/08-usage.sh | kubectl apply -f -'
examples/08-usage.sh | kubectl apply -f -

title '3. Wait for conditions and states'
run kubectl wait --for=condition=Ready --timeout=60s subscriptions.billing.flashgate.dev --all
run kubectl wait --for=jsonpath='{.status.state}' --timeout=60s creditpacks,usagereports --all

title '4. Show the balances'
run kubectl get subscriptions.billing.flashgate.dev
title '   packs and usage'
run kubectl get creditpacks
run kubectl get usagereports
title '   and the ledgers, which the statuses are derived from'
run kubectl get creditledgers

mapfile -t refused < <(kubectl get creditpacks --field-selector status.state=Refused -o name)
if (( ${#refused[@]} > 0 )); then
  title '5. A refusal has its reason and the remedy'
  run kubectl describe "${refused[0]}"
fi

. demo/meter.sh
. demo/page.sh
