#!/bin/sh
# SPDX-License-Identifier: MIT
#
# top.sh: who sends what: messages and bytes a second, of each endpoint and peer.
#
#	examples/top.sh [MOUNTPOINT [SECONDS [TIMES]]]     # /sivc, every 2 seconds, until Ctrl-C
#
# IN: taken by readers here.  OUT: in memory of the receiver.  QUEUED: bytes that nobody here has read.
# REFUSED, FULL: our own sends that failed with EACCES, or found no room.  Of others' sends that we refuse
# we know nothing: they cost us nothing.
set -eu
mountpoint=${1:-/sivc} seconds=${2:-2} times=${3:--1}

snapshots() {
  while [ "$times" -ne 0 ]; do
    find "$mountpoint/peers" -type l -printf 'name %l %f\n'
    cat "$mountpoint/stats" "$mountpoint"/[es]*s/*/stats 2> /dev/null || : # of each endpoint
    echo end
    times=$((times - 1))
    [ "$times" -eq 0 ] || sleep "$seconds"
  done
}

# shellcheck disable=SC2016 # $1 is awk's
snapshots | awk -v seconds="$seconds" '
  $1 == "name" { name[$2] = $3 }
  match($1, /endpoint="[^"]*",peer="[0-9]+"/) {
    split(substr($1, RSTART), part, "\""); who = part[2] SUBSEP part[4]
    if (!(who in place)) { place[who] = ++n; endpoint[n] = part[2]; peer[n] = part[4] }
    now[substr($1, 6, index($1, "{") - 6), place[who]] = $2
  }
  function rate(what) { return sprintf("%.1f", (now[what, i] - old[what, i]) / seconds) }
  $1 == "end" {
    print "ENDPOINT         PEER              IN/s     BYTES/s     OUT/s     BYTES/s    QUEUED  REFUSED   FULL"
    for (i = 1; i <= n; i++)
      printf "%-16s %-12s %9s %11s %9s %11s %9d %8d %6d\n", endpoint[i], peer[i] in name ? name[peer[i]] : peer[i],
        rate("received_messages_total"), rate("received_bytes_total"), rate("sent_messages_total"), rate("sent_bytes_total"),
        now["queued_bytes", i], now["refused_sends_total", i], now["full_sends_total", i]
    for (key in now) old[key] = now[key]; fflush()
  }'
