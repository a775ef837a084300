# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# guests.bash: domains of the lab and what can be done with them.  To be sourced.
#
# Domain 0 is dom0.  Guest N, for N from 1, is a domain with the name "sivc-uN" and the address
# 10.9.0.N on a bridge in dom0; its domain id is N when the lab has just been booted, and another
# when it was started again.  Every domain runs commands for who asks (remote.c).
#
# This file is used on both sides: by whoever tests, and in dom0 by dom0 itself, where domain_*
# start and end guests.

# in_domain N COMMAND...: a line of bash, with our standard input, output and errors; returns its
# exit status.  When we are killed, so is the command.
in_domain() {
  local ports address=127.0.0.1 port
  read -ra ports <<<"${lab_ports:-}"
  port=${ports[$1]:-}
  if [[ ! $port ]]; then # we are in dom0
    address=10.9.0.$1
    port=7
  fi
  "${lab_remote:-remote}" "$address" "$port" "${*:2}"
}

# --- In dom0 --------------------------------------------------------------------------------------

domains_dir=/run/sivc-lab
domains_image=/lab/guest.img
domains_kernel=/lab/vmlinuz
domains_memory=256 # MiB a guest

# The bridge between the guests, and the script by which libxl puts a guest's interface into it.
domains_prepare() {
  ip link add xenbr0 type bridge
  ip addr add 10.9.0.254/24 dev xenbr0
  ip link set xenbr0 up
  mkdir -p "$domains_dir"
  cat >"$domains_dir/vif" <<'EOT'
#!/bin/bash
if [[ $1 == online || $1 == add ]]; then
  ip link set dev "$vif" master xenbr0
  ip link set dev "$vif" up
  xenstore-write "$XENBUS_PATH/hotplug-status" connected
fi
EOT
  chmod +x "$domains_dir/vif"
}

domain_create() { # N pv|pvh: starts guest N; returns when it runs, not when it answers
  cat >"$domains_dir/u$1" <<EOT
name = "sivc-u$1"
type = "$2"
kernel = "$domains_kernel"
ramdisk = "$domains_image"
memory = $domains_memory
vcpus = 1
extra = "console=hvc0 quiet lab_role=guest lab_index=$1"
vif = ["script=$domains_dir/vif,mac=00:16:3e:51:7c:0$1"]
on_crash = "preserve"
EOT
  xl create -q "$domains_dir/u$1"
}

domain_id() { # N
  xl domid "sivc-u$1"
}

domain_wait() { # N: until it answers
  local end=$((SECONDS + 120))
  until in_domain "$1" true </dev/null 2>/dev/null; do
    ((SECONDS < end)) || return 1
    sleep 0.2
  done
}
