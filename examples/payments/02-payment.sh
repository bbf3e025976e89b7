#!/usr/bin/env bash
# Prints a Payment for an invoice of a Subscription, with the amount and currency of the invoice. Without INVOICE it
# takes the oldest open invoice.
#
#   examples/payments/02-payment.sh SUBSCRIPTION Settled|Failed|Cancelled|Refunded [INVOICE] | kubectl apply -f -
#
# The name of the Payment has the invoice and the state, so applying it again has no effect. If a provider reports
# events, name it after the event instead. Set NAMESPACE to use another namespace than the current one.
set -euo pipefail

usage() { echo "usage: ${0##*/} SUBSCRIPTION Settled|Failed|Cancelled|Refunded [INVOICE]" >&2; exit 2; }
(( $# == 2 || $# == 3 )) || usage
subscription=$1 state=$2 wanted=${3:-}
case $state in Settled | Failed | Cancelled | Refunded) ;; *) usage ;; esac
if [[ $state == Refunded && -z $wanted ]]; then
  echo "a refund must name its INVOICE: there is no open one to take" >&2
  exit 2
fi

invoices=$(kubectl ${NAMESPACE:+--namespace "$NAMESPACE"} get subscriptions.billing.flashgate.dev "$subscription" -o jsonpath='{range .status.invoices[*]}{.number} {.amount} {.currency} {.state}{"\n"}{end}')
while read -r number amount currency now; do
  if [[ $number == "$wanted" || ( -z $wanted && $now == Open ) ]]; then
    cat <<MANIFEST
apiVersion: billing.flashgate.dev/v1alpha1
kind: Payment
metadata:
  name: $number-$(tr '[:upper:]' '[:lower:]' <<<"$state")
spec:
  subscriptionRef: {name: $subscription}
  invoice: $number
  state: $state
  amount: "$amount"
  currency: $currency
  reference: by hand
MANIFEST
    exit
  fi
done <<<"$invoices"
echo "Subscription '$subscription' shows no ${wanted:-open} invoice: must be one of its status.invoices" >&2
exit 1
