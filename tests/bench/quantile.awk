# SPDX-License-Identifier: MIT
#
# quantile.awk: a function for the reports of the measurements.

# The fraction'th (0..1) of numbers in a text, with blanks between them; "" if there are none.  The
# others are variables of its own.
function quantile_of(numbers, fraction, list, count, i, j, value) {
  count = split(numbers, list, " ")
  if (count == 0)
    return ""
  # Sorted as they come: there are few.
  for (i = 2; i <= count; i++) {
    value = list[i]
    for (j = i - 1; j > 0 && list[j] + 0 > value + 0; j--)
      list[j + 1] = list[j]
    list[j + 1] = value
  }
  return list[1 + int(fraction * (count - 1))]
}
