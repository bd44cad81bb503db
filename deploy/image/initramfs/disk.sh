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
