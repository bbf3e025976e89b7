# The last part of the demo, which demo/run.sh reads: months of an account by a test clock, its history, and the page.

title '7. Fill half a year of an account by a test clock, with payments'
run kubectl create namespace demo
kubectl config set-context --current --namespace demo >/dev/null
# The shipped catalog with external payments, and a link to pay an open invoice.
sed 's|mode: External|&, checkoutURL: "https://pay.example/i/{invoice}"|' examples/payments/catalog.yaml >"$catalog"
start demo run --namespace demo --history "$history" --catalog "$catalog" --allow-test-clocks demo \
  --metrics-addr 127.0.0.1:0
run demo/months.sh

title '8. Verify the history: each entry of each ledger, by its hash'
await 'each entry is recorded' "$program" history verify --history "$history"
show 'flashgate-billing history verify'
cat "$folder/await.log"

title '9. Serve the page to a customer, who has the role of a tenant'
# The chart has the roles for users. Its rendered form is in deploy/kustomize.
awk -v RS='---\n' '/kind: ClusterRole\n/ && /name: flashgate-tenant\n/' deploy/kustomize/operator.yaml |
  kubectl apply --filename - --filename demo/access.yaml
start page serve --listen "127.0.0.1:${PORT:-0}" --history "$history" --catalog "$catalog" --namespaces demo
address_of_page() { sed -n 's/.* address=\([^ ]*\).*/\1/p' "$folder/page.log" | grep .; }
await 'the page is served' address_of_page
page=http://$(address_of_page)
account=$page/demo/acme/
token=$(kubectl create token customer --duration 1h)

if [[ -t 0 || -n ${KEEP:-} ]]; then
  title "Open $account and sign in with this token, which is valid for an hour:"
  printf '%s\n\nPress Ctrl+C to end.\n' "$token"
  trap 'exit 0' INT TERM
  # The shell handles a signal when `wait` returns.
  wait "${processes[-1]}"
  exit 1
fi

# Without a terminal, the demo prints what the page shows. A token in the arguments of curl would be in the list of
# processes.
printf 'Authorization: Bearer %s\n' "$token" >"$folder/header"
show "curl --header @header $account"
curl --silent --show-error --fail --header "@$folder/header" "$account" >"$folder/page.html"
shown() { grep -o "$1[^>]*>[^<]*" "$folder/page.html" | head -n 1 | cut -d '>' -f 2; }
printf 'title    %s\nplan     %s\nbalance  %s credits\n' \
  "$(shown '<title')" "$(shown 'data-testid="plan"')" "$(shown 'data-testid="balance"')"

title 'The demo ran on a real kube-apiserver, which now stops. To open the page on this data in a browser: make demo KEEP=1'
