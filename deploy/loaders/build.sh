#!/usr/bin/env bash
# Builds iPXE from pinned sources, with sprout.ipxe embedded, into a folder for SPROUT_LOADER_DIRS.
#
# usage: build.sh FOLDER [NAME...]     NAMEs of loaders.txt; by default those whose compiler is here
#
# Needs git, make, gcc, perl, liblzma-dev, and for arm64 gcc-aarch64-linux-gnu.  IPXE_SOURCE may
# name another repository, such as a mirror on this machine.
set -euo pipefail

readonly COMMIT=12798ec29aa8a64d8675c4378b99f5fe28447afb # v2.0.0
readonly SHA256=c7272e9aac9ecd26e2e11c899bb7cc453e20619097a9143f619a7cedff3fa4dc # of `git archive --format=tar COMMIT`
readonly SOURCE="${IPXE_SOURCE:-https://github.com/ipxe/ipxe.git}"

here="$(cd "$(dirname "$0")" && pwd)"

fail() {
  echo "build.sh: $*" >&2
  exit 1
}

[ "$#" -ge 1 ] || fail "usage: build.sh FOLDER [NAME...]"
mkdir -p "$1"
output="$(cd "$1" && pwd)"
shift

# fetch FOLDER: the pinned sources, whose every byte is checked before any of it is run.
fetch() {
  git init --quiet --bare "$1/git"
  git -C "$1/git" fetch --quiet --depth 1 "$SOURCE" "$COMMIT" \
    || fail "$SOURCE does not give $COMMIT"
  git -C "$1/git" archive --format=tar "$COMMIT" >"$1/ipxe.tar"
  echo "$SHA256  $1/ipxe.tar" | sha256sum --check --quiet || fail "these are not the pinned sources"
  mkdir "$1/ipxe"
  tar --extract --file "$1/ipxe.tar" --directory "$1/ipxe"
}

# row NAME: "target prefix" of a loader.
row() {
  awk -v name="$1" '!/^#/ && $1 == name { print $2, $3 }' "$here/loaders.txt"
}

# compiler PREFIX: the compiler of that prefix.
compiler() {
  if [ "$1" = - ]; then echo gcc; else echo "$1gcc"; fi
}

# possible: the names whose compiler is here.
possible() {
  awk '!/^#/ && NF { print $1, $3 }' "$here/loaders.txt" | while read -r name prefix; do
    if command -v "$(compiler "$prefix")" >/dev/null; then echo "$name"; fi
  done
}

# build NAME SOURCES: one loader, put in its place only when it is whole.
build() {
  local name="$1" sources="$2" target prefix
  read -r target prefix <<<"$(row "$name")"
  [ -n "$target" ] || fail "$name is not in loaders.txt"
  command -v "$(compiler "$prefix")" >/dev/null || fail "$name needs $(compiler "$prefix")"
  local words=("EMBED=$here/sprout.ipxe" "GITVERSION=${COMMIT:0:7}" "NO_WERROR=1")
  [ "$prefix" = - ] || words+=("CROSS=$prefix")
  # The time in a loader is that of its sources: who builds again gets the same bytes.
  make --silent --jobs "$(nproc)" --directory "$sources/src" BUILD_TIMESTAMP=0 "${words[@]}" "$target"
  install -m 644 "$sources/src/$target" "$output/.$name"
  mv "$output/.$name" "$output/$name"
  (cd "$output" && sha256sum "$name")
}

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
fetch "$work"
if [ "$#" -gt 0 ]; then wanted=("$@"); else mapfile -t wanted < <(possible); fi
for name in "${wanted[@]}"; do
  build "$name" "$work/ipxe"
done
