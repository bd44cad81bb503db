#!/bin/sh
# What a distribution's installer does for Sprout: find the disk, and say how far it is.
#
# usage: installer started | autoinstall FILE | partman | installed | failed
# shellcheck disable=SC2034,SC2018,SC2019  # disks.sh, which follows, reads what is wanted, in ASCII

callback={{ callback }}
installer={{ installer }}
want_serial={{ serial }}
want_wwn={{ wwn }}
want_bytes={{ min_bytes }}
stand_in={{ stand_in }}

{{ disks }}
main() {
    case $1 in
        started) told started "installer=$installer" ;;
        autoinstall) choose_disk && sed -i "s|$stand_in|$disk|g" "$2" ;;
        # Asked last of all: partman writes next, and may not where the run is over by now.
        partman) choose_disk && told progress "installer=$installer&disk=$(encoded "$disk")" &&
            debconf-set partman-auto/disk "$disk" && debconf-set grub-installer/bootdev "$disk" ;;
        installed) told installed "installer=$installer" ;;
        failed) told failed "stage=installer&reason=$(encoded "the installer failed: $(last_failure)")" ;;
        *) return 2 ;;
    esac
}

# choose_disk: set disk to the one that is meant, or say which there are and fail.
choose_disk() {
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        seen=$(disks)
        sleep 1
        # Controllers are probed in the background: judge when two looks agree.
        [ "$seen" = "$(disks)" ] || continue
        found=$(matching_disks)
        [ -z "$found" ] || break
    done
    case $(echo "$found" | grep -c .) in
        1) disk=/dev/$found ;;
        0) refuse "no disk matches $(wanted); seen: $(seen_disks)" ;;
        *) refuse "more than one disk matches $(wanted); seen: $(seen_disks)" ;;
    esac
}

refuse() {
    echo "sprout: $1" >&2
    told failed "stage=disk&reason=$(encoded "$1")"
    return 1
}

# told EVENT FORM: until the site has taken it, for about two minutes.
told() {
    for pause in 1 2 4 8 15 15 15 15 15 0; do
        post "$1" "$2" && return 0
        sleep "$pause"
    done
    echo "sprout: the site did not take '$1'" >&2
    return 1
}

post() {
    if command -v curl >/dev/null; then
        curl -fsS -o /dev/null --max-time 15 --data "$2" "$callback$1"
    else
        wget -q -O /dev/null -T 15 -t 1 --post-data "$2" "$callback$1"
    fi
}

# encoded TEXT: for a form; what is left as it is, servers read as it is.
encoded() {
    printf %s "$1" | tr '\n' ' ' | sed 's/%/%25/g; s/&/%26/g; s/+/%2B/g; s/=/%3D/g; s/ /+/g'
}

# last_failure: which part of Ubuntu's installer failed last, by its name alone: what it writes of
# commands may hold secrets.
last_failure() {
    sed -n 's|.*finish: \(subiquity/[A-Za-z0-9_/-]*\): FAIL.*|\1|p' \
        /var/log/installer/subiquity-server-debug.log 2>/dev/null | tail -n 1 | grep . ||
        echo "its logs are in /var/log/installer"
}

main "$@"
