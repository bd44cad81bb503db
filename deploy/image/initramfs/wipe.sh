# A machine that is given back: what says that something lies on its disks is overwritten.
#
# This is no full wipe.  Both ends of each disk and of each partition go: partition tables, and what
# file systems, RAID, LVM, ZFS and encryption are known by.  What lies between them stays.
# shellcheck shell=sh
# shellcheck disable=SC2154  # the manifest is read elsewhere

EDGE=8388608
# Btrfs keeps copies of its head there.
COPIES="67108864 274877906944"
COPY=65536

# find_disks: set ours and others, or fail: two looks in a row must agree, and the root disk be seen.
find_disks() {
    for _ in $(seq 10); do
        seen=$(disks)
        sleep 3
        [ "$seen" = "$(disks)" ] || continue
        [ -n "$seen" ] || continue
        select_disks
        [ -z "$ours" ] || break
    done
    [ -n "$ours" ] || fail "no disk is the machine's own, or none matches $(wanted); seen: $(seen_disks)"
}

select_disks() {
    ours=
    others=
    root=
    known=
    for name in $seen; do
        why=$(foreign "$name")
        if [ -n "$why" ]; then
            others="$others$name ($why) "
            continue
        fi
        if [ -n "$want_serial$want_wwn" ] && matches "$name"; then root=$name; fi
        if [ "$want_disks" = root ] && [ "$root" != "$name" ]; then
            others="$others$name (not the root disk) "
            continue
        fi
        id=$(wwn_of "$name")
        # A disk that is reached by two ways is written by one of them.  Some makers give all of
        # their disks one WWN: those are told apart by their serial numbers.
        id="${id:-$name}/$(serial_of "$name")/$(bytes_of "$name")"
        case " $known " in
            *" $id "*)
                others="$others$name (another way to the same disk) "
                continue
                ;;
        esac
        known="$known $id"
        ours="$ours $name"
    done
    # The disk that was installed must be among them: else some driver is missing here.
    if [ -n "$want_serial$want_wwn" ] && [ -z "$root" ]; then ours=; fi
}

# foreign NAME: why the disk is not one of the machine, or nothing when it is.
foreign() {
    place=$(readlink -f "/sys/block/$1")
    [ "$(cat "/sys/block/$1/removable")" = 0 ] || echo "removable"
    [ "$(cat "/sys/block/$1/size")" != 0 ] || echo "empty"
    case $place in
        */usb[0-9]*) echo "USB" ;;
    esac
    way=$(far "$1")
    # The root disk is named by what is burnt into it, and was installed by that.
    if [ -n "$way" ] && ! named "$1"; then echo "$way"; fi
}

named() {
    [ -n "$want_serial$want_wwn" ] && matches "$1"
}

# far NAME: what leads to a disk that does not lie in the machine, or may not; nothing when it does.
far() {
    case $1 in
        nvme*) far_nvme "$1" ;;
        sd*) far_scsi ;;
        vd* | xvd* | mmcblk*) ;;
        *) echo "of a kind that is not known to lie in a machine" ;;
    esac
}

# A disk that more than one controller may lead to lies below none of them, but beside all.
far_nvme() {
    ways=$(cat "/sys/block/$1/device/transport" "/sys/block/$1"/device/nvme*/transport 2>/dev/null)
    for way in ${ways:-nothing}; do
        case $way in
            pcie | apple-nvme) ;;
            nothing) echo "it does not say by what it is reached" ;;
            *) echo "reached over a network" ;;
        esac
    done | sort -u
}

# By the way itself, and by what its host adapter is: Fibre Channel, iSCSI or SRP.
far_scsi() {
    case $place in
        */rport-* | */session[0-9]*) echo "reached over a network" && return ;;
    esac
    host=$(echo "$place" | sed -n 's|.*/\(host[0-9]*\)/.*|\1|p')
    for kind in fc_host iscsi_host srp_host; do
        if [ -n "$host" ] && [ -e "/sys/class/$kind/$host" ]; then
            echo "reached over a network"
            return
        fi
    done
}

wipe_disks() {
    number=0
    total=0
    reports=
    for name in $ours; do
        number=$((number + 1))
        wipe_disk "$name"
        total=$((total + overwritten))
    done
}

