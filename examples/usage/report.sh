#!/usr/bin/env bash
# Reports the usage of one window. The name of the report follows from source, account and start of the window, so you
# can run it again after any error: the API server accepts a name once.
#
#   report.sh NAMESPACE ACCOUNT SOURCE START END QUANTITY
#   report.sh team-a acme gw-eu-1 2026-01-31T10:00:00Z 2026-01-31T11:00:00Z 250000
set -euo pipefail
if [ $# -ne 6 ]; then
  echo "usage: $0 NAMESPACE ACCOUNT SOURCE START END QUANTITY" >&2
  exit 2
fi
namespace=$1 account=$2 source=$3 start=$4 end=$5 quantity=$6
node_type=Public operation=TokensOut
name=$source.$account.$(tr -d ':TZ-' <<< "$start")

manifest="
apiVersion: billing.flashgate.dev/v1alpha1
kind: UsageReport
metadata: {name: \"$name\"}
spec:
  subscriptionRef: {name: \"$account\"}
  source: \"$source\"
  window: {startTime: \"$start\", endTime: \"$end\"}
  usage:
  - {nodeType: $node_type, operation: $operation, quantity: \"$quantity\"}
"
content="$account $source $start $end $node_type $operation $quantity"
fields='{.spec.subscriptionRef.name} {.spec.source} {.spec.window.startTime} {.spec.window.endTime}'
fields+=' {.spec.usage[*].nodeType} {.spec.usage[*].operation} {.spec.usage[*].quantity}'

for pause in 1 2 4 8 0; do
  if error=$(kubectl --namespace "$namespace" create -f - <<< "$manifest" 2>&1 > /dev/null); then
    echo "$name"
    exit 0
  fi
  case $error in
    *'(AlreadyExists)'*)
      # An earlier try was accepted, even if its answer was lost.
      if found=$(kubectl --namespace "$namespace" get usagereports "$name" --output "jsonpath=$fields"); then
        if [ "$found" = "$content" ]; then
          echo "$name"
          exit 0
        fi
        echo "$name exists with other content: '$found' instead of '$content'" >&2
        exit 1
      fi ;;
    *'(BadRequest)'* | *'(Forbidden)'* | *'(NotFound)'* | *' is invalid: '*)
      break ;;
  esac
  sleep "$pause"
done
echo "$name was not created: $error" >&2
exit 1
