#!/bin/sh
# What Debian's installer leaves in /target, before the restart: the machine's own address, the
# profile for cloud-init, and a service that phones home once.
set -eu

seed={{ seed }}
callback={{ callback }}
mac={{ mac }}
target=/target

fetch() {
    wget -q -O "$2" -T 15 -t 10 --retry-connrefused "$seed$1"
}

interface() {
    for path in /sys/class/net/*; do
        if [ "$(cat "$path/address")" = "$mac" ]; then echo "${path##*/}"; fi
    done
}

write_network() {
    name=$(interface)
    cat >"$target/etc/network/interfaces" <<END
source /etc/network/interfaces.d/*

auto lo
iface lo inet loopback

allow-hotplug $name
iface $name inet static
{{ network }}
END
    echo "network: {config: disabled}" >"$target/etc/cloud/cloud.cfg.d/99-sprout-network.cfg"
}

write_seed() {
    mkdir -p "$target/var/lib/cloud/seed/nocloud"
    fetch user-data "$target/var/lib/cloud/seed/nocloud/user-data"
    fetch meta-data "$target/var/lib/cloud/seed/nocloud/meta-data"
    chmod 600 "$target/var/lib/cloud/seed/nocloud/user-data"
    echo "datasource_list: [NoCloud, None]" >"$target/etc/cloud/cloud.cfg.d/99-sprout-seed.cfg"
}

write_phone_home() {
    mkdir -p "$target/usr/lib/sprout" "$target/etc/systemd/system/multi-user.target.wants"
    (umask 077 && cat >"$target/usr/lib/sprout/phone-home") <<END
#!/bin/sh
# Tells the site by which keys this host is known, once; then goes.
set -eu
curl -fsS -o /dev/null --max-time 15 \\
    --data-urlencode pub_key_ed25519@/etc/ssh/ssh_host_ed25519_key.pub \\
    --data-urlencode pub_key_rsa@/etc/ssh/ssh_host_rsa_key.pub \\
    --data-urlencode "hostname=\$(hostname)" "${callback}phone-home"
systemctl disable sprout-phone-home.service
rm -f /etc/systemd/system/sprout-phone-home.service /usr/lib/sprout/phone-home
END
    chmod 700 "$target/usr/lib/sprout/phone-home"
    cat >"$target/etc/systemd/system/sprout-phone-home.service" <<END
[Unit]
Description=Tell Sprout that this host is up
Wants=network-online.target
After=network-online.target ssh.service

[Service]
Type=oneshot
ExecStart=/usr/lib/sprout/phone-home
Restart=on-failure
RestartSec=10

[Install]
WantedBy=multi-user.target
END
    ln -sf ../sprout-phone-home.service \
        "$target/etc/systemd/system/multi-user.target.wants/sprout-phone-home.service"
}

write_network
write_seed
write_phone_home
