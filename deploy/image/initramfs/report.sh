# What the operator sees on the console and what the site is told.
# shellcheck shell=sh

stage=start
callback=

say() {
    echo "sprout: $*"
}

# enter STAGE SENTENCE: everything that fails from here on fails in STAGE.
enter() {
    stage=$1
    say "$2"
}

# fail SENTENCE: tell everybody, then end; init powers the machine off.
fail() {
    say "FAILED in stage $stage: $1"
    if [ -n "$callback" ]; then
        try 5 post failed stage="$stage" reason="$1" || say "the site was not reached"
    fi
    exit 1
}

# try TIMES COMMAND...: repeat COMMAND until it succeeds; the pauses grow from 1 s to 15 s.
try() {
    left=$1
    pause=1
    shift
    until "$@"; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || return 1
        sleep "$pause"
        pause=$((pause * 2))
        [ "$pause" -le 15 ] || pause=15
    done
}

# post EVENT KEY=VALUE...: one form to the site.  True when it answered 200.
post() {
    event=$1
    form=
    shift
    for field in "$@"; do
        form="$form&${field%%=*}=$(url_encoded "${field#*=}")"
    done
    timeout 15 wget -q -O /dev/null --post-data "${form#&}" "$callback$event"
}

post_until_taken() {
    times=$1
    shift
    try "$times" post "$@" || fail "the site did not accept '$1'"
}

# url_encoded TEXT: every byte as %xx, unless all are harmless.
url_encoded() {
    case $1 in
        *[!A-Za-z0-9._-]*) printf %s "$1" | xxd -p | tr -d '\n' | sed 's/../%&/g' ;;
        *) printf %s "$1" ;;
    esac
}

# kernel_argument NAME: its value on the kernel command line, or nothing.
kernel_argument() {
    tr ' ' '\n' </proc/cmdline | sed -n "s/^$1=//p" | tail -n 1
}

firmware() {
    if [ -d /sys/firmware/efi ]; then echo uefi; else echo bios; fi
}

memory_bytes() {
    awk '/^MemTotal:/ { printf "%d", $2 * 1024 }' /proc/meminfo
}

smbios() {
    cat "/sys/class/dmi/id/$1" 2>/dev/null
}
