# What the machine is made of, as its kernel and its firmware tell.
# shellcheck shell=sh
# shellcheck disable=SC2154  # the network is read elsewhere

DMI=/sys/class/dmi/id
# Flags that decide what may run on a processor, of the hundred that it has.
FLAGS='lm|nx|aes|avx|avx2|avx512f|sha_ni|vmx|svm|sgx|sev|ept|npt|rdrand|hypervisor'

# settle: controllers are probed in the background: go on when two looks agree.
settle() {
    sleep 1
    for _ in $(seq 40); do
        seen=$(disks)
        sleep 1
        [ "$seen" != "$(disks)" ] || break
    done
}

hardware() {
    echo "sprout-inventory 1"
    fact system.kernel "$(uname -r)"
    board
    processors
    fact memory.bytes "$(memory_bytes)"
    dimms
    number=0
    for disk in $(disks); do
        disk_facts "disk.$number" "$disk"
        number=$((number + 1))
    done
    number=0
    for path in /sys/class/net/*; do
        [ "$(cat "$path/type")" = 1 ] || continue
        [ -e "$path/device" ] || continue
        nic_facts "nic.$number" "$path"
        number=$((number + 1))
    done
    management
}

board() {
    told system.manufacturer "$DMI/sys_vendor"
    told system.model "$DMI/product_name"
    told system.version "$DMI/product_version"
    told system.serial "$DMI/product_serial"
    told system.uuid "$DMI/product_uuid"
    told system.sku "$DMI/product_sku"
    told board.manufacturer "$DMI/board_vendor"
    told board.model "$DMI/board_name"
    told board.serial "$DMI/board_serial"
    told chassis.manufacturer "$DMI/chassis_vendor"
    told chassis.serial "$DMI/chassis_serial"
    told chassis.type "$DMI/chassis_type"
    told firmware.vendor "$DMI/bios_vendor"
    told firmware.version "$DMI/bios_version"
    told firmware.date "$DMI/bios_date"
    fact firmware.boot "$(firmware)"
    fact firmware.secure_boot "$(secure_boot)"
}

# The variable is four bytes of attributes and one that says it.
secure_boot() {
    [ "$(firmware)" = uefi ] || return 0
    for path in /sys/firmware/efi/efivars/SecureBoot-*; do
        [ -r "$path" ] || return 0
        case $(tail -c 1 "$path" | xxd -p) in
            01) echo yes ;;
            00) echo no ;;
        esac
    done
}

processors() {
    fact cpu.architecture "$(uname -m)"
    fact cpu.model "$(cpuinfo 'model name' | head -n 1)"
    fact cpu.manufacturer "$(cpuinfo vendor_id | head -n 1)"
    fact cpu.sockets "$(cpuinfo 'physical id' | sort -u | grep -c .)"
    fact cpu.cores "$(cores)"
    fact cpu.threads "$(nproc)"
    fact cpu.flags "$(cpuinfo flags | head -n 1 | tr ' ' '\n' | grep -xE "$FLAGS" | tr '\n' ' ')"
}

cpuinfo() {
    sed -n "s/^$1[[:space:]]*: //p" /proc/cpuinfo
}

cores() {
    awk -F ': ' '/^physical id/ { p = $2 } /^core id/ { print p, $2 }' /proc/cpuinfo | sort -u | grep -c .
}

# Each filled slot, as type 17 of SMBIOS has it.
dimms() {
    dmidecode -q -t 17 2>/dev/null | awk '
        function line(key, value) { if (value != "") print "dimm." n "." key, value }
        function end() {
            if (size != "" && size !~ /No Module/) {
                line("size", size); line("locator", locator); line("type", type)
                line("speed", speed); line("manufacturer", maker); line("serial", serial)
                line("part", part); n++
            }
            size = locator = type = speed = maker = serial = part = ""
        }
        BEGIN { n = 0 }
        /^[A-Z]/ { end() }
        /^\tSize: / { size = rest() }
        /^\tLocator: / { locator = rest() }
        /^\tType: / { type = rest() }
        /^\tSpeed: / { speed = rest() }
        /^\tManufacturer: / { maker = rest() }
        /^\tSerial Number: / { serial = rest() }
        /^\tPart Number: / { part = rest() }
        function rest() { sub(/^[^:]*: */, ""); sub(/ *$/, ""); return $0 ~ /^(Unknown|Not Specified|None)$/ ? "" : $0 }
        END { end() }'
}

# disk_facts KEY NAME
disk_facts() {
    at=/sys/block/$2
    fact "$1.name" "$2"
    fact "$1.serial" "$(serial_of "$2")"
    fact "$1.wwn" "$(wwn_of "$2")"
    fact "$1.bytes" "$(bytes_of "$2")"
    told "$1.model" "$at/device/model"
    told "$1.firmware" "$at/device/firmware_rev"
    told "$1.firmware" "$at/device/rev"
    told "$1.rotational" "$at/queue/rotational"
    told "$1.sector" "$at/queue/logical_block_size"
    fact "$1.transport" "$(transport "$2")"
}

# By the buses on its way: the last that says what it is.
transport() {
    case $(readlink -f "/sys/block/$1/device") in
        */nvme*) echo nvme ;;
        */usb*) echo usb ;;
        */ata[0-9]*) echo sata ;;
        */end_device-*) echo sas ;;
        */rport-*) echo fc ;;
        */session*) echo iscsi ;;
        */virtio*) echo virtio ;;
        *) echo scsi ;;
    esac
}

# nic_facts KEY PATH
nic_facts() {
    name=${2##*/}
    ip link set "$name" up 2>/dev/null
    fact "$1.name" "$name"
    fact "$1.mac" "$(permanent_mac "$name")"
    fact "$1.driver" "$(basename "$(readlink -f "$2/device/driver")")"
    fact "$1.bus" "$(basename "$(readlink -f "$2/device")")"
    fact "$1.device" "$(cat "$2/device/vendor" "$2/device/device" 2>/dev/null | tr '\n' ' ')"
    fact "$1.link" "$(if [ "$(cat "$2/carrier" 2>/dev/null)" = 1 ]; then echo up; else echo down; fi)"
    fact "$1.speed" "$(grep -x '[1-9][0-9]*' "$2/speed" 2>/dev/null)"
    fact "$1.firmware" "$(ethtool -i "$name" 2>/dev/null | sed -n 's/^firmware-version: //p' | grep -v '^N/A$')"
}

permanent_mac() {
    burnt=$(ethtool -P "$1" 2>/dev/null | sed -n 's/^Permanent address: //p')
    case $burnt in
        *:*:*:*:*:*) if [ "$burnt" != 00:00:00:00:00:00 ]; then echo "$burnt"; return; fi ;;
    esac
    cat "/sys/class/net/$1/address"
}

management() {
    for path in /sys/devices/platform/ipmi_bmc.* /sys/class/ipmi/ipmi*/device/bmc; do
        [ -e "$path/firmware_revision" ] || continue
        fact bmc.interface ipmi
        told bmc.firmware "$path/firmware_revision"
        told bmc.manufacturer "$path/manufacturer_id"
        told bmc.product "$path/product_id"
        told bmc.uuid "$path/guid"
        return
    done
}
