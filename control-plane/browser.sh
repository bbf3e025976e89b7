#!/usr/bin/env bash
# Prints a folder with chromium, chromedriver and axe.min.js, for the tests of the page in a browser.
#
# Installed browsers are used if there are any. Otherwise Debian's packages are unpacked into the cache, with the
# libraries that this machine does not have; nothing is installed. Progress goes to standard error. Outside CI, a machine
# that cannot provide a browser gets a message and no folder, and the tests in a browser are skipped.
set -euo pipefail

axe=4.14.1
# The integrity that the registry of npm states for this version.
axe_sha512=1477dafa598d8d065f273d6af302aa203c02e83131707b7fa648cd41bd3d6b734f8c22a0dab86ee6a6f64b8afbe804b214d36db85a2826965edfb3a0b9d546b5

say() { echo "control-plane: $*" >&2; }
# Without a browser, CI must fail. Elsewhere the other tests still run.
give_up() {
  say "$*"
  [[ -z ${CI:-} ]] || exit 1
  say 'the tests in a browser are skipped, but CI runs them'
  exit 0
}

cache="${XDG_CACHE_HOME:-$HOME/.cache}/flashgate-billing/control-plane"
mkdir -p "$cache"

candidate() { apt-cache policy chromium 2>/dev/null | awk '/Candidate: [0-9]/ { print $2 }'; }

if installed=$(command -v chromium) && command -v chromedriver >/dev/null; then
  version=installed
elif command -v apt-get >/dev/null; then
  installed=
  version=$(candidate)
  # The package lists can be missing. Only root can update them.
  [[ -n $version ]] || { apt-get update >&2 && version=$(candidate); } || true
  [[ -n $version ]] || give_up 'chromium was not found: apt-get install chromium chromium-driver'
else
  give_up 'chromium and chromedriver must be installed, because apt-get was not found to fetch them'
fi

# Fetches the packages of the browser, two fonts, and every dependency that this machine does not have.
fetch() {
  local packages=(chromium chromium-common chromium-driver fonts-inter fonts-dejavu-core) dependencies
  dependencies=$(apt-get install --simulate --no-install-recommends "${packages[@]}") || return
  mapfile -t dependencies < <(awk '/^Inst/ { print $2 }' <<<"$dependencies")
  mapfile -t packages < <(printf '%s\n' "${packages[@]}" "${dependencies[@]}" | sort --unique)
  # The user of apt cannot write to the folder.
  (cd "$download" && apt-get --quiet=2 --option APT::Sandbox::User= download "${packages[@]}") >&2
}

# Writes a program of the folder that starts one of the unpacked files with their libraries and fonts.
wrap() {
  local libraries
  libraries=$(cd "$unfinished" && find . -name '*.so*' -printf '%h\n' | sort --unique | sed "s|^[.]|$folder|" |
    paste -sd :)
  printf '#!/bin/sh\nexport LD_LIBRARY_PATH=%q FONTCONFIG_FILE=%q\nexec %q "$@"\n' \
    "$libraries" "$folder/fonts.conf" "$folder/$2" >"$unfinished/$1"
  chmod +x "$unfinished/$1"
}

make_browser() {
  local package
  if [[ -n $installed ]]; then
    for program in chromium chromedriver; do
      printf '#!/bin/sh\nexec %q "$@"\n' "$(command -v "$program")" >"$unfinished/$program"
      chmod +x "$unfinished/$program"
    done
    return
  fi
  say "unpacking Debian's chromium $version (about 120 MB)"
  fetch || { apt-get update >&2 && fetch; } ||
    give_up 'chromium could not be fetched: apt-get install chromium chromium-driver'
  for package in "$download"/*.deb; do dpkg-deb --extract "$package" "$unfinished"; done
  cat >"$unfinished/fonts.conf" <<FONTS
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>$folder/usr/share/fonts</dir>
  <cachedir>$folder/font-cache</cachedir>
  <alias><family>system-ui</family><prefer><family>Inter</family></prefer></alias>
  <alias><family>sans-serif</family><prefer><family>Inter</family></prefer></alias>
  <alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
</fontconfig>
FONTS
  wrap chromium usr/lib/chromium/chromium
  wrap chromedriver usr/bin/chromedriver
}

make_axe() {
  command -v npm >/dev/null || give_up "axe-core $axe is a package of npm: install Node.js with npm"
  (cd "$download" && npm pack --silent "axe-core@$axe") >/dev/null || give_up "axe-core $axe could not be fetched"
  echo "$axe_sha512  $download/axe-core-$axe.tgz" | sha512sum --check --quiet >&2 ||
    { say "axe-core $axe must have the SHA-512 $axe_sha512"; exit 1; }
  tar -xzf "$download/axe-core-$axe.tgz" -C "$unfinished" --strip-components=1 package/axe.min.js
}

folder="$cache/browser-$version-axe-$axe"
if [[ ! -d $folder ]]; then
  exec 9>"$cache/browser.lock"
  flock -n 9 || { say 'another download is running, waiting for it'; flock 9; }
fi
if [[ ! -d $folder ]]; then
  unfinished="$folder.unfinished"
  download=$(mktemp -d)
  trap 'rm -rf -- "$download" "$unfinished"' EXIT
  rm -rf -- "$unfinished"
  mkdir "$unfinished"
  make_axe
  make_browser
  mv "$unfinished" "$folder"
fi
echo "$folder"
