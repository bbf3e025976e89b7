#!/usr/bin/env bash
# Signs a callback, sends it to the payment webhook, and prints the answer.
#
#   examples/payments/04-webhook.sh URL SECRET_FILE BODY_FILE
#   examples/payments/04-webhook.sh http://127.0.0.1:8081/v1/payments/default secrets/default/bank callback.json
#
# The webhook accepts callbacks that were signed with one of its secrets within the last five minutes. The signature covers
# the exact bytes of the body, so the script sends them unchanged.
set -euo pipefail

if (( $# != 3 )); then
  echo "usage: ${0##*/} URL SECRET_FILE BODY_FILE" >&2
  exit 2
fi
url=$1 body=$3
secret=$(head -n 1 "$2")
time=$(date +%s)
signature=$({ printf '%s.' "$time"; cat "$body"; } | openssl dgst -sha256 -hmac "$secret" -r)

curl --silent --show-error --fail-with-body --max-time 30 "$url" \
  --header 'Content-Type: application/json' \
  --header "Flashgate-Signature: t=$time,v1=${signature%% *}" \
  --data-binary "@$body"
