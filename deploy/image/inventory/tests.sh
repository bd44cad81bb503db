# A quick test of the hardware, in seconds and not in hours.  Each outcome: pass, fail or skipped.
# shellcheck shell=sh
# shellcheck disable=SC2154  # the manifest is read elsewhere

CPU_S=5
MEMORY_S=60
DISK_S=20
# Bytes of memory that are tried, of what is free a quarter at most.
MEMORY_MOST=268435456
# The tests of memtester that go over the memory once or twice, and not sixty times.
MEMORY_TESTS=0xff
# So many places of a disk are read, spread over all of it; each so many MiB.
PLACES=16
PLACE_MIB=4

run_tests() {
    if [ "$tests" != yes ]; then
        say "tests are somebody else's here"
        return 0
    fi
    post progress stage=cpu
    test_cpu
    post progress stage=memory
    test_memory
    post progress stage=disks
    for disk in $(disks); do
        # Due before they start: who waits may look before a test has run its first line.
        due "smart-$disk"
        due "read-$disk"
        test_smart "$disk" &
        read_disk "$disk" &
    done
    wait_for_tests
}

# Not for the watch over the whole, which ends later.
wait_for_tests() {
    until [ "$(find "$WORK/tests" -name '*.due' | wc -l)" = 0 ]; do sleep 0.2; done
}

# outcome FILE TEST OUTCOME DETAIL [SUBJECT] [MORE...]
outcome() {
    {
        echo "test $2"
        fact outcome "$3"
        fact detail "$4"
        fact subject "${5:-}"
        fact reallocated "${6:-}"
        fact mib_per_s "${7:-}"
    } >"$WORK/tests/$1.new"
    mv "$WORK/tests/$1.new" "$WORK/tests/$1.facts"
    rm -f "$WORK/tests/$1.due"
    say "$2 ${5:-}: $3 ${4:-}"
}

due() {
    : >"$WORK/tests/$1.due"
}

# Whole numbers and fractions, over and over, on every core at once.
test_cpu() {
    end=$(($(date +%s) + CPU_S))
    right=$(computed)
    pids=
    for core in $(seq 0 $(($(nproc) - 1))); do
        taskset -c "$core" "$LIBRARY/core" "$right" "$end" >"$WORK/core.$core" 2>&1 &
        pids="$pids $!"
    done
    for pid in $pids; do wait "$pid"; done
    bad=$(cat "$WORK"/core.* | grep -c '^wrong')
    rounds=$(cat "$WORK"/core.* | grep -c '^right')
    if [ "$right" != "$KNOWN" ] || [ "$bad" != 0 ]; then
        outcome cpu cpu fail "a computation came out wrong: $(cat "$WORK"/core.* | grep '^wrong' | head -n 1)"
    else
        outcome cpu cpu pass "$rounds computations on $(nproc) cores in $CPU_S s"
    fi
}

test_memory() {
    free=$(awk '/^MemAvailable:/ { printf "%d", $2 * 1024 }' /proc/meminfo)
    share=$((free / 4))
    if [ "$share" -gt "$MEMORY_MOST" ]; then share=$MEMORY_MOST; fi
    mib=$((share / 1048576))
    if [ "$mib" -lt 1 ]; then
        outcome memory memory skipped "only $((free / 1048576)) MiB are free"
        return
    fi
    MEMTESTER_TEST_MASK=$MEMORY_TESTS timeout "$MEMORY_S" memtester "${mib}M" 1 >"$WORK/memtester" 2>&1
    case $? in
        0) outcome memory memory pass "$mib MiB" ;;
        124 | 143) outcome memory memory skipped "$mib MiB were not done in $MEMORY_S s" ;;
        1) outcome memory memory skipped "$(tail -n 1 "$WORK/memtester")" ;;
        *) outcome memory memory fail "$(grep -a FAILURE "$WORK/memtester" | head -n 1)" ;;
    esac
}

# test_smart NAME: the disk's own judgement; bit 3 of the status says that it fails.
test_smart() {
    record=$WORK/smart-$1
    timeout "$DISK_S" smartctl -H -A -i "/dev/$1" >"$record" 2>&1
    status=$?
    judged=$(sed -n 's/^SMART overall-health self-assessment test result: //p; s/^SMART Health Status: //p' "$record")
    if [ -z "$judged" ]; then
        outcome "smart-$1" smart skipped "$(unable "$record")" "$1"
    elif [ $((status & 8)) != 0 ]; then
        outcome "smart-$1" smart fail "$judged" "$1" "$(reallocated "$record")"
    else
        outcome "smart-$1" smart pass "$judged" "$1" "$(reallocated "$record")"
    fi
}

unable() {
    if [ "$(transport "${1##*/smart-}")" = virtio ]; then
        echo "a virtual disk without SMART"
    else
        grep -m 1 -iE 'unavailable|unable|failed|lacks|please specify|not support' "$1" ||
            echo "the disk says nothing of SMART"
    fi
}

reallocated() {
    sed -n 's/^Elements in grown defect list: *//p' "$1"
    awk '$2 == "Reallocated_Sector_Ct" { print $10 }
        /^Media and Data Integrity Errors:/ { print $NF }' "$1" | tr -d ','
}

# read_disk NAME: past the page cache, and for reading alone.
read_disk() {
    bytes=$(bytes_of "$1")
    if [ "$bytes" -lt 1048576 ]; then
        outcome "read-$1" disk-read skipped "there is no medium" "$1"
        return
    fi
    "$LIBRARY/places" "/dev/$1" "$((bytes / 1048576))" "$PLACES" "$PLACE_MIB" "$DISK_S" \
        >"$WORK/read-$1" 2>&1
    read -r what mib seconds why <"$WORK/read-$1"
    case $what in
        done) outcome "read-$1" disk-read pass "$mib MiB in $seconds s" "$1" "" "$(rate "$mib" "$seconds")" ;;
        slow) outcome "read-$1" disk-read skipped "$mib MiB were read in $seconds s, and no more" "$1" ;;
        *) outcome "read-$1" disk-read fail "$what $mib $seconds $why" "$1" ;;
    esac
}

rate() {
    awk -v mib="$1" -v s="$2" 'BEGIN { if (s > 0) printf "%d", mib / s }'
}

# shellcheck source=/dev/null
. "$LIBRARY/computing.sh"
