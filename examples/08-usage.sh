#!/usr/bin/env bash
# Usage of the last hour, as a gateway reports it: prints a Subscription and a report that names it. Usage has a time,
# so this is a script and not a file.
#
#   examples/08-usage.sh | kubectl apply -f -
#
# 12 GB of egress from public nodes cost 120 credits, 250,000 tokens there 250: 730 of starter's 1,100 are left.
# expect: usagereports.billing.flashgate.dev/stark-gw-eu-1-0001 {.status.state}=Charged
# expect: usagereports.billing.flashgate.dev/stark-gw-eu-1-0001 {.status.credits}=370
# expect: subscriptions.billing.flashgate.dev/stark {.status.credits.balance}=730
set -euo pipefail

end=$(date -u +%s)
instant() { date -u -d "@$1" +%Y-%m-%dT%H:%M:%SZ 2>/dev/null || date -u -r "$1" +%Y-%m-%dT%H:%M:%SZ; }

cat <<MANIFEST
apiVersion: billing.flashgate.dev/v1alpha1
kind: Subscription
metadata:
  name: stark
spec:
  plan: starter
  startTime: "$(instant $((end - 7200)))"
---
apiVersion: billing.flashgate.dev/v1alpha1
kind: UsageReport
metadata:
  name: stark-gw-eu-1-0001
spec:
  subscriptionRef: {name: stark}
  source: gw-eu-1
  window:
    startTime: "$(instant $((end - 3600)))"
    endTime: "$(instant "$end")"
  usage:
  - {nodeType: Public, operation: StorageEgress, quantity: 12G, labels: {repo: media, bucket: video}}
  - {nodeType: Public, operation: TokensOut, quantity: 250000, labels: {model: llama-70b}}
MANIFEST
