#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# report.sh DIRECTORY: the measurements of a run, as tables of ratios and as plots.
#
# Reads flood.tsv and transfer.tsv there, prints the tables, and writes flood.svg and transfer.svg
# if gnuplot is here.
set -euo pipefail

xen=$(dirname "$(realpath "$0")")
cd "$1"

flood_table() {
  awk -F '\t' 'NR == 1 { printf "| what guest 2 sends | a second | CPU of guest 1, %% | its event-channel interrupts a second | runs of its sivcfs |\n|---|--:|--:|--:|--:|\n"; next }
    { printf "| %s | %d | %s | %s | %d |\n", $1, $2, $3, $4, $5 }' flood.tsv
}

# Times the speed of TCP, in the same run.
transfer_table() {
  awk -F '\t' '
    NR > 1 && !($1 in known) { known[$1]; order[++n] = $1 }
    NR > 1 { us[$1, $2, $3] = $2 == "roundtrip" ? $6 : $5 }
    function cell(t, mode, bytes, tcp) {
      tcp = us["tcp", mode, bytes]
      if (!((t, mode, bytes) in us)) return " |"
      return sprintf(" %.1f us", us[t, mode, bytes]) (tcp ? sprintf(" (%.1f) |", tcp / us[t, mode, bytes]) : " |")
    }
    END {
      print "| carried by | 1 KB, one way | 1 KB, round trip (median) | 128 KiB | 512 KiB |"
      print "|---|--:|--:|--:|--:|"
      for (i = 1; i <= n; i++) {
        t = order[i]
        print "| " t " |" cell(t, "oneway", 1024) cell(t, "roundtrip", 1024) \
          cell(t, "oneway", 131072) cell(t, "oneway", 524288)
      }
      print "Microseconds a message, and how many times as fast as TCP over netfront."
    }' transfer.tsv
}

for name in flood transfer; do
  [[ -s $name.tsv ]] || continue
  "${name}_table"
  echo
  if command -v gnuplot >/dev/null; then gnuplot "$xen/$name.gp"; fi
done
