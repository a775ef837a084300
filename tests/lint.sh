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
  local file status=0
  while read -r file; do
    clang-format --dry-run --Werror "$file" 2> /dev/null && continue
    echo "$file: clang-format would change it"
    status=1
  done < <(matching '\.[ch]$')
  return "$status"
}

# Not for all: functions that are called through others (SC2317).  Not for tests, which shellcheck
# reads without helpers.bash: variables from and for there (SC2154, SC2034), subshells that are none
# (SC2030, SC2031), commands for other shells (SC2016), and ls, which is what is tested (SC2012).
shell_is_clean() {
  local shellcheck=(xargs -d '\n' -n 4 -P 2 shellcheck --external-sources --source-path=SCRIPTDIR:.)
  matching '\.sh$|^mountscripts/(mount\.sivc\.in|sivc-serve|sivc-call)$|^examples/git-remote-sivc$|^\.ci/run$' | "${shellcheck[@]}" -e SC2317
  matching '\.(bash|bats)$' \
    | "${shellcheck[@]}" -e SC2317,SC2154,SC2034,SC2030,SC2031,SC2016,SC2012
}

compiler_flags=(-std=gnu11 -D_GNU_SOURCE -DSIVC_HAVE_XEN=1 -DSIVC_HAVE_SECCOMP=1 -DSIVC_HAVE_LANDLOCK=1 '-DSIVC_VERSION="0"'
  -Iinclude -Isrc/common -Isrc/core -Isrc/hv -Isrc/fs)

# each_source COMMAND...: of every C file of the programs, with {} for its name.
each_source() {
  local flags
  read -ra flags <<< "$(pkg-config --cflags fuse3 libseccomp)"
  matching '^src/.*\.c$' | xargs -P "$(nproc)" -I{} "$@" "${compiler_flags[@]}" "${flags[@]}"
}

tidy() {
  each_source clang-tidy --quiet {} -- 2>&1 | grep -v 'warnings generated\.$'
  return "${PIPESTATUS[0]}"
}

# Not memory that leaks: gcc does not know what is reached by a member of it (a list's link, an object
# that others see a part of).  LeakSanitizer and valgrind look for that.
analyzed() {
  each_source gcc -O2 -fanalyzer -Wno-analyzer-malloc-leak -Werror -c {} -o /dev/null
}

# Words that are none of codespell's: of mdoc, names of C, of errors.
words='nd,fo,covert,acces,whos'

spelled() {
  matching '\.(c|h|md|sh|bash|bats|build|txt|in|example|py|go|java|pml|[1-8])$|^LICENSE$' \
    | xargs -d '\n' codespell --ignore-words-list="$words"
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
  ! { matching '\.(c|h|md|sh|bash|bats|build|txt|in|example|py|go|java|pml|[1-8])$' \
    | xargs -d '\n' grep -nE '[[:space:]]$'; }
}

# documented WHAT [SUFFIX] < NAMES: each name stands, as a word and with that suffix (an extended
# regular expression), in README.md or doc/.
documented() {
  local name status=0 documents
  documents=$(matching '^(README\.md|doc/.*\.(md|[1-8]))$')
  while read -r name; do
    # shellcheck disable=SC2086 # a list of names without spaces
    grep -qE -- "(^|[^A-Za-z0-9_])$name${2:-([^A-Za-z0-9_]|$)}" $documents && continue
    echo "$1 $name stands neither in README.md nor in doc/"
    status=1
  done
  return "$status"
}

option_names() {
  grep -oP '^\t\{"\K[a-z_]+(?=", "[A-Z]+", take_(?!nothing|refused))' src/fs/options.c
}

ioctl_names() {
  grep -oP '^#define \KSIVC_IOC_(?!MAGIC)[A-Z]+' include/sivc/ioctl.h
}

options_documented() {
  option_names | documented 'mount option' '(=| Ns = )'
}

ioctls_documented() {
  ioctl_names | documented ioctl
}

