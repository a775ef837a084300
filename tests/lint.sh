#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# lint.sh: form and documentation of the source.  Prints TAP.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Every file of the project, for whoever has it by git or as a tarball.
mapfile -t files < <(find . \( -name .git -o -path './build*' \) -prune -o -type f -print \
  | sed 's|^\./||' | sort)

# matching PATTERN: the files whose names match the extended regular expression.
matching() {
  printf '%s\n' "${files[@]}" | grep -E "$1" || :
}

number=0
bad=0

# check NAME COMMAND...: one line of TAP; what the command printed if it failed.
check() {
  local name=$1 output
  shift
  number=$((number + 1))
  if output=$("$@" 2>&1); then
    echo "ok $number $name"
  else
    echo "not ok $number $name"
    # shellcheck disable=SC2001 # every line
    sed 's/^/# /' <<< "$output"
    bad=1
  fi
}

formatted() {
  matching '\.[ch]$' | xargs -d '\n' clang-format --dry-run --Werror
}

shell_is_clean() {
  matching '\.(sh|bash|bats)$|^mountscripts/mount\.sivc\.in$|^\.ci/run$' \
    | xargs -d '\n' shellcheck --external-sources --source-path=SCRIPTDIR:. 
}

spelled() {
  matching '\.(c|h|md|sh|bash|bats|build|txt|in|example|py|pml|[1-8])$|^LICENSE$' \
    | xargs -d '\n' codespell
}

# Paths of a file: nothing of the top level but what a reader expects there.
top_level() {
  local allowed='src include mountscripts tests examples doc'
  allowed+=' meson.build meson_options.txt README.md LICENSE'
  local name strange=0
  for name in *; do
    case " $allowed " in
      *" $name "*) ;;
      *) [[ $name == build* ]] || { echo "$name has no place here"; strange=1; } ;;
    esac
  done
  return "$strange"
}

begins_well() {
  local file status=0
  while read -r file; do
    [[ $(head -n1 "$file") == '/* SPDX-License-Identifier: MIT */' ]] && continue
    echo "$file: the first line is not /* SPDX-License-Identifier: MIT */"
    status=1
  done < <(matching '\.[ch]$')
  return "$status"
}

plain_text() {
  ! { matching '\.(c|h|md|sh|bash|bats|build|txt|in|example|py|pml|[1-8])$' \
    | xargs -d '\n' grep -nE '[[:space:]]$'; }
}

# documented WHAT < NAMES: each name stands in README.md or doc/.
documented() {
  local name status=0 documents
  documents=$(matching '^(README\.md|doc/.*\.(md|[1-8]))$')
  while read -r name; do
    # shellcheck disable=SC2086 # a list of names without spaces
    grep -qwF -- "$name" $documents && continue
    echo "$1 $name stands neither in README.md nor in doc/"
    status=1
  done
  return "$status"
}

options_documented() {
  grep -oP 'VALUE\("\K[a-z_]+(?==%s")' src/fs/options.c | sort -u | documented "mount option"
}

ioctls_documented() {
  grep -oP '^#define \KSIVC_IOC_(?!MAGIC)[A-Z]+' include/sivc/ioctl.h | documented ioctl
}

errors_documented() {
  local known
  known=$(echo '#include <errno.h>' | cc -E -dM - | grep -oP '^#define \KE[A-Z0-9]+(?= )')
  grep -ohwE 'E[A-Z0-9]+' include/sivc/*.h | sort -u | grep -wF "$known" | documented error
}

# A check that finds nothing to check has lost its way.
counts() {
  (($(grep -cP 'VALUE\("[a-z_]+=%s"' src/fs/options.c) >= 9))
  (($(grep -cP '^#define SIVC_IOC_(?!MAGIC)' include/sivc/ioctl.h) >= 5))
}

check 'C is formatted as .clang-format says' formatted
check 'C files begin with their licence' begins_well
check 'shell scripts are clean to shellcheck' shell_is_clean
check 'codespell finds nothing' spelled
check 'no line ends in blanks' plain_text
check 'the top level holds nothing but what belongs there' top_level
check 'every mount option is documented' options_documented
check 'every ioctl is documented' ioctls_documented
check 'every error is documented' errors_documented
check 'options and ioctls are found where they are looked for' counts
echo "1..$number"
exit "$bad"
