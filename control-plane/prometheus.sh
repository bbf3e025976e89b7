#!/usr/bin/env bash
# Prints a folder with prometheus and promtool, for the tests of metrics and alerts.
#
# Installed programs are used if there are any. Otherwise Debian's package is unpacked into the cache; no service is
# installed or started. Progress goes to standard error.
set -euo pipefail

say() { echo "control-plane: $*" >&2; }
fail() { say "$*"; exit 1; }

if command -v promtool >/dev/null && installed=$(command -v prometheus); then
  dirname "$installed"
  exit
fi

folder="${XDG_CACHE_HOME:-$HOME/.cache}/flashgate-billing/control-plane/prometheus"
if [[ ! -x $folder/usr/bin/promtool ]]; then
  command -v apt-get >/dev/null || fail 'prometheus and promtool must be installed, because apt-get was not found to fetch them'
  mkdir -p "$folder"
  exec 9>"$folder/.lock"
  flock -n 9 || { say 'another download is running, waiting for it'; flock 9; }
fi
if [[ ! -x $folder/usr/bin/promtool ]]; then
  say "unpacking Debian's prometheus"
  download=$(mktemp -d)
  trap 'rm -rf "$download"' EXIT
  # The package lists can be missing or old. Without the right to update them, the package can still be found.
  (cd "$download" && { apt-get download prometheus || { apt-get update && apt-get download prometheus; }; }) >&2 ||
    fail 'prometheus could not be fetched: apt-get install prometheus'
  dpkg-deb --extract "$download"/prometheus_*.deb "$download/package"
  mkdir -p "$folder/usr/bin"
  # promtool is last, because its presence shows that the folder is complete.
  for program in prometheus promtool; do mv "$download/package/usr/bin/$program" "$folder/usr/bin/$program"; done
fi
echo "$folder/usr/bin"
