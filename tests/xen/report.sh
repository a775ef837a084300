#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# report.sh DIRECTORY: the measurements of a run, as tables of ratios and as plots.
#
# Reads flood.tsv, transfer.tsv and streams.tsv there, prints the tables in Markdown, and writes
# flood.svg and transfer.svg if gnuplot is here (run.sh -o installs it).
set -euo pipefail

xen=$(dirname "$(realpath "$0")")
cd "$1"

flood_table() {
  awk -F '\t' '
    BEGIN {
      name["idle"] = "nothing"; name["sivcfs"] = "sivcfs messages"
      name["tcp-closed"] = "TCP, to a closed port"; name["tcp-dropped"] = "TCP, dropped by a firewall"
      name["udp-closed"] = "UDP, to a closed port"; name["udp-dropped"] = "UDP, dropped by a firewall"
      print "| what the refused guest sends | a second | CPU of the receiving guest, % " \
        "| its event-channel interrupts a second | runs of its sivcfs |"
      print "|---|--:|--:|--:|--:|"
    }
    NR > 1 { printf "| %s | %d | %s | %s | %d |\n", name[$1], $2, $3, $4, $5 }' flood.tsv
}

# Times the speed of TCP, in the same run.
transfer_table() {
  "$xen/medians.sh" transfer.tsv | awk -F '\t' '
    !($1 in known) { known[$1]; order[++n] = $1 }
    { us[$1, $2, $3] = $4 }
    function cell(t, mode, bytes, tcp) {
      tcp = us["tcp", mode, bytes]
      if (!((t, mode, bytes) in us)) return " |"
      return sprintf(" %.1f us", us[t, mode, bytes]) (tcp ? sprintf(" (%.1f) |", tcp / us[t, mode, bytes]) : " |")
    }
    BEGIN {
      name["tcp"] = "TCP over netfront"; name["vchan"] = "libvchan"; name["batched"] = "libsivc, batched"
      name["file"] = "sivcfs, plain files"; name["framed"] = "sivcfs, framed files"
      name["file-spin"] = "sivcfs, plain files, spin=10000"
      name["framed-256K"] = "sivcfs, framed files, ring=256K"
      name["framed-2M"] = "sivcfs, framed files, ring=2M"
    }
    END {
      print "| carried by | 1 KB, one way | 1 KB, round trip (median) | 128 KiB | 512 KiB |"
      print "|---|--:|--:|--:|--:|"
      for (i = 1; i <= n; i++) {
        t = order[i]
        print "| " (t in name ? name[t] : t) " |" cell(t, "oneway", 1024) cell(t, "roundtrip", 1024) \
          cell(t, "oneway", 131072) cell(t, "oneway", 524288)
      }
      print "\nMicroseconds a message, and how many times as fast as TCP over netfront."
    }'
}

streams_table() {
  "$xen/medians.sh" streams.tsv | awk -F '\t' '
    !($1 in known) { known[$1]; order[++n] = $1 }
    { value[$1, $2] = $4 }
    BEGIN {
      name["tcp"] = "TCP over netfront"; name["stream"] = "sivcfs, a stream"
      name["stream-2M"] = "sivcfs, a stream, ring=2M"
      name["floor"] = "*null FUSE file systems, one in each guest*"
      print "| dd bs=128k, carried by | a write | context switches a MiB | event-channel interrupts a MiB |"
      print "|---|--:|--:|--:|"
    }
    END {
      for (i = 1; i <= n; i++) {
        t = order[i]
        printf "| %s | %.1f us (%.1f) | %.0f | %.0f |\n", name[t], value[t, "us"], value["tcp", "us"] / value[t, "us"], \
          value[t, "switches"], value[t, "interrupts"]
      }
      print "\nSwitches and interrupts are those of both guests together."
    }'
}

for name in flood transfer streams; do
  [[ -s $name.tsv ]] || continue
  "${name}_table"
  echo
  if [[ -e $xen/$name.gp ]] && command -v gnuplot >/dev/null; then gnuplot -c "$xen/$name.gp" "$xen"; fi
done
