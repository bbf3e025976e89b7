#!/usr/bin/env bash
# Builds the image for the architecture of this machine from the Dockerfile, with buildah and without a registry, and
# checks it: deploy/image.sh [NAME]
#
# The result is an archive in target/image/ for `docker load`, `podman load` or `skopeo copy`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
name=${1:-flashgate-billing:$version}

say() { echo "image: $*" >&2; }
fail() { say "$*"; exit 1; }

command -v buildah >/dev/null || fail 'buildah must be installed: apt-get install --no-install-recommends buildah'
case $(uname -m) in
  x86_64) architecture=amd64 ;;
  aarch64) architecture=arm64 ;;
  *) fail "images are built for amd64 and arm64, not for $(uname -m)" ;;
esac

say "building the program for $architecture"
deploy/build-static.sh "$architecture" "target/image/$architecture/flashgate-billing"

# A temporary store needs no daemon, and is removed at the end.
store=$(mktemp -d)
trap 'rm -rf "$store"' EXIT
in_store() { buildah --root "$store/root" --runroot "$store/run" --storage-driver vfs "$@"; }

say "building $name"
# Two builds of the same sources give the same image.
in_store bud --isolation chroot --quiet --timestamp "${SOURCE_DATE_EPOCH:-0}" --platform "linux/$architecture" \
  --build-arg PROGRAM=prebuilt --build-arg TARGETARCH="$architecture" --build-arg VERSION="$version" \
  --build-arg REVISION="$(git rev-parse HEAD 2>/dev/null || true)" --tag "$name" . >&2
archive=target/image/flashgate-billing-$architecture.tar
rm -f "$archive"
in_store push --quiet "$name" "docker-archive:$archive:$name"

say "checking $name"
mkdir "$store/bundle"
container=$(in_store from --pull-never "$name")
cp -a "$(in_store mount "$container")/." "$store/bundle"
configuration=$(in_store inspect --type image --format '{{.OCIv1.Config.User}} {{.OCIv1.Config.Entrypoint}}' "$name")
deploy/check-image.sh "$store/bundle" "$configuration" "$version"
say "$name is $archive"
