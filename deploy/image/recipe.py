"""What goes into the image and the deploy system: names and sizes, nothing that does anything."""

from typing import Final

SUITE: Final = "bookworm"
ARCHITECTURE: Final = "amd64"
IMAGE: Final = "debian-12.raw"
OUTPUTS: Final = ("vmlinuz", "initrd.img", IMAGE, "grub-local.efi")

KERNEL: Final = "linux-image-cloud-amd64"
"""The package that depends on the newest kernel of its kind."""

PACKAGES: Final = (
    *("systemd-sysv", "udev", "kmod", "iproute2", "iputils-ping", "openssh-server"),
    *("e2fsprogs", "fdisk"),  # to grow the root file system into the disk
    "procps",  # uptime and free, which a person asks first
    "acpid",  # heeds the power button, by which a BMC asks for a graceful end; logind wants D-Bus
    "usr-is-merged",
)
"""Installed in the image, beside what Debian calls essential, and apt."""

UNPACKED: Final = ("busybox-static", "grub-pc-bin", "grub-efi-amd64-bin")
"""Only taken apart, like the kernel: what the deploy system and the boot loaders are made of."""

DEPLOY_MODULES: Final = (
    *("virtio_pci", "virtio_rng", "virtio_net", "vmxnet3"),
    *("virtio_blk", "virtio_scsi", "vmw_pvscsi", "sd_mod"),
)
"""NVMe and ext4 are built into this kernel; e1000e, igb and AHCI are not made for it at all."""

INVENTORY_KERNEL: Final = "linux-image-amd64"
"""For metal: the cloud's kernel has no drivers for it."""

INVENTORY_PACKAGES: Final = (
    *("busybox-static", "smartmontools", "dmidecode", "ethtool", "memtester"),
    *("libc6", "libgcc-s1", "libstdc++6", "libselinux1", "libpcre2-8-0", "libmnl0"),
)
"""Only taken apart: the tools of the inventory system, and the libraries that they name."""

INVENTORY_TOOLS: Final = (
    *("usr/sbin/smartctl", "usr/sbin/dmidecode", "sbin/ethtool", "usr/sbin/memtester"),
)

_NET: Final = "drivers/net/ethernet"
INVENTORY_DRIVERS: Final = (
    *(f"{_NET}/{maker}" for maker in ("amazon/ena", "aquantia", "broadcom", "cisco/enic")),
    *(f"{_NET}/{maker}" for maker in ("chelsio/cxgb4", "emulex", "google/gve", "huawei")),
    *(f"{_NET}/{maker}" for maker in ("intel/e1000", "intel/e1000e", "intel/igb", "intel/igc")),
    *(f"{_NET}/{maker}" for maker in ("intel/ixgbe", "intel/i40e", "intel/ice", "mellanox/mlx4")),
    *(f"{_NET}/{maker}" for maker in ("mellanox/mlx5/core", "realtek", "qlogic/qede", "sfc")),
    *("drivers/net/virtio_net", "drivers/net/vmxnet3", "drivers/net/phy", "drivers/virtio"),
    *("drivers/block/virtio_blk", "drivers/nvme/host/nvme", "drivers/ata"),
    *("drivers/scsi/sd_mod", "drivers/scsi/sg", "drivers/scsi/virtio_scsi"),
    *("drivers/scsi/vmw_pvscsi", "drivers/scsi/hv_storvsc", "drivers/scsi/aacraid"),
    *("drivers/scsi/hpsa", "drivers/scsi/megaraid", "drivers/scsi/mpi3mr"),
    *("drivers/scsi/mpt3sas", "drivers/scsi/smartpqi", "drivers/scsi/isci"),
    *("drivers/usb/host", "drivers/usb/storage/usb-storage", "drivers/hv", "drivers/net/hyperv"),
    *("drivers/char/ipmi", "drivers/char/hw_random/virtio-rng", "fs/efivarfs"),
    *("lib/crc-t10dif", "crypto/crct10dif_generic", "crypto/crc32c_generic"),
)
"""Folders of drivers, or single ones; what they need comes along.  Cards that want firmware which
is not free are seen, and have no link."""

