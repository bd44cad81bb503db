# Disks by what is burnt into them: for the deploy system, and for installers of distributions.
#
# Kept to what the small shell of Debian's installer knows: no classes in tr, no sleep below 1 s.
# shellcheck shell=sh
# shellcheck disable=SC2154,SC2018,SC2019  # what is wanted is set by whoever reads this; ASCII alone

# Whole, writable disks that are backed by a device (neither loop nor RAM disks are).
disks() {
    for path in /sys/block/*; do
        [ -e "$path/device" ] || continue
        # One way of several to an NVMe disk (nvme0c0n1): it is no disk of its own, nor in /dev.
        [ "$(cat "$path/hidden" 2>/dev/null)" != 1 ] || continue
        [ "$(cat "$path/ro")" = 0 ] || continue
        case ${path##*/} in
            sr* | fd*) ;;
            *) echo "${path##*/}" ;;
        esac
    done
}

matching_disks() {
    for name in $seen; do
        if matches "$name"; then echo "$name"; fi
    done
}

matches() {
    [ "$(bytes_of "$1")" -ge "$want_bytes" ] || return 1
    if [ -n "$want_serial" ]; then [ "$(serial_of "$1")" = "$want_serial" ] || return 1; fi
    if [ -n "$want_wwn" ]; then [ "$(wwn_of "$1")" = "$(plain_wwn "$want_wwn")" ] || return 1; fi
}

bytes_of() {
    echo $(($(cat "/sys/block/$1/size") * 512))
}

# NVMe and virtio say it in a file; SCSI and SATA on page 80h of the vital product data.
serial_of() {
    for path in "/sys/block/$1/device/serial" "/sys/block/$1/serial"; do
        if [ -s "$path" ]; then trimmed <"$path"; fi
    done
    # Its size is said to be 0, whatever it holds.
    if [ -r "/sys/block/$1/device/vpd_pg80" ]; then
        dd if="/sys/block/$1/device/vpd_pg80" bs=1 skip=4 2>/dev/null | trimmed
    fi
}

wwn_of() {
    plain_wwn "$(cat "/sys/block/$1/wwid" "/sys/block/$1/device/wwid" 2>/dev/null | head -n 1)"
}

# plain_wwn TEXT: one form for naa.5000C5..., 0x5000c5..., wwn-0x5000c5..., eui.0025-38....
plain_wwn() {
    echo "$1" | tr A-Z a-z | sed 's/^wwn-//; s/^0x//; s/^\(naa\|eui\|uuid\)\.//; s/[ :-]//g'
}

trimmed() {
    tr -d '\000' | sed 's/^[[:space:]]*//; s/[[:space:]]*$//' | head -n 1
}

wanted() {
    echo "serial '$want_serial' wwn '$want_wwn' of at least $want_bytes bytes"
}

seen_disks() {
    list=
    for name in $seen; do
        list="$list$name (serial '$(serial_of "$name")', wwn '$(wwn_of "$name")',"
        list="$list $(bytes_of "$name") bytes) "
    done
    echo "${list:-no disk at all}"
}
