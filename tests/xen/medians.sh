#!/bin/sh
# SPDX-License-Identifier: MIT
#
# medians.sh FILE: transfer.tsv or streams.tsv, in which each work is there once a round, to a line for
# each work: transport, mode, bytes, and the median of its fifth column (microseconds a message; of a
# round trip: of the rounds' medians), in the order in which they came first.
set -eu

quantile=$(cat "$(dirname "$0")/../bench/quantile.awk")
exec awk "$quantile"'
  BEGIN { FS = OFS = "\t" }
  NR > 1 {
    work = $1 OFS $2 OFS $3
    if (!(work in values)) order[++works] = work
    values[work] = values[work] " " ($2 == "roundtrip" ? $6 : $5)
  }
  END { for (w = 1; w <= works; w++) print order[w], quantile_of(values[order[w]], 0.5) }' "$1"
