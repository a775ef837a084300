#!/bin/bash
# SPDX-License-Identifier: MIT
#
# compare.sh: what a change costs.  Two builds on one machine, in alternation.
#
#   compare.sh [--runs N] [--ms TIME] [--instructions] BEFORE AFTER
#
#   BEFORE, AFTER   directories of two builds with the same options (meson setup -Dseccomp=disabled: valgrind
#                   makes system calls that the filter forbids)
#   --runs N        how often each is measured; medians are compared (5)
#   --ms TIME       how long a measurement of time takes, in milliseconds (500)
#   --instructions  these alone, which a busy machine does not change
#
# Instructions are counted by callgrind, in libsivc from sivc_send and sivc_receive to their return, and in
# sivcfs as what 1,700 more messages take; all on one processor and without spinning, so that who sleeps
# does not depend on time.  Everything else is measured as people use it, each side on a processor of
# its own.  Needs root, valgrind and python3.  All of it happens in namespaces of its own.
set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "$0")" && pwd)
runs=5
ms=500
all=1
declare -r few=200 many=1900 # messages; all of them fit into the ring
declare -r ring=2M

usage() {
  sed -n '/^#   compare.sh/,/^# Instr/s/^# *//p' "$0" | sed '$d' >&2
  exit 2
}

die() {
  echo "compare.sh: $*" >&2
  exit 1
}

# --- Instructions ---

# note WHAT VALUE: a measurement of $side.
note() {
  printf '%s\t%s\t%s\n' "$1" "$side" "$2" >> "$work/results"
}

# instructions PREFIX: what callgrind has collected in the files that begin so.
instructions() {
  awk '$1 == "totals:" { sum += $2 } END { print sum + 0 }' "$1".*
}

# A message is a call of sivc_send.
library_instructions() { # mode
  rm -rf "$work"/{hv,callgrind}*
  mkdir "$work/hv"
  valgrind --tool=callgrind --trace-children=yes --compress-strings=no --callgrind-out-file="$work/callgrind.%p" \
    --toggle-collect=sivc_send --toggle-collect=sivc_receive \
    "$build/tests/bench/transfer" --transport libsivc --dir "$work/hv" --spin none --cpu-a 0 --cpu-b 0 \
    --size 1024 --mode "$1" --ms 2000 > "$work/log" 2>&1 || die "transfer under valgrind: $(< "$work/log")"
  awk -v total="$(instructions "$work/callgrind")" '
    /^cfn=/ { send = $0 == "cfn=sivc_send" }
    /^calls=/ && send { split($1, part, "="); calls += part[2] }
    END { printf "%.1f\n", total / calls }' "$work"/callgrind.*
}

# mount_both OPTIONS [COMMAND...]: domains 1 and 2 permit each other; the command starts sivcfs $i.
mount_both() {
  local options=$1 i
  shift
  rm -rf "$work"/{hv,callgrind}*
  mkdir -p "$work"/{hv,1,2}
  for i in 1 2; do
    echo "allow $((3 - i))" > "$work/rules$i"
    "${@//%side/$i}" "$build/src/sivcfs" local "$work/$i" \
      -o "dir=$work/hv,domid=$i,acl=$work/rules$i$options" > "$work/log" 2>&1 \
      || die "sivcfs does not mount (with valgrind: built with -Dseccomp=disabled?): $(< "$work/log")"
  done
}

servers() {
  pgrep -f -- "sivcfs local $work/" || :
}

unmount_both() {
  local pid pids
  pids=$(servers)
  umount "$work/1" "$work/2"
  for pid in $pids; do
    tail --pid="$pid" -s 0.1 -f /dev/null
  done
}

# carry WHAT COUNT: `write` to peers/2 of domain 1, `read` from domain 2's inbox, or go round.
carry() {
  taskset -c 0 python3 - "$work" "$@" << 'END'
import os, sys
work, what, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
message = b'x' * 1024

def side(me, steps):
    sends = os.open(f'{work}/{me}/peers/{3 - me}', os.O_WRONLY)
    reads = os.open(f'{work}/{me}/inbox', os.O_RDONLY)
    for _ in range(count):
        for step in steps:
            if step == 'write':
                assert os.write(sends, message) == len(message)
            else:
                assert os.read(reads, len(message)) == message

if what != 'trips':
    side(1 if what == 'write' else 2, [what])
elif os.fork() == 0:
    side(2, ['read', 'write'])
else:
    side(1, ['write', 'read'])
    assert os.wait()[1] == 0
END
}

# file_instructions COUNT WHAT...: of sivcfs 1, and of sivcfs 2.
file_instructions() {
  local count=$1 what
  shift
  mount_both ",ring=$ring" taskset -c 0 valgrind --tool=callgrind --trace-children=yes \
    --callgrind-out-file="$work/callgrind.%side.%p"
  for what; do
    carry "$what" "$count"
  done
  unmount_both
  instructions "$work/callgrind.1"
  instructions "$work/callgrind.2"
}

