# The interface that the firmware booted from, a lease for it, and HTTP.
# shellcheck shell=sh

mac=
interface=

# connect BOOTIF: bring up the interface with that MAC (01-aa-bb-cc-dd-ee-ff), or the only one.
connect() {
    mac=$(echo "${1#01-}" | tr '[:upper:]-' '[:lower:]:')
    for _ in $(seq 50); do
        interface=$(interface_of "$mac")
        [ -z "$interface" ] || break
        sleep 0.2
    done
    [ -n "$interface" ] || fail "no network interface has the address '$mac'; seen: $(interfaces)"
    mac=$(cat "/sys/class/net/$interface/address")
    ip link set lo up
    ip link set "$interface" up
    # Links that negotiate (spanning tree, LACP) may need half a minute to pass the first packet.
    udhcpc -i "$interface" -n -q -f -t 40 -T 1 -A 1 -s "$LIBRARY/lease" >"$WORK/udhcpc" 2>&1 ||
        fail "no DHCP answer on $interface ($mac)"
    say "network is up: $interface $(address)"
}

# Ethernet only: an address type of 1 is neither loopback nor a tunnel.
interfaces() {
    for path in /sys/class/net/*; do
        if [ "$(cat "$path/type")" = 1 ]; then echo "${path##*/} $(cat "$path/address")"; fi
    done
}

interface_of() {
    if [ -n "$1" ]; then
        interfaces | sed -n "s/ $1\$//p"
    elif [ "$(interfaces | wc -l)" = 1 ]; then
        interfaces | cut -d ' ' -f 1
    fi
}

address() {
    ip -4 -o address show dev "$interface" | sed -n 's/.* inet \([0-9.]*\).*/\1/p' | head -n 1
}

# The time limit is not wget's own (-T): Debian's static busybox 1.35 crashes on it.

# fetch URL FILE: status 4 when the server answered that there is no such thing.
fetch() {
    timeout 15 wget -q -O "$2" "$1" 2>"$WORK/wget" && return 0
    if grep -q ' 404 ' "$WORK/wget"; then return 4; fi
    return 1
}

# fetch_range URL FIRST BYTES FILE: FILE is one byte of padding, then those bytes of URL.
#
# busybox wget takes a partial answer only while it continues a file, hence the padding.  The
# slowest link that is waited for brings 250 kB/s.
fetch_range() {
    printf . >"$4"
    timeout $((30 + $3 / 250000)) \
        wget -q -c -O "$4" --header "Range: bytes=$2-$(($2 + $3 - 1))" "$1" 2>"$WORK/wget" &&
        [ "$(stat -c %s "$4")" = $((1 + $3)) ]
}