# wipe_disk NAME: the partitions first, so that what is interrupted can be begun again.
wipe_disk() {
    size=$(bytes_of "$1")
    overwritten=0
    regions "$1" "$size" >"$WORK/regions"
    found=$(signatures "$1")
    say "$1: ${found:-no signature that is known}; overwriting $(grep -c . "$WORK/regions") places"
    while read -r offset bytes; do
        overwrite "$1" "$offset" "$bytes"
    done <"$WORK/regions"
    sync
    while read -r offset bytes; do
        prove "$1" "$offset" "$bytes"
    done <"$WORK/regions"
    prove_gone "$1"
    report="$1 serial=$(serial_of "$1") wwn=$(wwn_of "$1") bytes=$size overwritten=$overwritten"
    report="$report found=${found:-nothing} left=nothing"
    reports="$reports$report
"
    try 5 post progress stage="$report" || fail "the site did not accept 'progress'"
}

# regions NAME BYTES: offset and bytes of what is overwritten, the disk's own ends last.
regions() {
    for path in "/sys/block/$1"/*/partition; do
        [ -e "$path" ] || continue
        path=${path%/partition}
        ends $(($(cat "$path/start") * 512)) $(($(cat "$path/size") * 512))
    done
    ends 0 "$2"
}

ends() {
    if [ "$2" -le $((2 * EDGE)) ]; then
        if [ "$2" -gt 0 ]; then echo "$1 $2"; fi
        return
    fi
    echo "$1 $EDGE"
    for copy in $COPIES; do
        if [ "$2" -gt $((copy + COPY)) ]; then echo "$(($1 + copy)) $COPY"; fi
    done
    echo "$(($1 + $2 - EDGE)) $EDGE"
}

overwrite() {
    dd if=/dev/zero of="/dev/$1" bs="$3" count=1 seek="$2" oflag=seek_bytes,direct conv=notrunc \
        2>"$WORK/dd" || fail "writing to $1 at byte $2: $(cat "$WORK/dd")"
    overwritten=$((overwritten + $3))
}

# prove NAME OFFSET BYTES: read past every cache, all of it is zero.
prove() {
    rm -f "$WORK/back"
    dd if="/dev/$1" of="$WORK/back" bs="$3" count=1 skip="$2" iflag=skip_bytes,direct \
        2>"$WORK/dd" || fail "reading back $1 at byte $2: $(cat "$WORK/dd")"
    [ "$(stat -c %s "$WORK/back")" = "$3" ] || fail "reading back $1 at byte $2: it is cut short"
    [ "$(tr -d '\000' <"$WORK/back" | wc -c)" = 0 ] ||
        fail "$1 at byte $2 is not what was written: the disk keeps something else"
    rm -f "$WORK/back"
}

prove_gone() {
    blockdev --flushbufs "/dev/$1"
    blockdev --rereadpt "/dev/$1" || fail "$1 is in use: its partitions cannot be read anew"
    for path in "/sys/block/$1"/*/partition; do
        [ ! -e "$path" ] || fail "$1 still has partitions"
    done
    left=$(signatures "$1")
    [ -z "$left" ] || fail "$1 still has $left"
}

# signatures NAME: what is known of the disk and of its partitions, each once, with commas.
signatures() {
    {
        signatures_at "$1" 0 "$(bytes_of "$1")"
        for path in "/sys/block/$1"/*/partition; do
            [ -e "$path" ] || continue
            path=${path%/partition}
            signatures_at "$1" $(($(cat "$path/start") * 512)) $(($(cat "$path/size") * 512))
        done
    } | sort -u | tr '\n' ',' | sed 's/,$//'
}

signatures_at() {
    at=$2
    bytes=$3
    while read -r what where magic; do
        case $where in
            md0.90) where=$((bytes / 65536 * 65536 - 65536)) ;;
            md1.0) where=$(((bytes / 512 - 16) / 8 * 8 * 512)) ;;
            zfs-last) where=$((bytes / 262144 * 262144 - 524288 + 16384)) ;;
            -*) where=$((bytes + where)) ;;
        esac
        length=$((${#magic} / 2))
        [ "$where" -ge 0 ] || continue
        [ $((where + length)) -le "$bytes" ] || continue
        if [ "$(hex "$1" $((at + where)) "$length")" = "$magic" ]; then echo "$what"; fi
    done <"$LIBRARY/signatures"
}

hex() {
    dd if="/dev/$1" bs="$3" count=1 skip="$2" iflag=skip_bytes 2>/dev/null | xxd -p | tr -d '\n'
}

# tell_wiped: the end, with a line for each disk as far as a form has room.
tell_wiped() {
    set -- disks="$number" overwritten="$total" others="$others" extent=signatures
    count=0
    while read -r line; do
        count=$((count + 1))
        [ -z "$line" ] || [ "$count" -gt 32 ] || set -- "$@" "disk$count=$line"
    done <<END
$reports
END
    post_until_taken 20 wiped "$@"
}
