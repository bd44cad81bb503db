"""The Debian image, and the kernel and initramfs that put it on a disk.

recipe, cpio, initramfs, key, grub      decide what goes where, as values and bytes
apt, rootfs, disk, build                run Debian's tools
initramfs/ (shell), rootfs/ (overlay)   what runs on the machine itself
"""
