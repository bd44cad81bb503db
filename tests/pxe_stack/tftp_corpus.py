"""Requests by hand: what firmware sends, and what nobody should.  Seeds of the fuzzer, too."""

FIRMWARE = (
    b"\0\1snponly.efi\0octet\0tsize\x000\0blksize\x001468\0",  # EDK2, first
    b"\0\1snponly.efi\0octet\0blksize\x001468\0windowsize\x004\0",  # EDK2, then
    b"\0\1undionly.kpxe\0octet\0tsize\x000\0",  # Intel's ROM, first
    b"\0\1undionly.kpxe\0octet\0blksize\x001456\0",  # Intel's ROM, then
    b"\0\1ipxe.pxe\0octet\0blksize\x001432\0tsize\x000\0",  # iPXE
    b"\0\1ipxe-arm64.efi\0octet\0timeout\x005\0tsize\x000\0blksize\x001468\0",  # U-Boot
    b"\0\1\\Boot\\x64\\bootx64.efi\0octet\0tsize\x000\0blksize\x001456\0",
    b"\0\1/EFI/BOOT/BOOTX64.EFI\0OCTET\0TSIZE\x000\0BLKSIZE\x001024\0",
    b"\0\1snponly.efi\0netascii\0",  # tftp-hpa by default
    b"\0\1snponly.efi\0octet\0tsize\x000\0timeout\x005\0blksize\x001428\0windowsize\x0016\0",
    b"\0\1snponly.efi\0octet\0blksize\x00512\0rollover\x000\0utimeout\x00500000\0",
    b"\0\1snponly.efi\0octet\0" + b"\0" * 490,  # padded
)

HOSTILE = (
    b"",
    b"\0",
    b"\0\1",
    b"\0\1\0",
    b"\0\1\0\0",
    b"\0\1\0octet\0",
    b"\0\1.\0octet\0",
    b"\0\1..\0octet\0",
    b"\0\1/\0octet\0",
    b"\0\1/etc/\0octet\0",
    b"\0\1../../../../etc/passwd\0octet\0",
    b"\0\1snponly.efi/\0octet\0",
    b"\0\1snponly.efi/../../../etc/shadow\0octet\0",
    b"\0\1C:\\boot.ini\0octet\0",
    b"\0\1\xff\xfe\xfd\0octet\0",
    b"\0\1sn\xc3\xb6nly.efi\0octet\0",
    b"\0\1snponly.efi\0oct\xe9t\0",
    b"\0\1snponly.efi\0mail\0",
    b"\0\1snponly.efi\0octet",
    b"\0\1snponly.efi\0octet\0blksize\0abc\0",
    b"\0\1snponly.efi\0octet\0blksize\0-1\0",
    b"\0\1snponly.efi\0octet\0blksize\x000\0",
    b"\0\1snponly.efi\0octet\0blksize\x007\0",
    b"\0\1snponly.efi\0octet\0blksize\x0065465\0",
    b"\0\1snponly.efi\0octet\0blksize\x0099999999999999999999\0",
    b"\0\1snponly.efi\0octet\0blksize\0 512\0",
    b"\0\1snponly.efi\0octet\0blksize\x005_12\0",
    b"\0\1snponly.efi\0octet\0windowsize\x000\0",
    b"\0\1snponly.efi\0octet\0windowsize\x0065536\0",
    b"\0\1snponly.efi\0octet\0timeout\x000\0",
    b"\0\1snponly.efi\0octet\0timeout\x00256\0",
    b"\0\1snponly.efi\0octet\0tsize\0-5\0",
    b"\0\1snponly.efi\0octet\0blksize\x00512",
    b"\0\1snponly.efi\0octet\0\0\0\0blksize\x00512\0",
    b"\0\1snponly.efi\0octet\0" + b"a\0b\0" * 200,
    b"\0\1snponly.efi\0octet\0" + b"x" * 70_000,
    b"\0\1" + b"a" * 60_000 + b"\0octet\0",
    b"\0\1" + b"../" * 300 + b"\0octet\0",
    b"\0\1%s%n%x\0octet\0",
    b"\0\2snponly.efi\0octet\0",
    b"\0\2/etc/passwd\0octet\0tsize\x0099\0",
    b"\0\3\0\1data",
    b"\0\3\0",
    b"\0\4\0\1",
    b"\0\4",
    b"\0\5\0\1gone\0",
    b"\0\5",
    b"\0\6blksize\x00512\0",
    b"\0\7snponly.efi\0octet\0",
    b"\xff\xff" * 40,
    b"\1\0snponly.efi\0octet\0",
)

CORPUS = FIRMWARE + HOSTILE
