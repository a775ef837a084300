# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# helpers.bash: tests between the domains of the lab.
#
# The test runs beside the lab (lab, guests.bash) and says what each domain does: `in_domain 2
# 'echo hello > /sivc/peers/1'`.  Guests are called by their number, and have a domain id that is
# another after each start: `id 2`.  In a guest sivcfs is mounted on /sivc.
#
# After every test teardown unmounts what the test has mounted, and demands that each sivcfs ends.

set -euo pipefail

xen=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=tests/xen/guests.bash
. "$xen/guests.bash"
# shellcheck source=tests/says.bash
. "$xen/../says.bash"

# Seconds that no single step may take.  The lab is emulated, perhaps on a busy machine.
patience=90
export BATS_TEST_TIMEOUT=${BATS_TEST_TIMEOUT:-300}

declare -gA job_pid=()
mounted=()

teardown() {
  take_away
}

take_away() {
  local name domain bad=0
  for name in "${!job_pid[@]}"; do
    kill "${job_pid[$name]}" 2>/dev/null || :
    wait "${job_pid[$name]}" 2>/dev/null || :
  done
  for domain in "${mounted[@]}"; do
    unmount_in "$domain" || bad=1
  done
  return "$bad"
}

# id N: its domain id, kept until forget_id N.
id() {
  local known=$BATS_RUN_TMPDIR/id-$1
  [[ -s $known ]] || in_domain "$1" 'xenstore-read domid' >"$known"
  cat "$known"
}

forget_id() {
  rm -f "$BATS_RUN_TMPDIR/id-$1"
}

# mount_in N [OPTIONS]: -o OPTIONS of sivcfs.  `place` is where, if it is not /sivc.
mount_in() {
  local at=${place:-/sivc}
  mounted+=("$1")
  in_domain "$1" "mkdir -p $at && sivcfs xen $at -o '${2:-rw}'"
}

# unmount_in N: its sivcfs has ended when this returns.  Who was killed in the mount may be there for
# a moment more.
unmount_in() {
  eventually unmounted "$1" && return 0
  in_domain "$1" 'pkill -9 -x sivcfs; umount -l -a -t fuse.sivc'
  return 1
}

# It is asked again from here, because a guest of the lab may sleep for longer than it means to.
unmounted() {
  in_domain "$1" 'pids=$(pgrep -x sivcfs) || exit 0
    umount -a -t fuse.sivc 2>/dev/null && exec await exit $pids'
}

# permit N M...: guest N permits each guest M, at `place`, too.
permit() {
  local domain=$1 other rules=''
  shift
  for other; do rules+="allow $(id "$other")"$'\n'; done
  in_domain "$domain" "cat >> ${place:-/sivc}/acl" <<<"$rules"
}

# mount_both N M [OPTIONS]: each permits the other.
mount_both() {
  mount_in "$1" "${@:3}"
  mount_in "$2" "${@:3}"
  permit "$1" "$2"
  permit "$2" "$1"
}

# start NAME COMMAND...: in the background; its output is in NAME.out.  The process that finish and
# teardown know of is the command itself, so that what in_domain has started ends with it.
start() {
  local name=$1
  shift
  [[ $1 != in_domain ]] || set -- "$xen/on" "${@:2}"
  "$@" >"$BATS_TEST_TMPDIR/$name.out" 2>&1 3>&- 4>&- <"${start_input:-/dev/null}" &
  job_pid[$name]=$!
}

# shows NAME TEXT: until its output has TEXT.
shows() {
  eventually grep -qF -- "$2" "$BATS_TEST_TMPDIR/$1.out"
}

# finish NAME: until it has ended; sets `status` and `output`.
finish() {
  eventually ended "$1"
  status=0
  wait "${job_pid[$1]}" || status=$?
  unset "job_pid[$1]"
  output=$(<"$BATS_TEST_TMPDIR/$1.out")
}

ended() {
  ! kill -0 "${job_pid[$1]}" 2>/dev/null
}

# blocked N PROGRAM: until a process of that name in domain N waits in a file.
blocked() {
  eventually in_domain "$1" "pid=\$(pgrep -x '$2') && AWAIT_SECONDS=5 exec await blocked \$pid"
}

# work N: how often the sivcfs of domain N has run, its clock ticks, and the interrupts of its event
# channels.  Two equal answers: it did not run in between.
work() {
  in_domain "$1" 'pid=$(pgrep -x sivcfs)
    awk "/ctxt_switches/ { n += \$2 } END { printf \"switches %d \", n }" /proc/$pid/task/*/status
    awk "{ sub(/.*\) /, \"\"); printf \"ticks %d \", \$12 + \$13 }" /proc/$pid/stat
    awk "/evtchn:sivcfs/ { n += \$2 } END { printf \"interrupts %d\n\", n }" /proc/interrupts'
}

# counter N NAME: the sum of a counter of sivcfs.
counter() {
  in_domain "$1" "awk '/^$2[{ ]/ { n += \$2 } END { print n + 0 }' /sivc/stats"
}

# quiet_kernel N: the kernel of that domain has not complained.
quiet_kernel() {
  run in_domain "$1" "dmesg | grep -E 'BUG|Oops|WARNING|blocked for more than|refusing to freeze'"
  same "$output" ""
}

# comes_back N OLD_ID: until it answers, and is another domain.  A boot is many steps.
comes_back() {
  local patience=$((patience * 2))
  eventually came_back "$@"
}

came_back() {
  local now
  forget_id "$1"
  now=$(timeout 5 "$xen/on" "$1" 'xenstore-read domid' 2>/dev/null) || return 1
  [[ $now != "$2" ]]
}

# reboot N: it is gone without a word, and comes back in another domain.
reboot() {
  local old
  old=$(id "$1")
  in_domain "$1" '(sleep 0.5; echo b > /proc/sysrq-trigger) &'
  comes_back "$1" "$old"
}

# save_and_restore N: it is the same guest, in another domain.
save_and_restore() {
  local old
  old=$(id "$1")
  in_domain 0 "xl save sivc-u$1 /tmp/u$1 && xl restore /tmp/u$1; status=\$?; rm -f /tmp/u$1; exit \$status"
  comes_back "$1" "$old"
}

# only_known_warnings N: what Linux 6.1 has to say when grants and event channels of before are
# given up, and nothing else.
only_known_warnings() {
  same "$(in_domain "$1" "dmesg | grep -E 'BUG|Oops|WARNING' |
    grep -vE 'WARNING: .* (xen_mc_flush|evtchn_put|__unmap_grant_pages_done)\+'; dmesg -C")" ""
}

# results FILE: where a line of a result is added to; they are kept after the run.
results=${lab_results:-${BATS_RUN_TMPDIR:-/tmp}}
