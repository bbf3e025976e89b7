#!/usr/bin/env bash
# The demo: billing on a real API server, from `kubectl apply` to balances. `make demo` starts a private control plane
# for it. It also runs on any cluster of KUBECONFIG that has no operator yet.
#
#   demo/run.sh PATH/TO/flashgate-billing
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

operator=$1
namespace=demo
folder=$(mktemp -d)
log=$folder/operator.log

bold='' plain=''
if [[ -t 1 ]]; then bold=$'\033[1m' plain=$'\033[0m'; fi
title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
show() { printf '%s$ %s%s\n' "$bold" "$*" "$plain"; }
# Prints a command, then runs it.
run() { show "$@"; "$@"; }

end() {
  local code=$?
  if (( code != 0 )) && [[ -s $log ]]; then
    title 'The demo failed. The last lines of the operator:'
    tail -n 20 "$log"
  fi
  if [[ -n ${operator_process:-} ]]; then
    kill "$operator_process" 2>/dev/null || true
    wait "$operator_process" 2>/dev/null || true
  fi
  rm -rf "$folder"
  exit "$code"
}
trap end EXIT
trap 'exit 130' INT TERM

# A copy of the kubeconfig, so that the default namespace below is set for this demo only.
kubectl config view --raw --flatten --minify >"$folder/kubeconfig"
export KUBECONFIG=$folder/kubeconfig

title '1. Install the CRDs and the operator'
run kubectl apply --server-side -f crds/
kubectl wait --for=condition=Established --timeout=60s -f crds/ >/dev/null
run kubectl create namespace "$namespace"
kubectl config set-context --current --namespace "$namespace" >/dev/null
show 'flashgate-billing run &'
"$operator" run >"$log" 2>&1 &
operator_process=$!

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

refused=$(kubectl get creditpacks --field-selector status.state=Refused -o name | head -n 1)
if [[ -n $refused ]]; then
  title '5. A refusal has its reason and the remedy'
  run kubectl describe "$refused"
fi

title 'The demo ran on a real kube-apiserver, which now stops. `make help` lists other targets.'
