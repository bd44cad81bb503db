# What this boot is to do: lines of a key, one space, and a value.
# shellcheck shell=sh
# shellcheck disable=SC2034  # the other files read what is set here

read_manifest() {
    [ -n "$1" ] || fail "the kernel command line has no sprout.manifest"
    try 5 fetch "$1" "$WORK/manifest" || fail "the manifest could not be fetched: $(cat "$WORK/wget")"
    version=
    task=
    run=
    tests=yes
    its_callback=
    while read -r key value; do
        take "$key" "$value"
    done <"$WORK/manifest"
    check_manifest "$1"
}

# Unknown keys are for later versions of this reader.
take() {
    case $1 in
        version) version=$2 ;;
        task) task=$2 ;;
        run) run=$2 ;;
        callback) its_callback=$2 ;;
        tests) tests=$2 ;;
    esac
}

# check_manifest URL: nobody is told of a manifest that is another boot's: its callback is that one's.
check_manifest() {
    [ -n "$its_callback" ] || fail "the manifest names no callback"
    of_run "$1" || fail "the manifest is of the run '$run', and this boot is of another"
    of_run "$its_callback" || fail "the manifest of the run '$run' has another run told of it"
    callback=$its_callback
    [ "$version" = 1 ] || fail "the manifest has version '$version', this system reads 1"
    [ "$task" = inventory ] || fail "the manifest asks for '$task', and this system takes inventory"
}

# of_run URL: whether the run of the manifest is whose URL that is: http://SITE/boot/RUN/TOKEN/NAME.
of_run() {
    case $1 in
        http://*/boot/?*/*) ;;
        *) return 1 ;;
    esac
    path=${1##*/boot/}
    [ "${path%%/*}" = "$run" ]
}
