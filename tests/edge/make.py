"""Bodies of requests: the least that is valid, so that each argument in a test matters."""

MAC = "52:54:00:00:00:01"


def site(**more):
    return {"name": "Amsterdam", "slug": "ams-1"} | more


def network(site_id, **more):
    return {
        "siteId": str(site_id),
        "name": "provisioning",
        "cidr": "10.77.0.0/24",
        "rangeStart": "10.77.0.10",
        "rangeEnd": "10.77.0.99",
    } | more


def artifact(**more):
    return {"ref": "debian", "name": "Debian", "prefix": "debian-12"} | more


def image(**more):
    return {
        "ref": "debian-12",
        "name": "Debian 12",
        "architecture": "x86_64",
        "artifactRef": "debian",
        "kernelPath": "vmlinuz",
        "initrdPath": "initrd.img",
        "imagePath": "disk.raw",
        "checksums": {"vmlinuz": "0" * 64, "initrd.img": "1" * 64, "disk.raw": "2" * 64},
        "imageBytes": 1 << 30,
    } | more


def profile(**more):
    return {"ref": "plain", "name": "Plain", "cloudConfigTemplate": "#cloud-config\n{}\n"} | more


def interface(**more):
    return {"name": "eth0", "macAddress": MAC, "pxeEnabled": True} | more


def bmc(**more):
    return {"address": "http://127.0.0.1:1", "username": "admin", "secretRef": "env:BMC"} | more


def machine(site_id, **more):
    return {
        "siteId": str(site_id),
        "hostname": "node-01",
        "architecture": "x86_64",
        "interfaces": [interface()],
        "bmc": bmc(),
        "rootDisk": {"serial": "S1"},
    } | more
