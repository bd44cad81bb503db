# The NoCloud seed, into the root file system of what was just written.
# shellcheck shell=sh
# shellcheck disable=SC2154  # the manifest and the disk are read elsewhere

SEED_FOLDER=/mnt/var/lib/cloud/seed/nocloud

place_seed() {
    blockdev --rereadpt "$disk" || fail "the kernel refused the new partition table of $disk"
    mount_root
    rm -rf "$SEED_FOLDER"
    mkdir -p "$SEED_FOLDER"
    chmod 0700 "$SEED_FOLDER"
    umask 077
    for file in meta-data user-data vendor-data network-config; do
        place_seed_file "$file"
    done
    umount /mnt || fail "the root file system could not be unmounted"
    sync
}

place_seed_file() {
    try 5 fetched_or_absent "$seed$1" "$SEED_FOLDER/$1" || fail "the seed's $1 could not be fetched"
    if [ "$absent" = 1 ]; then
        rm -f "$SEED_FOLDER/$1"
        say "the seed has no $1"
    fi
}

fetched_or_absent() {
    absent=0
    fetch "$1" "$2" && return 0
    [ $? = 4 ] && absent=1
}

# mount_root: the partition labelled "root", else the only one that holds an operating system.
mount_root() {
    for _ in $(seq 25); do
        [ -z "$(partitions)" ] || break
        sleep 0.2
    done
    root=$(partitions | sed -n 's/ root$//p')
    [ -n "$root" ] || root=$(partitions_with_system)
    case $(echo "$root" | grep -c .) in
        0) fail "the image has no partition with an operating system that this kernel can mount" ;;
        1) mount_partition "$root" rw || fail "the root partition $root could not be mounted" ;;
        *) fail "the image has more than one root partition" ;;
    esac
}

# Each partition of the disk with its label.
partitions() {
    for path in "/sys/block/${disk#/dev/}"/*/partition; do
        [ -e "$path" ] || continue
        path=${path%/partition}
        echo "${path##*/} $(sed -n 's/^PARTNAME=//p' "$path/uevent")"
    done
}

partitions_with_system() {
    partitions | while read -r name _; do
        mount_partition "$name" ro || continue
        if [ -e /mnt/etc/os-release ]; then echo "$name"; fi
        umount /mnt
    done
}

mount_partition() {
    mount -t ext4 -o "$2" "/dev/$1" /mnt 2>/dev/null
}
