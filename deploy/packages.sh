#!/usr/bin/env bash
# Installs the Debian packages of the named sections of packages.txt that are missing.
#
# usage: packages.sh --or-say|--or-fail SECTION...
#
# Only root on Debian (or a child of it) can install.  Elsewhere it says exactly what to install,
# and then --or-fail fails, because a test must not be skipped for want of a tool.
set -euo pipefail

list="$(dirname "$0")/packages.txt"
rim="$1"
shift

# named SECTION: the packages of a section.
named() {
  awk -v section="[$1]" '/^\[/ { here = ($0 == section); next } here && NF && !/^#/' "$list"
}

missing() {
  for section in "$@"; do named "$section"; done | sort -u | while read -r package command; do
    [ -n "$command" ] && command -v "$command" >/dev/null && continue
    [ "$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] \
      || echo "$package"
  done
}

# Debian starts a service when it installs it; ours are started by our own launcher.
without_starting_services() {
  local policy=/usr/sbin/policy-rc.d made=
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    made=1
  fi
  mkdir -p /etc/postgresql-common
  [ -e /etc/postgresql-common/createcluster.conf ] \
    || echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
  local status=0
  "$@" || status=$?
  [ -z "$made" ] || rm -f "$policy"
  return "$status"
}

install() {
  echo "installing Debian packages: $*"
  apt-get update --quiet=2 --option DPkg::Lock::Timeout=300
  without_starting_services env DEBIAN_FRONTEND=noninteractive \
    apt-get install --yes --quiet=2 --no-install-recommends \
    --option DPkg::Lock::Timeout=300 --option Dpkg::Options::=--force-confold "$@" >/dev/null
}

mapfile -t wanted < <(missing "$@")
[ "${#wanted[@]}" -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  install "${wanted[@]}" && exit 0
  echo "apt could not install them" >&2
fi

echo "missing Debian packages; install them with:" >&2
echo "  sudo apt-get install --no-install-recommends ${wanted[*]}" >&2
[ "$rim" = --or-say ]
