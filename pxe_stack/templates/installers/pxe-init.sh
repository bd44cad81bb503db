#!/bin/sh
# The first process of an installer that fetches its own ISO: network, ISO, then the installer.
#
# Kept to what busybox knows.  Whatever fails is said on the console, and tried again until it
# passes or somebody takes the machine away: nothing here may start the installer without its ISO.

CONF=/pxe-init.conf
ISO=/proxmox.iso
PART=$ISO.part
PAUSE=5
LONGEST=900

say() {
    echo "sprout: $*"
}

main() {
    PATH=/usr/sbin:/usr/bin:/sbin:/bin
    export PATH
    { read -r url; read -r size; read -r mac; } <"$CONF"
    if [ -s "$ISO" ]; then
        say "the ISO came with the kernel"
        exec /init "$@"
    fi
    mounted
    drivers
    until card=$(card_of "$mac") && leased "$card"; do
        say "no address yet for the card $mac; seen are: $(seen)"
        sleep "$PAUSE"
        drivers
    done
    until fetched; do
        say "the ISO is not here yet; trying again"
        sleep "$PAUSE"
    done
    hand_over "$@"
}

mounted() {
    mkdir -p /proc /sys /dev /run /tmp
    [ -e /proc/self ] || mount -t proc proc /proc
    [ -e /sys/class ] || mount -t sysfs sysfs /sys
    [ -e /dev/null ] || mount -t devtmpfs devtmpfs /dev
}

# What drives each device that is there: a card's driver is known by what the card says of itself.
# Some are on a bus that is there only when what drives the bus is.
drivers() {
    known=
    while devices=$(echo /sys/bus/*/devices/*/modalias) && [ "$devices" != "$known" ]; do
        known=$devices
        for told in $devices; do
            if [ -r "$told" ]; then modprobe -q "$(cat "$told")" 2>/dev/null; fi
        done
    done
}

card_of() {
    for path in /sys/class/net/*; do
        if [ "$(cat "$path/address" 2>/dev/null)" = "$1" ]; then
            echo "${path##*/}"
            return 0
        fi
    done
    return 1
}

seen() {
    for path in /sys/class/net/*; do
        [ "${path##*/}" = lo ] || printf '%s ' "${path##*/}=$(cat "$path/address" 2>/dev/null)"
    done
}

leased() {
    ip link set "$1" up || return 1
    # A switch may take half a minute before it lets a port speak.
    udhcpc -i "$1" -s /pxe-udhcpc -t 10 -T 3 -n -q -f
}

# What came is kept, and gone on with: an ISO is a gigabyte, and a network is not always well.
# The time limit is not wget's own (-T): Debian's static busybox 1.35 crashes on it.
fetched() {
    timeout "$LONGEST" wget -q -c -O "$PART" "$url"
    have=$(wc -c <"$PART" 2>/dev/null) || have=0
    say "$have of $size bytes of the ISO"
    if [ "$have" -gt "$size" ]; then rm -f "$PART"; fi
    [ "$have" -eq "$size" ] && mv "$PART" "$ISO"
}

# The installer's own init finds the machine as the kernel would have left it to it.
hand_over() {
    rm -f "$CONF" /pxe-udhcpc
    ip address flush dev "$card"
    ip link set "$card" down
    for folder in /dev /sys /proc; do umount "$folder" 2>/dev/null; done
    say "the ISO is here; starting the installer"
    exec /init "$@"
}

main "$@"
