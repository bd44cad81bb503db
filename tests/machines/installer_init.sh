#!/bin/sh
# In the place of the installer's own init: it looks for /proxmox.iso first, mounts it and asks for
# its answer as it is told there.  It begins as after the kernel: nothing is mounted, no card is up.

mkdir -p /proc /sys /dev /mnt
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
say() { echo "INSTALLER $*"; }
end() { say "$*"; sync; poweroff -f; }

say "began with <$*>, left with $(echo /pxe-*)"
[ -f /proxmox.iso ] || end "has no ISO"
for driver in virtio_pci virtio_net loop isofs; do modprobe "$driver"; done
mount -t iso9660 -o loop,ro /proxmox.iso /mnt || end "cannot mount its ISO"
say "reads $(sha256sum </mnt/large.squashfs)"

MODE=/mnt/auto-installer-mode.toml
value() { sed -n "s/^$1 = \"\(.*\)\"\$/\1/p" "$MODE"; }
say "is of mode $(value mode)"
say "bears $(value token)"
say "asks $(value url)"
grep -q ends-when-told /proc/cmdline && end "leaves the rest to others"

for path in /sys/class/net/e*; do card=${path##*/}; done
say "finds $card $(cat "/sys/class/net/$card/operstate") at <$(ip -4 -o address show dev "$card")>"
ip link set "$card" up
udhcpc -i "$card" -s /lease -n -q -f -t 10 || end "has no address"
asked="{\"network_interfaces\": [{\"link\": \"$card\", \"mac\": \"$(cat "/sys/class/net/$card/address")\"}]}"
wget -q -O /answer --header "Authorization: Bearer $(value token)" \
    --header 'Content-Type: application/json' --post-data "$asked" "$(value url)" || end "got no answer"
end "is answered $(sed -n 's/^fqdn = //p' /answer)"
