# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# measure.bash: what is compared takes turns, in several rounds; medians count.  `table` is the
# test's: a file of columns separated by tabs, as medians.sh reads it.

rounds=${TRANSFER_ROUNDS:-1}

# of TRANSPORT MODE BYTES: the median.
of() {
  "$xen/medians.sh" "$table" | awk -v transport="$1" -v mode="$2" -v bytes="$3" \
    '$1 == transport && $2 == mode && $3 == bytes { print $4 }'
}

# beats FACTOR A B MODE BYTES: the median of A is less than that of B divided by FACTOR.
beats() {
  local a b
  a=$(of "$2" "$4" "$5") b=$(of "$3" "$4" "$5")
  echo "$4 of $5 bytes: $2 $a, $3 $b"
  awk -v a="$a" -v b="$b" -v factor="$1" 'BEGIN { exit !(a * factor < b) }'
}
