#!/usr/bin/env bash
# Builds the program as one static file: deploy/build-static.sh amd64|arm64 FILE
#
# The program uses musl, which Rust includes. ring and the linker need a C compiler of the architecture: Debian's gcc on
# a machine of that architecture, else gcc-aarch64-linux-gnu or gcc-x86-64-linux-gnu.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case ${1:-} in
  amd64) machine=x86_64 ;;
  arm64) machine=aarch64 ;;
  *)
    echo 'usage: deploy/build-static.sh amd64|arm64 FILE' >&2
    exit 2
    ;;
esac
file=${2:?FILE must be given}
target=$machine-unknown-linux-musl

compiler=$machine-linux-gnu-gcc
command -v "$compiler" >/dev/null || { echo "$compiler must be installed" >&2; exit 1; }
export "CC_${target//-/_}=$compiler"
linker=CARGO_TARGET_${target^^}_LINKER
export "${linker//-/_}=$compiler"

# The same sources give the same file in every folder.
registry=${CARGO_HOME:-$HOME/.cargo}
export RUSTFLAGS="--remap-path-prefix=$PWD=/source --remap-path-prefix=$registry=/cargo"

rustup target add "$target"
# With cargo-auditable the file lists its crates, for scanners.
auditable=()
if cargo auditable --version >/dev/null 2>&1; then auditable=(auditable); fi
cargo "${auditable[@]}" build --release --locked --bin flashgate-billing --target "$target"

mkdir -p "$(dirname "$file")"
cp "${CARGO_TARGET_DIR:-target}/$target/release/flashgate-billing" "$file"
