# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# guests.bash: domains of the lab and what can be done with them.  To be sourced.
#
# Domain 0 is dom0.  Guest N, for N from 1, is a domain with the name "sivc-uN" and the address
# 10.9.0.N on a bridge in dom0; its domain id is N when the lab has just been booted, and another
# when it was started again.  Every domain runs commands for who asks (remote.c).
#
# Where dom0 runs bash, BASH_ENV names this file, so that `in_domain 0 "domain_create 2 pv"` works:
# domain_* are for dom0.  lab_dir is the directory with vmlinuz and guest.img.

# domain_reach N: sets `reach`, what makes a command line of a program and runs it in domain N.
domain_reach() {
  local ports
  read -ra ports <<<"${lab_ports:-}"
  if [[ ${ports[$1]:-} ]]; then
    reach=("$lab_remote" 127.0.0.1 "${ports[$1]}")
  elif [[ $1 == 0 ]]; then # we are in dom0
    reach=(bash -c)
  else
    reach=("${lab_remote:-remote}" "10.9.0.$1" 7)
  fi
}

# in_domain N COMMAND...: a line of bash, with our standard input, output and errors; returns its
# exit status.  When we are killed, so is the command.
in_domain() {
  local reach
  domain_reach "$1"
  "${reach[@]}" "${*:2}"
}

# --- In dom0 --------------------------------------------------------------------------------------

domains_bridge=sivclab
domains_memory=256 # MiB a guest

# The bridge between the guests, and the script by which libxl puts a guest's interface into it.
domains_prepare() {
  ip link add "$domains_bridge" type bridge
  ip addr add 10.9.0.254/24 dev "$domains_bridge"
  ip link set "$domains_bridge" up
  cat >"$lab_dir/vif" <<EOT
#!/bin/bash
if [[ \$1 == online || \$1 == add ]]; then
  ip link set dev "\$vif" master $domains_bridge
  ip link set dev "\$vif" up
  xenstore-write "\$XENBUS_PATH/hotplug-status" connected
fi
EOT
  chmod +x "$lab_dir/vif"
}

domain_type() { # N TYPE[:TYPE...]: the Nth, or the last if there are fewer
  local types
  IFS=: read -ra types <<<"$2"
  echo "${types[$1 - 1]:-${types[-1]}}"
}

domain_create() { # N pv|pvh: starts guest N; returns when it runs, not when it answers
  cat >"$lab_dir/u$1" <<EOT
name = "sivc-u$1"
type = "$2"
kernel = "$lab_dir/vmlinuz"
ramdisk = "$lab_dir/guest.img"
memory = $domains_memory
vcpus = 1
extra = "console=hvc0 quiet lab_role=guest lab_index=$1"
vif = ["script=$lab_dir/vif,mac=00:16:3e:51:7c:0$1"]
on_crash = "preserve"
EOT
  xl create -q "$lab_dir/u$1"
}

domain_wait() { # N: until it answers
  local end=$((SECONDS + 120))
  until in_domain "$1" true </dev/null 2>/dev/null; do
    ((SECONDS < end)) || return 1
    sleep 0.2
  done
}

domains_remove() { # N...: all that domains_prepare and domain_create have made
  local guest
  for guest; do xl destroy "sivc-u$guest" 2>/dev/null || :; done
  ip link del "$domains_bridge" 2>/dev/null || :
}
