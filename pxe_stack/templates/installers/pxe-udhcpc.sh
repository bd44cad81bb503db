#!/bin/sh
# What udhcpc calls with the lease in its environment.
# shellcheck disable=SC2154

case $1 in
    bound | renew)
        ip address flush dev "$interface"
        ip address add "$ip/$mask" dev "$interface"
        for gateway in ${router:-}; do
            ip route add default via "$gateway" dev "$interface"
            break
        done
        ;;
esac
