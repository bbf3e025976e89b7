#!/usr/bin/env bash
# Fills the account `acme` of the current namespace with the first half of 2026: usage of each day, renewals, packs, an
# adjustment, an upgrade and payments. It applies the manifests of demo/acme/ and demo/usage.sh, and moves the test clock
# of the account. The operator must allow test clocks in the namespace, and have external payments.
#
#   demo/months.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. demo/days.sh

account=subscriptions.billing.flashgate.dev/acme

apply() { kubectl apply --filename "$1" >/dev/null; }
await() { kubectl wait --timeout=60s --for=jsonpath="$2" "$1" >/dev/null; }
clock() { kubectl annotate --overwrite "$account" billing.flashgate.dev/test-clock="$1" >/dev/null; }

# Prints the balance as it is after the last commit of the ledger.
show() {
  await "$account" "{.status.ledger.sequence}=$(kubectl get creditledgers acme --output jsonpath='{.spec.sequence}')"
  local columns='TIME:.metadata.annotations.billing\.flashgate\.dev/test-clock,PLAN:.status.plan'
  columns+=,BALANCE:.status.credits.balance
  kubectl get "$account" --no-headers --output custom-columns="$columns" |
    while read -r time plan balance; do printf '%-20s  %-8s %10s  %s\n' "$time" "$plan" "$balance" "$1"; done
}

# Settles the open invoice, as a payment provider reports it.
pay() {
  local payment
  await "$account" '{.status.invoices[?(@.state=="Open")].state}=Open'
  payment=$(examples/payments/02-payment.sh acme Settled | kubectl apply --filename - --output name)
  await "$payment" '{.status.state}=Applied'
}

# Reports each day from $1 to $2, with the usage $3. The clock moves by $4 days at a time, to the end of the last of them:
# a step of one day shows each day in the balance.
use() {
  local day=$1 last
  while [[ ! $day > $2 ]]; do
    last=$(day_after "$day" $(( $4 - 1 )))
    [[ ! $last > $2 ]] || last=$2
    clock "$(day_after "$last" 1)T00:00:00Z"
    demo/usage.sh "$day" "$last" "$3" | kubectl create --filename - >/dev/null
    await "usagereports/acme-gw-eu-1-$last" '{.status.state}=Charged'
    day=$(day_after "$last" 1)
  done
}

# Pays for the period $1, which begins where the usage ended.
renew() {
  pay
  await "$account" "{.status.period.number}=$1"
  show "period $1 is paid"
}

printf '%-20s  %-8s %10s\n' TIME PLAN BALANCE
apply demo/acme/01-subscription.yaml
pay
await "$account" '{.status.plan}=starter'
show 'the first period is paid'
use 2026-01-31 2026-02-20 105 7
apply demo/acme/02-pack.yaml
pay
await creditpacks/acme-february '{.status.state}=Granted'
show 'a pack of 500 credits is bought'
use 2026-02-21 2026-02-27 140 7
renew 2
use 2026-02-28 2026-03-12 80 7
apply demo/acme/03-adjustment.yaml
await creditadjustments/outage-2026-03-12 '{.status.state}=Granted'
show 'an outage is compensated'
use 2026-03-13 2026-03-30 110 7
renew 3
use 2026-03-31 2026-04-19 170 7
apply demo/acme/04-upgrade.yaml
pay
await "$account" '{.status.plan}=growth'
show 'an upgrade begins a new period'
use 2026-04-20 2026-05-19 620 7
renew 5
use 2026-05-20 2026-06-19 800 7
renew 6
use 2026-06-20 2026-07-08 1400 1
apply demo/acme/05-open-pack.yaml
await "$account" '{.status.invoices[?(@.state=="Open")].state}=Open'
show 'a pack is ordered: its invoice is open'
