#!/usr/bin/env bats
# The first promise, counted: what a guest that may not send puts on the guest that it sends to.
#
# Guest 2 sends 4 KB as fast as it can for FLOOD_SECONDS, and guest 1 refuses it: by its access
# table; by a port that nobody listens on; by a firewall that drops it.  Beside it, nobody sends.
# What this puts on guest 1: CPU time, as the hypervisor accounts it; interrupts of its event
# channels, and runs of its sivcfs, as its kernel counts them.

load helpers

seconds=${FLOOD_SECONDS:-20}
table=$results/flood.tsv

setup_file() {
  mount_in 1
  mount_in 2
  # A refusal that is known, by a page, and therefore the most that there is to look at.
  permit 1 2
  in_domain 2 "echo hello > /sivc/peers/$(id 1)"
  in_domain 1 "dd if=/sivc/inbox bs=100 count=1 status=none
    echo deny $(id 2) > /sivc/acl; modprobe nf_tables"
  printf '%s\t' flood sent_per_s cpu_percent interrupts_per_s >"$table"
  echo sivcfs_switches >>"$table"
}

teardown_file() {
  in_domain 1 'nft flush ruleset'
  unmount_in 1
  unmount_in 2
}

# CPU seconds of guest 1 so far.  Asking does not run it.
cpu() {
  in_domain 0 "xl list sivc-u1 | awk 'NR == 2 { print \$NF }'"
}

# Interrupts of event channels, and context switches of sivcfs.
counts() {
  in_domain 1 'awk "/xen-dyn/ { n += \$2 } END { printf \"%d \", n }" /proc/interrupts
    awk "/ctxt_switches/ { n += \$2 } END { print n }" /proc/$(pgrep -x sivcfs)/status'
}

# measure NAME COMMAND...: adds a line to the table.  Guest 1 is asked before and after all else:
# the asking is work, too, and the same for all.
measure() {
  local name=$1 before after cpu_before cpu_after sent
  shift
  before=$(counts)
  cpu_before=$(cpu)
  sent=$("$@")
  cpu_after=$(cpu)
  after=$(counts)
  awk -v OFS='\t' -v name="$name" -v sent="${sent:-0}" -v s="$seconds" -v cpu="$cpu_before $cpu_after" \
    -v counts="$before $after" 'BEGIN {
      split(cpu, c, " "); split(counts, n, " ")
      print name, int(sent / s), sprintf("%.1f", 100 * (c[2] - c[1]) / s), \
        sprintf("%.1f", (n[3] - n[1]) / s), n[4] - n[2] }' >>"$table"
}

# of NAME COLUMN: a number of the table.
of() {
  awk -v name="$1" -v column="$2" '$1 == name { print $column }' "$table"
}

@test "a refused guest's flood of 4 KB messages costs the receiving guest no more than idling" {
  measure idle sleep "$seconds"
  measure sivcfs in_domain 2 "flood file /sivc/peers/$(id 1) $seconds"
  cat "$table"
  same "$(of sivcfs 5)" 0
  # The hypervisor shows tenths of seconds, and the guest has timers of its own.
  awk -v idle="$(of idle 3)" -v flood="$(of sivcfs 3)" -v slack="$((2 + 30 / seconds))" \
    'BEGIN { exit !(flood <= idle + slack) }'
  awk -v idle="$(of idle 4)" -v flood="$(of sivcfs 4)" -v slack="$((2 + 30 / seconds))" \
    'BEGIN { exit !(flood <= idle + slack) }'
}

@test "the same flood by TCP and UDP, against a closed port and a firewall, costs it more" {
  local address=10.9.0.1 port=9
  measure tcp-closed in_domain 2 "flood tcp $address $port $seconds"
  measure udp-closed in_domain 2 "flood udp $address $port $seconds"
  in_domain 1 'nft -f -' <<END
table ip flood {
  chain input {
    type filter hook input priority 0
    ip saddr 10.9.0.2 ip protocol udp drop
    ip saddr 10.9.0.2 tcp dport $port drop
  }
}
END
  measure tcp-dropped in_domain 2 "flood tcp $address $port $seconds"
  measure udp-dropped in_domain 2 "flood udp $address $port $seconds"
  cat "$table"
  local name
  for name in tcp-closed udp-closed tcp-dropped udp-dropped; do
    awk -v sivcfs="$(of sivcfs 3)" -v other="$(of "$name" 3)" 'BEGIN { exit !(other > 2 * sivcfs) }'
  done
}
