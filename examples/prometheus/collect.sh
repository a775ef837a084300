#!/bin/sh
# SPDX-License-Identifier: MIT
#
# collect.sh: the counters of a mount, for the textfile collector of Prometheus' node exporter.
#
#	* * * * * root /usr/share/doc/sivcfs/examples/prometheus/collect.sh     # a line of /etc/cron.d/sivcfs
#
#	collect.sh [MOUNTPOINT [DIRECTORY]]     # /sivc, /var/lib/prometheus/node-exporter
#
# One file an endpoint, because a file may describe a counter once.  Each is put in place whole.
set -eu
mountpoint=${1:-/sivc} directory=${2:-/var/lib/prometheus/node-exporter}

for stats in "$mountpoint/stats" "$mountpoint"/endpoints/*/stats "$mountpoint"/streams/*/stats; do
  [ -e "$stats" ] || continue # there are no others
  name=${stats#"$mountpoint"}
  name=sivc$(printf %s "${name%/stats}" | tr / -)
  cat "$stats" > "$directory/$name.new"
  chmod 0644 "$directory/$name.new"
  mv "$directory/$name.new" "$directory/$name.prom"
done
