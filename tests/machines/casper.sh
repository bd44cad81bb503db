#!/bin/sh
# In the place of Ubuntu's initramfs and cloud-init: what they read of the kernel's command line,
# what they fetch, and the commands of the autoinstall.

/bin/busybox --install -s /bin
mkdir -p /proc /sys /dev /run
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run
mkdir -p /run/sprout
while read -r module; do insmod "/lib/modules/$module"; done </lib/modules/order

WORK=/run/sprout
LIBRARY=/lib/sprout
. "$LIBRARY/report.sh"
. "$LIBRARY/network.sh"

word() { tr ' ' '\n' </proc/cmdline | sed -n "s|^$1=||p"; }

connect "$(word BOOTIF)"
echo "CASPER cmdline $(cat /proc/cmdline)"
echo "CASPER iso $(word iso-url) $(word ip) $(word cloud-config-url)"
seed=$(word 'ds=nocloud;s')
for name in meta-data user-data vendor-data network-config; do
    fetch "$seed$name" "/run/$name" && echo "CASPER has $name"
done
wget --spider -q "$(word iso-url)" && echo "CASPER found the ISO"
cp /run/user-data /autoinstall.yaml
sed -n '/error-commands/,/^  [a-z]/d; s/^  - \(sh .*\)/\1/p' /autoinstall.yaml >/run/commands
fetch "${seed}installer" /run/sprout-installer
sh -e /run/commands && echo "CASPER ran its commands"
sed -n 's/^ *path: /CASPER installs on /p' /autoinstall.yaml
fetch "${seed}user-data" /run/again || echo "CASPER is refused its seed"
poweroff -f
