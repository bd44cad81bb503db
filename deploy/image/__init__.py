"""The Debian image, the kernel and initramfs that put it on a disk, and those that take inventory.

recipe, elf, initramfs, key, grub decide what goes where, as values and bytes
apt, rootfs, disk, inventory_image      run Debian's tools
build                                   makes each once, and keeps it
initramfs/, inventory/ (shell), rootfs/ (overlay) run on the machine itself
"""
