# The report goes in parts, since the site takes no large forms; then one word that it is whole.
# shellcheck shell=sh
# shellcheck disable=SC2154  # the manifest is read elsewhere

PART_BYTES=24576
# What the tools said word for word is evidence; so much of all that is sent.
RECORD_BYTES=393216

records() {
    {
        record dmidecode dmidecode -q
        for said in "$WORK"/smart-* "$WORK/memtester"; do
            if [ -r "$said" ]; then record "${said##*/}" cat "$said"; fi
        done
        record pci pci_devices
        record kernel kernel_words
    } | head -c "$RECORD_BYTES"
}

# record NAME COMMAND...: a line that begins with # is no fact.
record() {
    echo "## $1"
    shift
    "$@" 2>&1 | tr -c '\040-\176\n\t' '?' | sed 's/^/# /'
}

pci_devices() {
    for device in /sys/bus/pci/devices/*; do
        echo "${device##*/} $(cat "$device/vendor" "$device/device" "$device/class" | tr '\n' ' ')"
    done
}

# The command line holds a token of this boot.
kernel_words() {
    dmesg | sed 's/\(sprout\.manifest=\)[^ ]*/\1***/g'
}

send_report() {
    parts=0
    size=$(stat -c %s "$REPORT")
    while [ $((parts * PART_BYTES)) -lt "$size" ]; do
        dd if="$REPORT" of="$WORK/part" bs="$PART_BYTES" skip="$parts" count=1 2>/dev/null
        try 10 post_part "$parts" || fail "the site did not take part $parts of the report"
        parts=$((parts + 1))
    done
    sum=$(sha256sum <"$REPORT")
    post_until_taken 20 inventoried parts="$parts" bytes="$size" sha256="${sum%% *}"
}

post_part() {
    timeout 15 wget -q -O /dev/null --header "Content-Type: text/plain" \
        --post-file "$WORK/part" "${callback}report-$1" 2>"$WORK/wget"
}
