# The part of the demo about the meter, which demo/run.sh reads: a counter in Prometheus becomes usage of the account
# `stark`. A live counter would take too long, because the shortest window of a meter is one minute. So Prometheus gets
# the samples of 90 minutes as blocks of its storage. This also needs no exporter.

title '6. Meter usage from Prometheus'
show 'control-plane/prometheus.sh  # finds Prometheus, or downloads it'
# Without a network, apt-get can wait for minutes.
limit=()
if command -v timeout >/dev/null; then limit=(timeout 120); fi
"${limit[@]}" control-plane/prometheus.sh >"$folder/programs" 2>"$folder/fetch.log" &
processes+=($!)
found=yes
wait $! || found=no
unset 'processes[-1]'
if [[ $found == no ]]; then
  echo 'Skipped: install prometheus and promtool to see this part, for example with "apt-get install prometheus".'
  return
fi
programs=$(<"$folder/programs")

instant() { date -u -d "@$1" +%Y-%m-%dT%H:%M:%SZ 2>/dev/null || date -u -r "$1" +%Y-%m-%dT%H:%M:%SZ; }

# The meter reads a window two minutes after its end.
to=$(( ($(date +%s) - 125) / 60 * 60 ))
from=$(( to - 90 * 60 ))
counter=gen_ai_client_token_usage_sum
counted=0

# Prints a sample: pod, value, minutes after $from.
sample() {
  printf '%s{pod="%s",org="stark",gen_ai_token_type="output",gen_ai_request_model="llama-3.3-70b"} %s %s\n' \
    "$counter" "$1" "$2" $(( from + $3 * 60 ))
}

# Prints a sample of each pod for each minute. Adds the tokens that they count after $from to $counted.
samples() {
  local minute tokens first=5120400 second=0
  for (( minute = -10; minute <= 90; minute++ )); do
    tokens=$(( 600 + minute * minute % 800 ))
    # gateway-1 ran before. It restarts after 50 minutes.
    if (( minute == 50 )); then first=0; fi
    first=$(( first + tokens ))
    sample gateway-1 "$first" "$minute"
    if (( minute > 0 )); then counted=$(( counted + tokens )); fi
    # gateway-2 starts after 35 minutes. It counts 4,200 tokens before its first sample.
    (( minute >= 35 )) || continue
    if (( minute == 35 )); then tokens=4200; fi
    second=$(( second + tokens )) counted=$(( counted + tokens ))
    sample gateway-2 "$second" "$minute"
  done
  echo '# EOF'
}

echo 'Two pods of a gateway count tokens, with a sample each minute. gateway-1 restarts, and gateway-2 is new:'
samples >"$folder/samples"
show 'grep -m 2 gateway-2 samples'
grep -m 2 gateway-2 "$folder/samples"
show 'promtool tsdb create-blocks-from openmetrics samples data'
"$programs/promtool" tsdb create-blocks-from openmetrics "$folder/samples" "$folder/data" >"$folder/promtool.log" 2>&1
# Older versions do not log the port that the system chooses, so this looks for a free one.
while port=$(( 20000 + RANDOM % 10000 )); (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
prometheus=http://127.0.0.1:$port
show "prometheus --storage.tsdb.path=data --web.listen-address=127.0.0.1:$port &"
: >"$folder/prometheus.yaml"
"$programs/prometheus" --config.file="$folder/prometheus.yaml" --storage.tsdb.path="$folder/data" \
  --web.listen-address="127.0.0.1:$port" >"$folder/prometheus.log" 2>&1 &
processes+=($!)
await 'Prometheus is ready' curl --silent --show-error --fail "$prometheus/-/ready"

title '   A UsageMeter names the counter, and the label of the account'
meter="apiVersion: billing.flashgate.dev/v1alpha1
kind: UsageMeter
metadata: {name: tokens}
spec:
  counter: $counter
  selector: '{gen_ai_token_type=\"output\"}'
  account: {label: org}
  usage:
    nodeType: {value: Public}
    operation: {value: TokensOut}
  labels: {model: gen_ai_request_model}
  window: {length: 30m, shortest: 30m}
  startTime: \"$(instant "$from")\""
show "kubectl apply -f - <<'END'"
printf '%s\nEND\n' "$meter"
kubectl apply -f - <<<"$meter"
run kubectl get subscriptions.billing.flashgate.dev stark
show "flashgate-billing meter --namespace examples --prometheus default=$prometheus --once"
"$program" meter --namespace examples --prometheus "default=$prometheus" --once >"$folder/meter.log" 2>&1

title '   Each window is a report, and the operator charges it'
reports=(usagereports --selector billing.flashgate.dev/meter=tokens)
kubectl wait --for=jsonpath='{.status.state}'=Charged --timeout=60s "${reports[@]}" >/dev/null
kubectl wait --timeout=60s subscriptions.billing.flashgate.dev/stark >/dev/null \
  --for=jsonpath='{.status.ledger.sequence}'="$(kubectl get creditledgers stark --output jsonpath='{.spec.sequence}')"
run kubectl get usagemeters
run kubectl get "${reports[@]}"
run kubectl get subscriptions.billing.flashgate.dev stark

reported=0
for quantity in $(kubectl get "${reports[@]}" --output jsonpath='{.items[*].spec.usage[*].quantity}'); do
  reported=$(( reported + quantity ))
done
estimated=$(curl --silent --show-error --fail --get "$prometheus/api/v1/query" --data "time=$to" \
  --data-urlencode "query=sum(increase($counter[90m]))" | sed 's/.*"value":[^"]*"\([0-9]*\).*/\1/')
title '   The reports have every token. increase() of Prometheus ignores the first value of a new series'
printf '%-21s %s tokens\n' 'counted by the pods' "$counted" 'in the reports' "$reported" 'by increase()' "$estimated"
(( reported == counted )) || { echo 'the reports differ from the counter' >&2; exit 1; }

kill "${processes[-1]}"
wait "${processes[-1]}" || true
unset 'processes[-1]'
