#!/bin/sh
# Lays down a folder from which `docker compose up` runs Sprout for a LAN.  What is there already
# stays as it is; what is made is whole or not there.
set -eu

VERSION=0.1.0
LARGEST=1048576

usage() {
    cat <<END
usage: install.sh [--help]

Makes $root with docker-compose.yml, provisioning.yaml, server-types.yaml and .env (the
admin's password as a hash; the password is shown once), and says what to do next.  Files that are
there already are left alone: it can be run again.

variables, all optional:
  PROVISIONING_ROOT      the folder; /opt/provisioning
  PROVISIONING_SOURCE    where the files come from: a folder (that of this script), or the URL of
                         one that \`make installer\` made, whose SHA256SUMS they must fit
  PROVISIONING_SHA256    the SHA-256 that this SHA256SUMS itself must have
  PROVISIONING_REGISTRY  registry, and path in it, that the image sprout is pulled from; without one
                         the image must be here already: make docker
  PROVISIONING_VERSION   of the image; $VERSION
  PROVISIONING_NIC       network card of the LAN; that of the default route

exit status: 0 all is there, 1 something is missing or wrong and nothing is half made, 2 the
command line is wrong
END
}

die() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}

say() {
    printf '%s\n' "$*"
}

ended() {
    status=$?
    trap - EXIT
    [ -z "${new:-}" ] || rm -rf "$new"
    # What was made for nothing goes again; rmdir leaves what is not empty.
    [ -z "${made:-}" ] || rmdir "$root" 2>/dev/null || :
    exit "$status"
}

# missing FILE: whether it is yet to be made.
missing() {
    [ -e "$root/$1" ] || [ -L "$root/$1" ] || return 0
    [ -f "$root/$1" ] || die "$root/$1 is in the way: it is no file"
    return 1
}

# The folder, and in it one for what is being made, so that a file can be moved into place whole.
prepare() {
    case $root in /*) ;; *) die "PROVISIONING_ROOT must begin with /: $root" ;; esac
    umask 077
    if ! [ -d "$root" ]; then
        mkdir -p "$root" || die "cannot make $root: run this as root, or name another folder"
        made=1
    fi
    for left in "$root"/.install.*; do
        # Of a run that was killed; one that is under way has a process of that number.
        if [ -d "$left" ] && ! kill -0 "${left##*.}" 2>/dev/null; then rm -rf "$left"; fi
    done
    new=$root/.install.$$
    mkdir "$new" || die "cannot write to $root: run this as root, or name another folder"
}

programs() {
    if docker compose version >/dev/null 2>&1; then
        compose='docker compose'
    elif command -v docker >/dev/null && command -v docker-compose >/dev/null; then
        compose=docker-compose
    else
        die 'Docker with its compose is missing: install docker and docker-compose'
    fi
}

# fetch FILE: from the source, as it is there.
fetch() {
    case $source in
    http://* | https://*)
        command -v curl >/dev/null || die "curl is missing, to fetch $source/$1"
        # No file is larger, whatever the server says: a limit in blocks of 512 bytes, or of 1024.
        (ulimit -f 4096 && exec curl -fsSL --proto '=http,https' --connect-timeout 10 \
            --max-time 120 --max-filesize "$LARGEST" -o "$new/$1" "$source/$1") ||
            die "cannot fetch $source/$1"
        ;;
    *)
        [ -f "$source/$1" ] || die "there is no $source/$1: PROVISIONING_SOURCE says where it is"
        cp "$source/$1" "$new/$1" || die "cannot read $source/$1"
        ;;
    esac
}

sha256() {
    sha256sum <"$1" | cut -d ' ' -f 1
}

# What crossed a network must be what its SHA256SUMS says; that, what it was said to be.
sums() {
    case $source in http://* | https://*) ;; *) return 0 ;; esac
    fetch SHA256SUMS
    [ -z "$pin" ] || [ "$(sha256 "$new/SHA256SUMS")" = "$pin" ] ||
        die "$source/SHA256SUMS has not the SHA-256 that PROVISIONING_SHA256 says"
}

fetched() {
    fetch "$1"
    [ -s "$new/$1" ] || die "$source/$1 is empty"
    [ -f "$new/SHA256SUMS" ] || return 0
    wanted=$(awk -v file="$1" '$2 == file || $2 == "*" file { print $1 }' "$new/SHA256SUMS")
    [ "$wanted" = "$(sha256 "$new/$1")" ] ||
        die "$source/$1 is not what SHA256SUMS there says: it is cut short, old, or another's"
}

# The LAN, as `ip` knows it; what it does not know stays as the example has it.
lan() {
    command -v ip >/dev/null || return 0
    nic=$(ip -4 route show default | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1)
    nic=${PROVISIONING_NIC:-$nic}
    known=$(ip -4 route show dev "${nic:-lo}" proto kernel scope link | head -n 1)
    subnet=${known%% *}
    address=$(printf %s "$known" | sed -n 's/.* src \([0-9.]*\).*/\1/p')
    case "$nic $subnet $address" in
    *[!A-Za-z0-9./_\ -]* | ' '* | *'  '* | *' ') return 0 ;;
    esac
    sed "s,^  public_url: [^ ]*,  public_url: http://$address:8080,
         s,^  interface: [^ ]*,  interface: $nic,
         s,^  subnet: [^ ]*,  subnet: $subnet," "$1" >"$1.lan"
    mv "$1.lan" "$1"
    found="$nic, $subnet, where this machine is $address"
}

# as FILE NAME: the source's FILE, called NAME here.
as() {
    fetched "$1"
    mv "$new/$1" "$new/$2"
}

settings() {
    fetched provisioning.example.yaml
    sed 's,^server_types: .*,server_types: server-types.yaml    # followed while Sprout runs,' \
        "$new/provisioning.example.yaml" >"$new/provisioning.yaml"
    lan "$new/provisioning.yaml"
}

# The product's own command hashes the password, so that both are of one kind.
secrets() {
    password=$(od -An -tx1 -N16 /dev/urandom | tr -d ' \n')
    [ "${#password}" = 32 ] || die 'no random numbers come from /dev/urandom'
    hash=$(printf '%s\n' "$password" | docker run --rm --interactive --network none --read-only \
        --cap-drop ALL --pull "$pull" "$image" hash-password) ||
        die "the image $image cannot be run: name its registry in PROVISIONING_REGISTRY, or build" \
            "it with: make docker"
    case $hash in
    *[!A-Za-z0-9+/=\$]*) die "the image $image made no hash of a password: is it Sprout's?" ;;
    scrypt\$?*) ;;
    *) die "the image $image made no hash of a password: is it Sprout's?" ;;
    esac
    cat >"$new/.env" <<END
# Read by docker compose, and by Sprout itself.  References env:NAME mean SPROUT_SECRET_NAME here.
PROVISIONING_IMAGE=$image
SPROUT_ADMIN_PASSWORD_HASH='$hash'
END
}

# place FILE MODE: a link is made at once, and never over something that is there.
place() {
    chmod "$2" "$new/$1"
    ln "$new/$1" "$root/$1" || die "cannot make $root/$1"
    say "made $root/$1"
}

root=${PROVISIONING_ROOT:-/opt/provisioning}
here=$(cd "$(dirname "$0")" && pwd)
source=${PROVISIONING_SOURCE:-$here} pin=${PROVISIONING_SHA256:-}
root=${root%/} source=${source%/} found=
image=sprout:${PROVISIONING_VERSION:-$VERSION} pull=never
if [ -n "${PROVISIONING_REGISTRY:-}" ]; then
    image=${PROVISIONING_REGISTRY%/}/$image pull=missing
fi

# All that is done is done from here, on the last line: a script that came cut short does nothing.
main() {
    case "$# ${1:-}" in
    '0 ') ;;
    '1 --help' | '1 -h') usage && exit 0 ;;
    *) usage >&2 && exit 2 ;;
    esac
    case $image in
    *[!A-Za-z0-9._/:-]* | [!A-Za-z0-9]*) die "$image is no name of an image" ;;
    esac

    trap ended EXIT
    trap 'exit 130' INT TERM HUP
    prepare
    programs

    todo=
    for file in docker-compose.yml server-types.yaml provisioning.yaml .env; do
        if missing "$file"; then todo="$todo $file"; else say "kept $root/$file"; fi
    done
    case $todo in *.y*) sums ;; esac
    for file in $todo; do
        case $file in
        docker-compose.yml) as provisioning.compose.yaml "$file" ;;
        server-types.yaml) as server-types.example.yaml "$file" ;;
        provisioning.yaml) settings ;;
        .env) secrets ;;
        esac
    done
    for file in $todo; do
        case $file in
        docker-compose.yml | server-types.yaml) place "$file" 644 ;;
        provisioning.yaml)
            place "$file" 600
            [ -z "$found" ] || say "     for the LAN of $found"
            ;;
        .env)
            # First: one that was shown and is not in force is made anew, one that nobody saw never.
            say "the admin's password, which is shown once: $password"
            place "$file" 600
            ;;
        esac
    done

    say ''
    say "Say in $root/provisioning.yaml what is yours (the LAN, root_password_hash), then:"
    say "cd $root && $compose run --rm sprout check-config provisioning.yaml && $compose up --detach"
}

main "$@"
