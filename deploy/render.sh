#!/usr/bin/env bash
# Renders the chart for installations without Helm: `definitions`, `operator`, or `everything`, which has both and their
# namespace. A release publishes `everything` as install.yaml.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

chart=charts/flashgate-billing
name=flashgate-billing
helm=$(control-plane/tools.sh)/helm

# Helm's annotations and labels and the chart's tests are only for Helm.
render() {
  "$helm" template "$name" "$chart" --namespace "$name" --skip-tests --set history.sqlite.keep=false "$@" |
    grep -v -e '^# Source: ' -e 'helm.sh/resource-policy: keep' -e 'helm.sh/chart: ' |
    sed 's|app.kubernetes.io/managed-by: Helm|app.kubernetes.io/managed-by: kubectl|'
}

case ${1:-} in
  definitions) render --show-only 'templates/crds/*' ;;
  operator) render --set crds.enabled=false ;;
  everything)
    cat deploy/kustomize/namespace.yaml
    echo ---
    render
    ;;
  *)
    echo "usage: deploy/render.sh definitions|operator|everything" >&2
    exit 2
    ;;
esac
