# What this boot is to do: lines of a key, one space, and a value.
# shellcheck shell=sh
# shellcheck disable=SC2034  # the other files read what is set here

read_manifest() {
    [ -n "$1" ] || fail "the kernel command line has no sprout.manifest"
    try 5 fetch "$1" "$WORK/manifest" || fail "the manifest could not be fetched: $(cat "$WORK/wget")"
    version=
    tests=yes
    while read -r key value; do
        take "$key" "$value"
    done <"$WORK/manifest"
    [ "$version" = 1 ] || fail "the manifest has version '$version', this system reads 1"
    [ -n "$callback" ] || fail "the manifest names no callback"
}

# Unknown keys are for later versions of this reader.
take() {
    case $1 in
        version) version=$2 ;;
        callback) callback=$2 ;;
        tests) tests=$2 ;;
    esac
}
