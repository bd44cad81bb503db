#!/bin/sh
# The first boot of this host: tells Sprout that it is there, and where.  While this ends with an
# error, the installer's own unit runs it again at each boot.
set -u

home='{{ home_url }}'
# SHA-256 of the certificate behind it; without one, the authorities that this system trusts vouch.
pin='{{ pin }}'

# Vendors leave zeros where they have no number.
number() {
    tr -cd 'A-Za-z0-9._:-' <"$1" 2>/dev/null | grep '[^0:.-]'
}

hardware_id() {
    card=$(ip -o route show default 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1)
    for file in /sys/class/dmi/id/product_uuid /sys/class/dmi/id/product_serial \
        "/sys/class/net/$card/address" /sys/class/net/*/address /etc/machine-id; do
        [ -r "$file" ] && number "$file" && return
    done
    hostname
}

address() {
    server=$(printf %s "$home" | sed 's,^[a-z]*://,,; s,[:/].*,,')
    found=$(ip -o route get "$server" 2>/dev/null | sed -n 's/.* src \([^ ]*\).*/\1/p' | head -n 1)
    [ -n "$found" ] || found=$(hostname -I 2>/dev/null | cut -d ' ' -f 1)
    printf %s "$found"
}

# The public key of the certificate that is pinned, as curl wants it; nothing for any other.
key() {
    at=$(printf %s "$home" | sed 's,^[a-z]*://,,; s,/.*,,; /:[0-9]*$/!s/$/:443/')
    shown=$(timeout 30 openssl s_client -connect "$at" </dev/null 2>/dev/null | openssl x509)
    found=$(printf '%s\n' "$shown" | openssl x509 -noout -fingerprint -sha256 | sed 's/.*=//')
    [ "$found" = "$pin" ] || return 1
    printf '%s\n' "$shown" | openssl x509 -noout -pubkey | openssl pkey -pubin -outform der |
        openssl dgst -sha256 -binary | base64
}

tell() {
    body="{\"ip\": \"$(address)\", \"hardware_id\": \"$(hardware_id)\"}"
    if [ -n "$pin" ]; then
        # What vouches is the key and nothing else: the certificate may be its own authority.
        pinned=$(key) && curl -fsS --max-time 30 -o /dev/null --insecure \
            --pinnedpubkey "sha256//$pinned" -H 'Content-Type: application/json' -d "$body" "$home"
        return
    fi
    curl -fsS --max-time 30 -o /dev/null -H 'Content-Type: application/json' -d "$body" "$home" ||
        wget -q -T 30 -t 1 -O /dev/null --header 'Content-Type: application/json' \
            --post-data "$body" "$home"
}

tries=${SPROUT_TRIES:-60}
pause=${SPROUT_PAUSE:-5}
while [ "$tries" -gt 0 ]; do
    tell && exit 0
    tries=$((tries - 1))
    sleep "$pause"
done
exit 1
