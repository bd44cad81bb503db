#!/bin/sh
# Plays the rebuild of a host with curl alone: what its firmware, the installer of Proxmox VE and
# its first boot say, in their order.  Each step does what the one before was told.
set -eu

usage() {
    cat <<'END'
usage: boot.sh [--from ADDRESS] URL MAC

Plays a host that is rebuilt, without the host: boot script, kernel, initramfs, ISO, answer,
first-boot script, the installer's report, phone-home.  Register it and ask for its rebuild first.

  URL               where Sprout is reached, such as http://192.168.1.5:8080
  MAC               of the host, such as 52:54:00:12:34:56
  --from ADDRESS    the address of this machine to call from, where it has several: it must be of
                    the host's network.  Where Sprout answers DHCP (pxe: enabled: true), it leads
                    nobody to a boot script whom it has not heard there
  SPROUT_API_TOKEN  with it, how Sprout takes each step is shown, and the end is waited for

exit status: 0 all was taken, 1 it was answered otherwise than it should, 2 the command line is
wrong, 3 nothing is to be installed on this host, 5 Sprout cannot be reached, 6 not ready in time
END
}

die() {
    code=$1
    shift
    printf 'boot.sh: %s\n' "$*" >&2
    exit "$code"
}

# step NAME WHAT: one line of what was done.
step() {
    printf '%-18s %s\n' "$1" "$2"
}

# call NAME FILE [OPTION...] URL: what is answered, in FILE; its status, and where we called from.
call() {
    name=$1 file=$2
    shift 2
    if told=$(curl -sS -L --proto '=http,https' --connect-timeout 10 --max-time "$LONGEST" \
        ${from:+--interface "$from"} -o "$file" -w '%{http_code} %{local_ip}' "$@"); then
        status=${told%% *} here=${told##* }
        return
    fi
    die 5 "$name: Sprout cannot be reached, or it broke off"
}

# get NAME FILE [OPTION...] URL: the same, where only 200 will do.
get() {
    call "$@"
    [ "$status" = 200 ] || die 1 "$1: answered with status $status"
}

bytes() {
    echo "$(($(wc -c <"$1"))) bytes"
}

# Tokens stand in URLs: what is shown ends before them.
place() {
    printf %s "${1%%\?*}" | sed 's,/boot/\([^/]*\)/[^/]*/,/boot/\1/***/,'
}

# in_section FILE SECTION KEY: a text of a TOML file.
in_section() {
    sed -n "/^\[$2\]/,/^\[/s/^$3 = \"\([^\"]*\)\"[[:space:]]*\$/\1/p" "$1" | head -n 1
}

# The boot script of this host: each one that only leads on is followed, as iPXE does.
boot_script() {
    next=$base/ipxe/$mac
    for _ in 1 2 3; do
        call 'boot script' "$tmp/script" "$next"
        [ "$status" != 404 ] || die 3 "no host here has the MAC $mac: register it, and rebuild it"
        [ "$status" = 200 ] || die 1 "boot script: answered with status $status"
        step 'boot script' "$(place "$next")"
        grep -q '^kernel ' "$tmp/script" && return
        next=$(sed -n 's,^chain .*\(http[^ ]*/boot/[^ ]*\).*,\1,p' "$tmp/script" | head -n 1)
        [ -n "$next" ] || die 3 "$(sed -n 's/^echo \(Sprout.*\)/\1/p' "$tmp/script" | head -n 1)" \
            "(is its rebuild asked for, are we in its network, and is pxe.enabled false?)"
    done
    die 1 'boot script: it only leads to others'
}

# Kernel, initramfs, and what lies beside it: the ISO, or the archive that fetches it. Played is a
# BIOS: what is for UEFI alone is left out.
kernel() {
    line=$(sed -n 's/ *|| goto .*//; s/^kernel //p' "$tmp/script" | head -n 1)
    case " $line " in
    *' proxmox-start-auto-installer '*) ;;
    *) die 1 'boot script: it starts another installer than that of Proxmox VE' ;;
    esac
    get kernel "$tmp/kernel" "${line%% *}"
    step kernel "$(bytes "$tmp/kernel"): ${line#* }"
    iso=
    sed '/^iseq .* efi /,/^:loaded/d' "$tmp/script" |
        sed -n 's/^initrd .*\(http[^ ]*\).*/\1/p' >"$tmp/initrds"
    while read -r url; do
        case $url in
        */proxmox.iso) iso=$url ;;
        *)
            get initramfs "$tmp/initrd" "$url"
            step initramfs "$(bytes "$tmp/initrd")"
            iso=$(grep -a -o 'http[^ ]*/proxmox\.iso' "$tmp/initrd" | head -n 1) || iso=
            ;;
        esac
    done <"$tmp/initrds"
    [ -n "$iso" ] || die 1 'boot script: it names no ISO'
}

# The installer reads in its ISO where it asks, and as whom.
words() {
    get ISO "$tmp/iso" "$iso"
    step ISO "$(bytes "$tmp/iso") from $(place "$iso")"
    LC_ALL=C sed -n '/mode = "http"$/,/^token = /p' "$tmp/iso" | tr -d '\000' >"$tmp/words"
    rm -f "$tmp/iso"
    ask=$(in_section "$tmp/words" http url)
    token=$(in_section "$tmp/words" http token)
    [ -n "$ask" ] || ask=$base/api/boot/answer
}