INVENTORY_OUTPUTS: Final = ("vmlinuz", "initrd.img")
INVENTORY_MOST: Final = 60 * 1024 * 1024
"""Bytes of both together: what every commissioned machine fetches."""

# Shortest useful command line.  Consoles are not here: whoever boots the machine knows them.
_UNATTENDED: Final = ("quiet", "panic=10", "no_timer_check")
"""A kernel that panics starts again after ten seconds, for nobody is there to press a button.  It
is made for virtual machines, and does not look whether their timer ticks: an emulator that comes
late for that look would make it panic."""

KERNEL_ARGS: Final = _UNATTENDED

INSTALLED_ARGS: Final = (*_UNATTENDED, "console=tty0", "console=ttyS0,115200")
"""The command line of the installed system, after its root file system."""

ROOT_LABEL: Final = "root"
"""Of the partition and of its file system."""

MIB: Final = 1024 * 1024
IMAGE_BYTES: Final = 600 * MIB
BIOS_BOOT: Final = (1 * MIB, 1 * MIB)
ESP: Final = (4 * MIB, 36 * MIB)
ROOT: Final = (40 * MIB, IMAGE_BYTES - 41 * MIB)
"""(begin, length) in bytes.  The root file system begins on a border of chunks (4 MiB); the last
MiB is for the second partition table."""

KEPT_MODULES: Final = (
    *("arch/x86/crypto", "crypto", "lib", "drivers/net", "drivers/block", "drivers/virtio"),
    *("drivers/scsi", "drivers/nvme", "drivers/ata", "drivers/md", "drivers/char/hw_random"),
    "drivers/acpi",  # the power button is a module
    *("fs/fat", "fs/nls", "fs/isofs", "fs/overlayfs", "fs/autofs", "fs/fuse", "fs/configfs"),
    *("fs/efivarfs", "fs/xfs", "net/core", "net/ipv4", "net/ipv6", "net/netfilter"),
    *("net/bridge", "net/802", "net/8021q", "net/llc", "net/packet", "net/vmw_vsock"),
)
"""Folders of the kernel's modules that the image keeps: each 25 MB are a second of deployment."""

REMOVED: Final = (
    *("usr/share/doc/*", "usr/share/man/*", "usr/share/info/*", "usr/share/locale/*"),
    *("usr/share/lintian", "usr/share/bug", "usr/lib/x86_64-linux-gnu/gconv"),
    *("usr/share/zoneinfo/right", "usr/share/zoneinfo/posix"),
    *("usr/lib/udev/hwdb.bin", "usr/lib/udev/hwdb.d/*", "var/cache/debconf/*-old"),
    *("var/lib/apt/lists/*", "var/cache/apt/*.bin", "var/cache/ldconfig/*", "var/log/*.log"),
    *("etc/ssh/ssh_host_*", "etc/hostname", "etc/resolv.conf", "boot/*"),
)
"""Left out of the image: documentation, caches, and whatever names this one machine."""

ENABLED_UNITS: Final = (
    *("systemd-networkd.service", "systemd-networkd-wait-online.service", "ssh.service"),
    *("sprout-apply.service", "sprout-finish.service"),
)

MASKED_UNITS: Final = (
    *("getty@.service", "serial-getty@.service", "getty-static.service"),
    *("systemd-timesyncd.service", "e2scrub_reap.service", "e2scrub_all.timer"),
    *("systemd-update-utmp.service", "systemd-update-utmp-runlevel.service"),
    *("systemd-update-done.service", "systemd-hwdb-update.service", "ldconfig.service"),
    *("systemd-journal-catalog-update.service", "systemd-pstore.service"),
    *("systemd-binfmt.service", "systemd-sysusers.service", "systemd-firstboot.service"),
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "fstrim.timer"),
    *("dev-hugepages.mount", "dev-mqueue.mount"),
    *("sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-fs-fuse-connections.mount"),
    *("proc-sys-fs-binfmt_misc.automount", "modprobe@drm.service", "modprobe@fuse.service"),
)
"""Each costs a part of a second of the first boot, or wants a network beyond the site's."""
