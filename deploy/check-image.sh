#!/usr/bin/env bash
# Checks an unpacked image: check-image.sh FOLDER 'USER [ENTRYPOINT]' VERSION
#
# Runs the program of the image as its user, with a read-only root and without capabilities, in a separate mount
# namespace. A pod with the chart's security context has the same conditions. A program of another architecture is only
# inspected.
set -euo pipefail
folder=$1 configuration=$2 version=$3
# The limit of the unpacked image: 30 MB (1 MB = 10^6 bytes).
most_bytes=30000000

say() { echo "image: $*" >&2; }
fail() { say "$*"; exit 1; }

[[ $configuration == '65532:65532 [/flashgate-billing]' ]] || fail "user and entrypoint are '$configuration'"
files=$(cd "$folder" && find . -type f)
[[ $files == ./flashgate-billing ]] || fail "it must contain only the program, but has: $files"
bytes=$(stat --format %s "$folder/flashgate-billing")
((bytes < most_bytes)) || fail "it has $bytes bytes, but must have less than $most_bytes"
if readelf --program-headers "$folder/flashgate-billing" 2>/dev/null | grep -q INTERP; then
  fail 'the program is not static: it needs an interpreter'
fi

machine=$(readelf --file-header "$folder/flashgate-billing" | sed -n 's/.*Machine: *//p')
case $(uname -m)/$machine in
  x86_64/*X86-64 | aarch64/AArch64) ;;
  *)
    say "one static file of $bytes bytes for $machine, which this machine cannot run"
    exit
    ;;
esac

# Binds the root to itself, read-only. The program then sees nothing else.
in_image() {
  unshare --mount --propagation private bash -euc '
    folder=$1; shift
    mount --bind "$folder" "$folder"
    mount -o remount,bind,ro,nosuid,nodev "$folder"
    if touch "$folder/written" 2>/dev/null; then echo "the root can be written" >&2; exit 1; fi
    exec setpriv --no-new-privs chroot --userspec=65532:65532 --groups= "$folder" "$@"' \
    in-image "$folder" "$@"
}

said=$(in_image /flashgate-billing --version)
[[ $said == "flashgate-billing $version" ]] || fail "unexpected output: '$said'"
in_image /flashgate-billing catalog schema | grep -q '"title"' || fail 'it cannot print the schema of catalogs'
# Without a cluster it must end with an error message.
said=$(in_image /flashgate-billing run 2>&1) && fail "it must not run without a cluster: $said"
[[ $said == *'no cluster to connect to'* ]] || fail "unexpected output: '$said'"

say "one static file of $bytes bytes, which runs as user 65532 with a read-only root"