# What this host is, as the installer tells it (schemas 1.0 and 1.2).
hardware() {
    hex=$(printf %s "$mac" | tr -d ':-' | tr '[:upper:]' '[:lower:]')
    uuid="4c4c4544-0000-4000-8000-$hex"
    dmi="\"dmi\": {\"system\": {\"serial\": \"SN-$hex\", \"uuid\": \"$uuid\", \"name\": \"\"}}"
}

answer() {
    cat >"$tmp/asked" <<END
{"\$schema": {"version": "1.0"}, $dmi, "network_interfaces": [{"link": "eth0", "mac": "$mac"}]}
END
    get answer "$tmp/answer" -H 'Content-Type: application/json; charset=utf-8' \
        -H 'Accept: application/toml' ${token:+-H "Authorization: Bearer $token"} \
        --data-binary "@$tmp/asked" "$ask"
    fqdn=$(in_section "$tmp/answer" global fqdn)
    hook=$(in_section "$tmp/answer" post-installation-webhook url)
    script=$(in_section "$tmp/answer" first-boot url)
    case "$hook $script" in
    http*' http'*) ;;
    *) die 1 'answer: it names no webhook, or no first boot' ;;
    esac
    step answer "$(bytes "$tmp/answer") for $fqdn"
}

# Fetched before anything is installed: the installer takes 1 MiB at most.
first_boot_script() {
    get 'first-boot script' "$tmp/first-boot" --max-filesize 1048576 "$script"
    home=$(sed -n "s/^home='\(http[^']*\)'\$/\1/p" "$tmp/first-boot" | head -n 1)
    [ -n "$home" ] || die 1 'first-boot script: it does not say where home is'
    step 'first-boot script' "$(bytes "$tmp/first-boot") from $(place "$script")"
}

# report NAME URL: what stands in the file NAME is posted as JSON.
report() {
    get "$1" "$tmp/said" -H 'Content-Type: application/json' --data-binary "@$tmp/$1" "$2"
    step "$1" "from $here to $(place "$2")"
}

# The host key is nobody's: there is no SSH server, so a cluster cannot be joined.
installed() {
    card="\"name\": \"nic0\", \"mac\": \"$mac\", \"address\": \"$here/24\""
    key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI$(printf '%043d' 0)"
    cat >"$tmp/installed" <<END
{"\$schema": {"version": "1.2"}, "fqdn": "$fqdn", $dmi,
 "product": {"fullname": "Proxmox VE", "short": "pve", "version": "9.1.1"},
 "filesystem": "ext4", "machine-id": "00000000000000000000$hex", "reboot-mode": "reboot",
 "network-interfaces": [{$card, "is-management": true}],
 "ssh-public-host-keys": {"ed25519": "$key"}}
END
    report installed "$hook"
}

phone_home() {
    printf '{"ip": "%s", "hardware_id": "%s"}' "$here" "$uuid" >"$tmp/phone-home"
    report phone-home "$home"
}

# said KEY: the first text of that name in what the API says of the host.
said() {
    grep -o "\"$1\": *\"[^\"]*\"" "$tmp/host" | head -n 1 | sed 's/^[^:]*: *"//; s/"$//'
}

# With a token, what Sprout says of the host until it is ready.
watched() {
    host=${hook#*/api/hosts/} shown='' left=$PATIENCE
    printf 'header = "Authorization: Bearer %s"\n' "$SPROUT_API_TOKEN" >"$tmp/as"
    while [ "$left" -gt 0 ]; do
        get state "$tmp/host" --config "$tmp/as" "$base/api/hosts/${host%%/*}"
        state=$(said state)
        [ "$state" = "$shown" ] || step 'Sprout says' "$state"
        shown=$state
        case $state in
        ready) return ;;
        failed) die 1 "the rebuild failed: $(said detail)" ;;
        esac
        left=$((left - 1))
        sleep 1
    done
    die 6 "the host is $shown, and not ready"
}

LONGEST=900 PATIENCE=${SPROUT_PATIENCE:-120} from=
while [ $# -gt 0 ]; do
    case $1 in
    --help | -h) usage && exit 0 ;;
    --from)
        [ $# -gt 1 ] || { usage >&2 && exit 2; }
        from=$2
        shift
        ;;
    -*) usage >&2 && exit 2 ;;
    *) break ;;
    esac
    shift
done
[ $# -eq 2 ] || { usage >&2 && exit 2; }
base=${1%/} mac=$2
case $base in http://?* | https://?*) ;; *) die 2 "$base is no URL of http or https" ;; esac
printf %s "$mac" | grep -Eqi '^([0-9a-f]{2}[:-]){5}[0-9a-f]{2}$' || die 2 "$mac is no MAC address"
command -v curl >/dev/null || die 2 'curl is missing'

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM HUP

hardware
boot_script
kernel
words
answer
first_boot_script
installed
phone_home
[ -z "${SPROUT_API_TOKEN:-}" ] || watched
