# What this boot is to do: lines of a key, one space, and a value.
# shellcheck shell=sh
# shellcheck disable=SC2034  # the other files read what is set here

read_manifest() {
    [ -n "$1" ] || fail "the kernel command line has no sprout.manifest"
    try 5 fetch "$1" "$WORK/manifest" || fail "the manifest could not be fetched: $(cat "$WORK/wget")"
    version=
    task=install
    want_disks=
    image=
    image_size=
    image_sha256=
    chunks=
    want_serial=
    want_wwn=
    want_bytes=0
    seed=
    while read -r key value; do
        take "$key" "$value"
    done <"$WORK/manifest"
    check_manifest
}

# Unknown keys are for later versions of this reader.
take() {
    case $1 in
        version) version=$2 ;;
        task) task=$2 ;;
        disks) want_disks=$2 ;;
        image) image=$2 ;;
        image-size) image_size=$2 ;;
        image-sha256) image_sha256=$2 ;;
        chunks) chunks=$2 ;;
        disk-serial) want_serial=$2 ;;
        disk-wwn) want_wwn=$2 ;;
        disk-min-bytes) want_bytes=$2 ;;
        seed) seed=$2 ;;
        callback) callback=$2 ;;
    esac
}

check_manifest() {
    [ "$version" = 1 ] || fail "the manifest has version '$version', this system reads 1"
    [ -n "$callback" ] || fail "the manifest names no callback"
    case $task in
        install) check_install ;;
        wipe) check_wipe ;;
        *) fail "the manifest asks for '$task', which this system cannot do" ;;
    esac
}

check_wipe() {
    image_size=0
    case $want_disks in
        all) ;;
        root) [ -n "$want_serial$want_wwn" ] || fail "the manifest identifies no root disk" ;;
        *) fail "disks is '$want_disks', neither all nor root" ;;
    esac
}

check_install() {
    [ -n "$seed" ] || fail "the manifest names no seed"
    [ -n "$want_serial$want_wwn" ] || fail "the manifest identifies no disk by serial or WWN"
    is_number "$want_bytes" || fail "disk-min-bytes is '$want_bytes', not a number"
    is_number "$image_size" || fail "image-size is '$image_size', not a number"
    case $image$chunks in
        http://*http://*) ;;
        *) fail "image and chunks must be http:// addresses" ;;
    esac
}

is_number() {
    case $1 in
        '' | *[!0-9]*) return 1 ;;
    esac
}
