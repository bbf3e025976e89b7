#!/usr/bin/env bash
# Checks an OCI archive of several architectures before it is pushed: check-archive.sh FILE DIGEST VERSION
#
# It needs oras, jq, and the right to mount.
set -euo pipefail
archive=$1 digest=$2 version=$3
check_image=$(dirname "${BASH_SOURCE[0]}")/check-image.sh

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
tar --extract --file "$archive" --directory "$folder"
for architecture in amd64 arm64; do
  of=(--oci-layout --platform "linux/$architecture" "$folder@$digest")
  configuration=$(oras manifest fetch-config "${of[@]}" |
    jq --raw-output '.config | "\(.User) [\(.Entrypoint | join(" "))]"')
  mkdir "$folder/$architecture"
  for layer in $(oras manifest fetch "${of[@]}" | jq --raw-output '.layers[].digest'); do
    tar --extract --gzip --file "$folder/blobs/${layer/://}" --directory "$folder/$architecture"
  done
  "$check_image" "$folder/$architecture" "$configuration" "$version"
done
