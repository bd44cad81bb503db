# The image: a batch of chunks into memory, each chunk verified, then onto the disk.
# shellcheck shell=sh
# shellcheck disable=SC2154  # the manifest and the disk are read elsewhere

announced=0

write_image() {
    try 5 fetch "$chunks" "$WORK/chunks" || fail "the list of chunks could not be fetched"
    plan_writes || fail "the list of chunks does not fit the image: $(cat "$WORK/plan.error")"
    while read -r kind offset bytes sum <&3; do
        case $kind in
            batch) receive_batch ;;
            chunk) verify_chunk && write_from "$WORK/chunk" ;;
            zero) write_from /dev/zero ;;
        esac
    done 3<"$WORK/plan"
    rm -f "$WORK/batch" "$WORK/chunk"
    sync
    # Reports of progress run in the background; none may arrive after "installed".
    wait
}

# plan_writes: what to do, in the order of the disk.  Refuses a list of another image.
plan_writes() {
    awk -v size="$image_size" -v sha256="$image_sha256" -f "$LIBRARY/plan.awk" \
        "$WORK/chunks" >"$WORK/plan" 2>"$WORK/plan.error"
}

receive_batch() {
    batch_begin=$offset
    try 6 fetch_range "$image" "$offset" "$bytes" "$WORK/batch" ||
        fail "$bytes bytes of the image at byte $offset could not be fetched"
}

# verify_chunk: $WORK/chunk has the right checksum, or nothing more is written.
verify_chunk() {
    dd if="$WORK/batch" of="$WORK/chunk" bs="$bytes" count=1 iflag=skip_bytes \
        skip=$((1 + offset - batch_begin)) 2>"$WORK/dd" || fail "in memory: $(cat "$WORK/dd")"
    actual=$(sha256sum <"$WORK/chunk")
    [ "${actual%% *}" = "$sum" ] ||
        fail "the chunk at byte $offset has the checksum ${actual%% *}, not $sum"
}

# write_from FILE: past the page cache, since nothing reads these blocks before the restart.
write_from() {
    dd if="$1" of="$disk" bs="$bytes" count=1 seek="$offset" oflag=seek_bytes,direct conv=notrunc \
        2>"$WORK/dd" || fail "writing to $disk at byte $offset: $(cat "$WORK/dd")"
    announce $((offset + bytes))
}

# announce WRITTEN: each tenth, to the console and, without waiting for the answer, to the site.
announce() {
    tenth=$(($1 * 10 / image_size))
    [ "$tenth" -gt "$announced" ] || return 0
    announced=$tenth
    say "writing $((tenth * 10))%"
    post progress written="$1" total="$image_size" &
}
