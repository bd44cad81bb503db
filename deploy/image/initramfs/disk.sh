# The one disk that the manifest means, by what is burnt into it and never by its name.
# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154  # the other files read what is set here, and the reverse

# choose_disk: set disk, disk_serial and disk_bytes, or fail with the list of what is there.
choose_disk() {
    for _ in $(seq 50); do
        seen=$(disks)
        sleep 0.3
        # Controllers are probed in the background: judge when two looks agree.
        [ "$seen" = "$(disks)" ] || continue
        found=$(matching_disks)
        [ -z "$found" ] || break
    done
    case $(echo "$found" | grep -c .) in
        0) fail "no disk matches $(wanted); seen: $(seen_disks)" ;;
        1) ;;
        *) fail "more than one disk matches $(wanted); seen: $(seen_disks)" ;;
    esac
    disk=/dev/$found
    disk_serial=$(serial_of "$found")
    disk_bytes=$(bytes_of "$found")
    [ "$disk_bytes" -ge "$image_size" ] ||
        fail "the disk has $disk_bytes bytes, the image needs $image_size"
}

# Whole, writable disks that are backed by a device (neither loop nor RAM disks are).
disks() {
    for path in /sys/block/*; do
        [ -e "$path/device" ] || continue
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
        tail -c +5 "/sys/block/$1/device/vpd_pg80" | trimmed
    fi
}

wwn_of() {
    plain_wwn "$(cat "/sys/block/$1/wwid" "/sys/block/$1/device/wwid" 2>/dev/null | head -n 1)"
}

# plain_wwn TEXT: one form for naa.5000C5…, 0x5000c5…, wwn-0x5000c5…, eui.0025-38….
plain_wwn() {
    echo "$1" | tr '[:upper:]' '[:lower:]' | sed 's/^wwn-//; s/^0x//; s/^\(naa\|eui\|uuid\)\.//; s/[ :-]//g'
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
