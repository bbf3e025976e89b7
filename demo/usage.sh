#!/usr/bin/env bash
# Prints a UsageReport for each day from FIRST to LAST, as a gateway writes them: tokens of models and egress of buckets,
# by repository and workspace. LEVEL is the usage of a day in percent of that of a small team, about 35 credits. The same
# days give the same usage.
#
#   demo/usage.sh FIRST LAST LEVEL | kubectl apply -f -
set -euo pipefail

(( $# == 3 )) || { echo "usage: ${0##*/} FIRST LAST LEVEL, such as 2026-02-01 2026-02-07 100" >&2; exit 2; }
# shellcheck source=demo/days.sh
. "$(dirname "${BASH_SOURCE[0]}")/days.sh"
level=$3

for (( at = $(seconds_of "$1"); at <= $(seconds_of "$2"); at += 86400 )); do
  day=$(day_of "$at") number=$(( at / 86400 ))
  # Weekends are quiet: 1970-01-01 was a Thursday. The rest varies by day.
  share=100
  (( (number + 3) % 7 < 5 )) || share=35
  vary() { echo $(( level * share * (70 + number * $1 % 61) / 100 )); }
  cat <<MANIFEST
---
apiVersion: billing.flashgate.dev/v1alpha1
kind: UsageReport
metadata:
  name: acme-gw-eu-1-$day
spec:
  subscriptionRef: {name: acme}
  source: gw-eu-1
  window: {startTime: "${day}T00:00:00Z", endTime: "$(day_after "$day" 1)T00:00:00Z"}
  usage:
  - nodeType: Public
    operation: TokensOut
    quantity: $(( $(vary 7919) * 140 / 100 ))
    labels: {repo: support-bot, workspace: assist, model: llama-3.3-70b, provider: meta}
  - nodeType: Public
    operation: TokensOut
    quantity: $(( $(vary 6271) * 60 / 100 ))
    labels: {repo: code-search, workspace: research, model: mixtral-8x22b, provider: mistral}
  - nodeType: Private
    operation: TokensOut
    quantity: $(( $(vary 4733) * 1000 / 100 ))
    labels: {repo: contracts, workspace: legal, model: qwen-2.5-32b, provider: private}
  - nodeType: Public
    operation: StorageEgress
    quantity: $(( $(vary 3571) * 70 ))k
    labels: {repo: media, workspace: studio, bucket: videos}
  - nodeType: Private
    operation: StorageEgress
    quantity: $(( $(vary 2741) * 200 ))k
    labels: {repo: backups, workspace: platform, bucket: archive}
MANIFEST
done