errors_documented() {
  local known
  known=$(echo '#include <errno.h>' | cc -E -dM - | grep -oP '^#define \KE[A-Z0-9]+(?= )')
  grep -ohwE 'E[A-Z0-9]+' include/sivc/*.h | sort -u | grep -wF "$known" | documented error
}

counter_names() {
  grep -oP '"\K[a-z_]+_(total|bytes|peers|readers)(?=")' src/core/stats.c | sed 's/^/sivc_/'
}

counters_documented() {
  counter_names | documented counter
}

# log_messages FILE...: what each message begins with, as far as it is always the same; @ is a value.
log_messages() {
  perl -0777 -ne '
    while (/\b(?:(log_print|hv_log|report|say|local_fail|local_fail_once|snprintf(?=\(left_out))\(|format\[\]\s=)
        ((?:[^"();]|\([^()]*\))*) ((?:"(?:[^"\\]|\\.)*"\s*)+)/gx) {
      my ($function, $before, $literal) = ($1 // "", $2, $3);
      my $text = join "", $literal =~ /"((?:[^"\\]|\\.)*)"/g;
      $text =~ s/\\(.)/$1/g;
      $text =~ s/(?:%[-0-9.*]*[a-z]+)+/@/g;
      next if $before =~ /LOG_DEBUG/ || $text eq "@"; # what is passed on
      print $function =~ /^local/ ? "backend local: " : "", "$text\n";
    }' "$@" | sort -u
}

# documented_messages PAGE: those of DIAGNOSTICS, in the same form.
documented_messages() {
  sed -n '/^\.Sh DIAGNOSTICS/,/^\.Sh [^D]/ s/^\.It//p' "$1" | grep -oP '"\K[^"]*(?=")' \
    | sed -E 's/ ?\.\.\.$//; s/\b(N|NAME|FILE|PATH|WHY)\b/@/g'
}

# begins MESSAGES BEGINNINGS: each message has one of the beginnings, and each beginning some message.
begins() {
  awk 'NR == FNR { message[$0]; next }
    { used = 0; for (m in message) if (index(m, $0) == 1) { used = 1; known[m] }
      if (!used) { print "no message begins with: " $0; bad = 1 } }
    END { for (m in message) if (!(m in known)) { print "in no manual page: " m; bad = 1 }; exit bad }' "$1" "$2"
}

messages_documented() {
  local sources registry status=0
  mapfile -t sources < <(matching '^src/.*\.c$' | grep -v '^src/registry/')
  mapfile -t registry < <(matching '^src/registry/.*\.c$')
  begins <(log_messages "${sources[@]}") <(documented_messages doc/sivc.7) || status=1
  begins <(log_messages "${registry[@]}") <(documented_messages doc/sivc-registry.8) || status=1
  (($(log_messages "${sources[@]}" | wc -l) >= 80)) || { echo "few messages were found"; status=1; }
  return "$status"
}

# A check that finds nothing to check has lost its way.
names_found() {
  (($(option_names | wc -l) >= 9 && $(ioctl_names | wc -l) >= 5 && $(counter_names | wc -l) >= 10))
}

manual_pages() {
  matching '^doc/.*\.[1-8]$' | xargs -d '\n' mandoc -T lint -W warning
}

# doc/meson.build names every document, so that it is installed.
documents_installed() {
  local file status=0
  while read -r file; do
    grep -qF "'${file#doc/}'" doc/meson.build && continue
    echo "$file is not installed by doc/meson.build"
    status=1
  done < <(matching '^doc/' | grep -v '/meson\.build$')
  return "$status"
}

# Every relative link of a text leads to a file.
links_lead_somewhere() {
  local file link status=0
  while IFS=: read -r file link; do
    [[ -e $(dirname "$file")/$link ]] && continue
    echo "$file: there is no $link"
    status=1
  done < <(matching '\.md$' | xargs -d '\n' grep -HoP '\]\(\K(?!https?:|#)[^)#]+')
  return "$status"
}

check 'C is formatted as .clang-format says' formatted
check 'C files begin with their licence' begins_well
check 'shell scripts are clean to shellcheck' shell_is_clean
check 'clang-tidy finds nothing' tidy
check 'the analyzer of gcc finds nothing' analyzed
check 'codespell finds nothing' spelled
check 'no line ends in blanks' plain_text
check 'the top level holds nothing but what belongs there' top_level
check 'every mount option is documented' options_documented
check 'every ioctl is documented' ioctls_documented
check 'every error is documented' errors_documented
check 'every counter is documented' counters_documented
check 'every message of the log has a beginning that a manual page lists' messages_documented
check 'manual pages are clean to mandoc' manual_pages
check 'every document is installed' documents_installed
check 'every link leads somewhere' links_lead_somewhere
check 'options, ioctls and counters are found where they are looked for' names_found
echo "1..$number"
exit "$bad"
