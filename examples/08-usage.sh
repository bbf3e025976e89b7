#!/usr/bin/env bash
# Prints a Subscription, and a UsageReport about the last hour as a gateway writes it. The report needs the current
# time, so this is a script and not a manifest.
#
#   examples/08-usage.sh | kubectl apply -f -
#
# On public nodes, 12 GB of egress cost 120 credits, and 250,000 tokens cost 250. Of starter's 1,100 credits, 730 are
# left.
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