# What each of $many - $few messages takes.
each() { # few's, many's
  awk -v a="$1" -v b="$2" -v n="$((many - few))" 'BEGIN { printf "%.1f\n", (b - a) / n }'
}

count_instructions() {
  local a b
  note 'instructions: libsivc 1 KB one way' "$(library_instructions oneway)"
  note 'instructions: libsivc 1 KB round trip, each way' "$(library_instructions roundtrip)"
  mapfile -t a < <(file_instructions "$few" write read)
  mapfile -t b < <(file_instructions "$many" write read)
  note 'instructions: sivcfs, a write of 1 KB' "$(each "${a[0]}" "${b[0]}")"
  note 'instructions: sivcfs, a read of 1 KB' "$(each "${a[1]}" "${b[1]}")"
  mapfile -t a < <(file_instructions "$few" trips)
  mapfile -t b < <(file_instructions "$many" trips)
  note 'instructions: both sivcfs, a round trip of 1 KB' "$(each "$((a[0] + a[1]))" "$((b[0] + b[1]))")"
}

# --- The rest ---

# transfer MODE SIZE ARGUMENT...: one line, as transfer --header names it.
transfer() {
  "$build/tests/bench/transfer" --mode "$1" --size "$2" --ms "$ms" --cpu-a 0 --cpu-b 1 "${@:3}" > "$work/line" \
    || die "transfer failed: ${*:3}"
}

# counts WHAT ARGUMENT...: switches and system calls of 1 KB messages, and the rate of 512 KiB.
counts() {
  local what=$1 mode
  shift
  for mode in oneway roundtrip; do
    transfer "$mode" 1024 "$@"
    note "us: $what, 1 KB $mode" "$(awk '{ print $5 / 1000 }' "$work/line")"
    note "switches: $what, 1 KB $mode" "$(cut -f 7 "$work/line")"
    transfer "$mode" 1024 "$@" --count-syscalls
    note "system calls: $what, 1 KB $mode" "$(cut -f 8 "$work/line")"
  done
  transfer oneway 524288 "$@"
  note "MB/s: $what, 512 KiB" "$(awk '{ print 524288 * 1000 / $5 }' "$work/line")"
}

measure() {
  local pid servers=()
  rm -rf "$work/hv"
  mkdir "$work/hv"
  counts libsivc --transport libsivc --dir "$work/hv"
  counts 'libsivc, no spinning' --transport libsivc --dir "$work/hv" --spin none
  mount_both '' taskset -c "$(($(nproc) > 1))"
  # The first of the two on the first processor.
  for pid in $(pgrep -f -- "sivcfs local $work/1 "); do
    taskset -p -c 0 "$pid" > /dev/null
  done
  for pid in $(servers); do
    servers+=(--server "$pid")
  done
  counts file --transport file --send-a "$work/1/peers/2" --receive-a "$work/1/inbox" \
    --send-b "$work/2/peers/1" --receive-b "$work/2/inbox" "${servers[@]}"
  unmount_both
}

report() {
  awk -F '\t' -f "$here/quantile.awk" -f - "$work/results" << 'AWK'
!($1 in seen) { seen[$1]; order[++rows] = $1 }
{ values[$1, $2] = values[$1, $2] " " $3 }
END {
  printf "%-52s %10s %10s %7s\n", "", "before", "after", "ratio"
  for (i = 1; i <= rows; i++) {
    before = quantile_of(values[order[i], "before"], 0.5)
    after = quantile_of(values[order[i], "after"], 0.5)
    printf "%-52s %10.5g %10.5g %7s\n", order[i], before, after, before ? sprintf("%.3f", after / before) : "-"
  }
}
AWK
}

inside() {
  local run
  work=$1 runs=$2 ms=$3 all=$4
  mount -t tmpfs tmpfs "$work"
  [[ -d /sys/kernel/tracing/events ]] || mount -t tracefs tracefs /sys/kernel/tracing
  for ((run = 1; run <= runs; run++)); do
    for side in before after; do
      echo "run $run of $runs: $side" >&2
      build=$5
      [[ $side == before ]] || build=$6
      count_instructions
      ((!all)) || measure
    done
  done
  report
}

if [[ ${1:-} == --inside ]]; then
  inside "${@:2}"
  exit
fi
while (($# > 2)); do
  case $1 in
    --runs | --ms)
      [[ $2 =~ ^[1-9][0-9]*$ ]] || usage
      printf -v "${1#--}" %s "$2"
      shift
      ;;
    --instructions) all=0 ;;
    *) usage ;;
  esac
  shift
done
(($# == 2)) || usage
((EUID == 0)) || die "needs root: it mounts, and counts system calls"
for tool in valgrind python3 taskset pgrep; do
  command -v "$tool" > /dev/null || die "$tool is missing"
done
before=$(cd "$1" && pwd) after=$(cd "$2" && pwd)
work=$(mktemp -d)
trap 'rmdir "$work"' EXIT
setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc --propagation private \
  "$0" --inside "$work" "$runs" "$ms" "$all" "$before" "$after"
