# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# says.bash: what tests say, those on mounts (fs/helpers.bash) and those between virtual machines
# (xen/helpers.bash).  `patience` is theirs: the seconds that no single step may take.

# same IS SHOULD_BE: the two strings are equal.
same() {
  [[ $1 == "$2" ]] && return 0
  printf 'is:        %q\nshould be: %q\n' "$1" "$2"
  return 1
}

# like IS PATTERN: the string contains a match of the extended regular expression.
like() {
  [[ $1 =~ $2 ]] && return 0
  printf 'is:         %q\nshould have: %q\n' "$1" "$2"
  return 1
}

# eventually COMMAND...: until it succeeds.  For what no event tells of.
eventually() {
  local deadline=$((SECONDS + patience))
  until "$@"; do
    if ((SECONDS >= deadline)); then
      echo "did not come true: $*"
      return 1
    fi
    sleep 0.01
  done
}
