# SPDX-License-Identifier: MIT
#
# medians.awk: transfer.tsv, in which each work is there once a round, to a line for each work:
# transport, mode, bytes, and the median of its microseconds a message (of a round trip: of the
# rounds' medians), in the order in which they came first.
BEGIN { FS = OFS = "\t" }
NR > 1 {
  work = $1 OFS $2 OFS $3
  if (!(work in count)) order[++works] = work
  value = $2 == "roundtrip" ? $6 : $5
  # Sorted as they come: there are few.
  for (i = ++count[work]; i > 1 && values[work, i - 1] > value + 0; i--)
    values[work, i] = values[work, i - 1]
  values[work, i] = value + 0
}
END {
  for (w = 1; w <= works; w++) {
    n = count[order[w]]
    middle = (values[order[w], int((n + 1) / 2)] + values[order[w], int(n / 2) + 1]) / 2
    print order[w], middle
  }
}
