#!/bin/sh
# The first boot of this host: tells Sprout that it is there, and where.  While this ends with an
# error, the installer's own unit runs it again at each boot.
set -u

home='{{ home_url }}'

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

tell() {
    body="{\"ip\": \"$(address)\", \"hardware_id\": \"$(hardware_id)\"}"
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
