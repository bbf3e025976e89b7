#!/usr/bin/env bash
# Generates a client from the OpenAPI document of a running portal, and makes every call with it.
#
# Usage: client.sh URL NAMESPACE SUBSCRIPTION, with the token in TOKEN.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
programs=$("$here/../../../../control-plane/venv.sh" openapi-client 'openapi-python-client==0.29.1')
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# Formatting needs ruff, which no test needs. Any other warning is an error.
echo 'post_hooks: []' >"$folder/settings.yaml"
"$programs/openapi-python-client" generate --url "$1/openapi.json" --output-path "$folder/portal_client" \
  --meta none --fail-on-warning --config "$folder/settings.yaml" >&2
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$folder "$programs/python" "$here/calls.py" "$@"
