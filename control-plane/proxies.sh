#!/usr/bin/env bash
# Prints a folder with nginx and caddy, for the tests of the gate.
#
# Installed programs are used if there are any. Otherwise Debian's packages are unpacked into the cache; no service is
# installed or started. Progress goes to standard error.
set -euo pipefail

say() { echo "control-plane: $*" >&2; }
fail() { say "$*"; exit 1; }

# nginx needs the module that asks the gate, and libraries that the machine must have.
runs() {
  case $1 in
    nginx) "$2" -V 2>&1 | grep --quiet -e --with-http_auth_request_module ;;
    caddy) "$2" version >/dev/null 2>&1 ;;
  esac
}

folder="${XDG_CACHE_HOME:-$HOME/.cache}/flashgate-billing/control-plane/proxies"
mkdir -p "$folder"
exec 9>"$folder/.lock"
flock -n 9 || { say 'another download is running, waiting for it'; flock 9; }
for program in nginx caddy; do
  # Debian has nginx in a folder that is not in the path of every user.
  if installed=$(PATH="$PATH:/usr/sbin" command -v "$program") && runs "$program" "$installed"; then
    ln --symbolic --force "$installed" "$folder/$program"
  elif [[ ! -x $folder/$program ]]; then
    command -v apt-get >/dev/null || fail "$program must be installed, because apt-get was not found to fetch it"
    say "unpacking Debian's $program"
    download=$(mktemp -d)
    trap 'rm -rf "$download"' EXIT
    # The package lists can be missing or old. Without the right to update them, the package can still be found.
    (cd "$download" && { apt-get download "$program" || { apt-get update && apt-get download "$program"; }; }) >&2 ||
      fail "$program could not be fetched: apt-get install $program"
    dpkg-deb --extract "$download/$program"_*.deb "$download/package"
    unpacked=$(find "$download/package/usr" -name "$program" -type f -executable -print -quit)
    [[ -n $unpacked ]] || fail "the package has no program: apt-get install $program"
    runs "$program" "$unpacked" || fail "the unpacked program does not run on this machine: apt-get install $program"
    mv "$unpacked" "$folder/$program"
    rm -rf "$download"
  fi
done
echo "$folder"
