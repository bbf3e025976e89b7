#!/usr/bin/env bash
# Prints a folder with initdb, pg_ctl, postgres, psql, pg_dump and pg_restore, for the tests of the history.
#
# Installed programs are used if there are any. Otherwise Debian's packages are unpacked into the cache; no service is
# installed or started. Progress goes to standard error.
set -euo pipefail

say() { echo "control-plane: $*" >&2; }
fail() { say "$*"; exit 1; }

if command -v initdb >/dev/null && command -v pg_ctl >/dev/null && installed=$(command -v postgres); then
  dirname "$(readlink --canonicalize "$installed")"
  exit
fi
# Debian installs them outside of PATH. The highest version counts.
newest() { find "$1" -path '*/bin/initdb' 2>/dev/null | sort --version-sort | tail -n 1; }
installed=$(newest /usr/lib/postgresql || true)
if [[ -n $installed ]]; then
  dirname "$installed"
  exit
fi

folder="${XDG_CACHE_HOME:-$HOME/.cache}/flashgate-billing/control-plane/postgres"
# PostgreSQL refuses root, and other users cannot read the home of root.
(( EUID != 0 )) || folder=/var/cache/flashgate-billing/postgres
if [[ ! -e $folder/complete ]]; then
  command -v apt-get >/dev/null || fail 'PostgreSQL must be installed, because apt-get was not found to fetch it'
  mkdir -p "$folder"
  exec 9>"$folder/.lock"
  flock -n 9 || { say 'another download is running, waiting for it'; flock 9; }
fi
if [[ ! -e $folder/complete ]]; then
  say "unpacking Debian's PostgreSQL"
  download=$(mktemp -d)
  trap 'rm -rf "$download"' EXIT
  # The package lists can be missing or old. Without the right to update them, the package can still be found.
  name() { apt-cache depends postgresql | awk '/Depends: postgresql-[0-9]+$/ { print $2; exit }'; }
  package=$(name)
  [[ -n $package ]] || { apt-get update >&2 && package=$(name); }
  [[ -n $package ]] || fail 'PostgreSQL was not found: apt-get install postgresql'
  client=${package/postgresql-/postgresql-client-}
  # The libraries that a minimal system may not have.
  packages=("$package" "$client" libpq5)
  while read -r library; do packages+=("$library"); done < <(apt-cache depends "$package" "$client" |
    awk '/Depends: lib(llvm|icu|ldap|xml2|xslt|gssapi|krb5|readline)/ { print $2 }' | sort --unique)
  fetch() { (cd "$download" && apt-get download "${packages[@]}") >&2; }
  fetch || { apt-get update >&2 && fetch; } ||
    fail "PostgreSQL could not be fetched: apt-get install $package"
  for archive in "$download"/*.deb; do dpkg-deb --extract "$archive" "$folder"; done
  # The programs find their libraries beside them.
  programs=$(dirname "$(newest "$folder/usr/lib/postgresql")")
  libraries=$(find "$folder/usr/lib" -maxdepth 1 -name '*-linux-gnu')
  mkdir -p "$folder/bin"
  for program in initdb pg_ctl postgres psql pg_dump pg_restore; do
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%q exec %q "$@"\n' "$libraries" "$programs/$program" >"$folder/bin/$program"
  done
  chmod +x "$folder"/bin/*
  chmod -R go+rX "$folder"
  touch "$folder/complete"
fi
echo "$folder/bin"
