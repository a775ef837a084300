# shellcheck shell=bash
# helpers.bash: domains on real mounts of the local backend.
#
# A test runs in a directory of its own.  `start_domain N` mounts domain N on the directory N there;
# all domains of a test share the directory hv, which is their hypervisor.  So a test reads like a
# shell session: `echo hello > 2/peers/1` sends from domain 2 to domain 1.
#
# After every test teardown demands that each mount goes away, that each sivcfs ends by itself with
# status 0 and without a sanitizer's report, and that nothing is left in hv: a test that passed and
# leaves something behind has failed.
#
# What the kernel tells of is waited for (await.c); what it does not is looked at again and again for
# a bounded time (`eventually`), and nothing sleeps for a guessed time.  Whatever may hang in a
# mount runs under a time limit; if it hangs for all that, bats' own limit ends the test.

set -euo pipefail

repo=$(cd "$BATS_TEST_DIRNAME/../.." && pwd -P)
# Where the program and the test programs were built; tests/run.sh says it.
build=${SIVC_BUILD:-$repo/build}
sivcfs=$build/src/sivcfs
# What its processes run: under valgrind that is valgrind.
running=${SIVC_RUNNING:-$(realpath "$sivcfs")}
# Under the sanitizers everything takes longer, and counts are smaller.
sanitized=${SIVC_SANITIZED:-0}
patience=$((sanitized ? 60 : 20)) # seconds that no single step of a test may take
ordinary_user=nobody

# shellcheck source=tests/says.bash
. "$repo/tests/says.bash"

export AWAIT_SECONDS=$patience
export BATS_TEST_TIMEOUT=${BATS_TEST_TIMEOUT:-$((sanitized ? 300 : 120))}

setup() {
  declare -gA domain_pid=() domain_killed=() job_pid=()
  if [[ ! -x $sivcfs ]]; then
    echo "There is no $sivcfs: build first, and say where with SIVC_BUILD."
    return 1
  fi
  cd "$BATS_TEST_TMPDIR"
  # An ordinary user has to get here, too.
  chmod 0755 "$BATS_RUN_TMPDIR" "$BATS_RUN_TMPDIR/test" "$BATS_TEST_TMPDIR"
  mkdir hv log
  chmod 1777 log # other users' programs report, too
  # Reports go to files: a daemon has no standard error, and a test has to find them.
  local reports="log_path=$BATS_TEST_TMPDIR/log/sanitizer:halt_on_error=1"
  export SIVC_REPORTS=$BATS_TEST_TMPDIR/log/sanitizer # tests/run.sh valgrind
  export ASAN_OPTIONS="$reports:detect_leaks=1" UBSAN_OPTIONS="$reports:print_stacktrace=1"
}

# --- What a test says -----------------------------------------------------------------------------

# fails COMMAND...: it must end with another status than 0, and not by a signal or a time limit: those
# have 124 to 127, and from 129 on.  128 is git's own.
fails() {
  local status=0
  "$@" || status=$?
  ((status > 0 && status < 124 || status == 128)) && return 0
  printf 'status %d, should have failed: %s\n' "$status" "$*"
  return 1
}

# limit COMMAND...: at most `patience` seconds.
limit() {
  timeout --kill-after=5 "$patience" "$@"
}

# op PATH MODE OPERATION...: operations on one handle, a line of result each (fileop.c).
op() {
  limit "$build/tests/fileop" "$@"
}

# refused PATTERN OPTION...: mounting fails with a message that matches, and leaves nothing.
refused() {
  local pattern=$1 options
  shift
  options=$(IFS=,; echo "$*")
  mkdir -p refused
  run limit "$sivcfs" local refused -f -o "$options"
  ((status > 0 && status < 124))
  like "$output" "$pattern"
  # One clear line, and not a screen of help.
  (($(wc -l <<< "$output") <= 3))
  same "$(mounts_here | grep refused)" ""
}

# as_user COMMAND...: as an ordinary user of this machine.
as_user() {
  limit setpriv --reuid="$ordinary_user" --regid="$(id -g "$ordinary_user")" --clear-groups "$@"
}

# natively WHY: not under valgrind.
natively() {
  [[ -z ${SIVC_RUNNING:-} ]] || skip "under valgrind $1"
}

# blob SIZE FILE: that many bytes that no two places of the file have alike.
blob() {
  head -c "$1" /dev/urandom > "$2"
}

# --- Domains --------------------------------------------------------------------------------------

# start_domain N [OPTION...]: mounts domain N on ./N.  sivcfs stays in the foreground, so that its
# log is in log/N and its exit status is seen.
start_domain() {
  local id=$1
  shift
  mkdir -p "$id"
  serve "$id" "$id" "dir=hv,domid=$id" "$@"
}

# serve NAME DIRECTORY OPTION...: a mount of any kind; NAME is for kill_domain and the log.
serve() {
  local name=$1 directory=$2 options
  shift 2
  options=$(IFS=,; echo "$*")
  "$sivcfs" local "$directory" -f -o "$options" >> "log/$name" 2>&1 3>&- 4>&- < /dev/null &
  domain_pid[$name]=$!
  unset "domain_killed[$name]"
  "$build/tests/await" mount "${domain_pid[$name]}" "$directory" && return 0
  echo "sivcfs did not start:"
  cat "log/$name"
  return 1
}

# stop_domain N: unmounts it and waits for its sivcfs to end well.
stop_domain() {
  limit umount "$1"
  ended_well "$1"
}

ended_well() {
  local status=0
  "$build/tests/await" exit "${domain_pid[$1]}" || kill -KILL "${domain_pid[$1]}"
  wait "${domain_pid[$1]}" || status=$?
  unset "domain_pid[$1]"
  ((status == 0)) && return 0
  echo "sivcfs of $1 ended with status $status"
  return 1
}

# kill_domain N: kill -9 of its sivcfs, which unmounts it as well.
kill_domain() {
  kill -KILL "${domain_pid[$1]}"
  domain_killed[$1]=1
  "$build/tests/await" exit "${domain_pid[$1]}"
  wait "${domain_pid[$1]}" || :
  unset "domain_pid[$1]"
  eventually unmounted "$1"
}

# mounter_of N: the process that unmounts domain N's mount.
mounter_of() {
  xargs < "/proc/${domain_pid[$1]}/task/${domain_pid[$1]}/children"
}

unmounted() {
  ! mounts_here | grep -qxF "$PWD/$1"
}

# permit N M...: domain N permits each M.
permit() {
  local id=$1 other
  shift
  for other; do
    echo "allow $other" >> "$id/acl"
  done
}

# pair: domains 1 and 2, each of which may send to the other.
pair() {
  start_domain 1 "$@"
  start_domain 2 "$@"
  permit 1 2
  permit 2 1
}

# fill_ring FROM TO: fills a ring of 4096 bytes to the last one, with 8 messages of 500.
fill_ring() {
  same "$(op "$1/peers/$2" w+nonblock until=500)" "until 8 EAGAIN"
}

# work N: how often the sivcfs of domain N has run so far: context switches of all its threads, and
# clock ticks of CPU time.  Two equal answers: it did not run in between.
work() {
  local pid=${domain_pid[$1]}
  awk '/ctxt_switches/ { n += $2 } END { printf "switches %d ", n }' /proc/"$pid"/task/*/status
  awk '{ sub(/.*\) /, ""); n += $12 + $13 } END { printf "ticks %d\n", n }' /proc/"$pid"/task/*/stat
}

# --- Processes in the background ------------------------------------------------------------------

# start NAME COMMAND...: runs in the background, without a time limit; its output is in NAME.out.
# Without job control a shell has its background ignore Ctrl-C; here it has to end by it.
start() {
  local name=$1
  shift
  env --default-signal=INT "$@" > "$name.out" 2>&1 3>&- 4>&- < "${start_input:-/dev/null}" &
  job_pid[$name]=$!
}

# start_op NAME PATH MODE OPERATION...: fileop in the background.  `next NAME` ends its `pause`.
start_op() {
  local name=$1
  shift
  rm -f "$name.in"
  mkfifo "$name.in"
  start_input=$name.in start "$name" "$build/tests/fileop" "$@"
  exec {input}> "$name.in"
  declare -g "input_$name=$input"
}

next() {
  local input=input_$1
  echo >&"${!input}"
}

# blocked NAME...: until each of these waits in a file of a mount.  The kernel hands requests over
# in order, so that one more, answered, means that sivcfs has seen theirs as well.
blocked() {
  local name domain
  for name; do
    "$build/tests/await" blocked "${job_pid[$name]}"
  done
  for domain in "${!domain_pid[@]}"; do
    [[ ! -e $domain/self ]] || limit cat "$domain/self" > /dev/null
  done
}

# shows NAME TEXT [TIMES]: until its output has that line, so often.
shows() {
  eventually printed "$1" "$2" "${3:-1}"
}

printed() {
  (($(grep -cxF -- "$2" "$1.out") >= $3))
}

# finish NAME: until it has ended by itself; sets `status` and `output`.
finish() {
  "$build/tests/await" exit "${job_pid[$1]}"
  status=0
  wait "${job_pid[$1]}" || status=$?
  unset "job_pid[$1]"
  output=$(cat "$1.out")
}

# ends_by SIGNAL NAME: the signal ends it, and soon.
ends_by() {
  kill -"$1" "${job_pid[$2]}"
  finish "$2"
  same "$status" "$((128 + $(kill -l "$1")))"
}

# --- Afterwards -----------------------------------------------------------------------------------

mounts_here() {
  awk -v here="$BATS_TEST_TMPDIR/" 'index($5, here) == 1 { print $5 }' /proc/self/mountinfo | tac
}

# Processes of sivcfs that have a file of this test open, also those that went into the background.
# Its log does not count: valgrind has that open in each process.  The processes that unmount do not
# count either: each ends with its own.
daemons_here() {
  local exe
  while read -r exe; do
    [[ $(cat "${exe%exe}comm" 2> /dev/null) == sivc-unmount || -z $(find "${exe%exe}cwd" "${exe%exe}fd" -lname "$BATS_TEST_TMPDIR*" \
      ! -lname "$BATS_TEST_TMPDIR/log/*" 2> /dev/null) ]] \
      || cut -d/ -f3 <<< "$exe"
  done < <(find /proc/[0-9]*/exe -lname "$running*" 2> /dev/null)
}

teardown() {
  local bad=0 name pid mount files report
  for name in "${!job_pid[@]}"; do
    kill -KILL "${job_pid[$name]}" 2> /dev/null || :
    "$build/tests/await" exit "${job_pid[$name]}" || bad=1
  done
  for mount in $(mounts_here); do
    limit umount "$mount" || { bad=1; umount --lazy --force "$mount"; }
  done
  for name in "${!domain_pid[@]}"; do
    ended_well "$name" || bad=1
  done
  for pid in $(daemons_here); do
    "$build/tests/await" exit "$pid" || { bad=1; kill -KILL "$pid"; }
  done
  # A file outside of this directory that a test has made; it says so before it makes it.
  [[ ! -f remove_afterwards ]] || xargs -d '\n' rm -f < remove_afterwards
  files=$([[ ! -d hv ]] || leftovers)
  if [[ -n $files ]]; then
    printf 'left behind in hv:\n%s\n' "$files"
    bad=1
  fi
  # Shown for a test that has failed.
  ! compgen -G 'log/*' > /dev/null || tail -n 40 log/*
  for report in log/sanitizer*; do
    [[ ! -s $report ]] || { bad=1; head -n 60 "$report"; }
  done
  # So that bats can take the directory away.
  cd /
  return "$bad"
}

# Files of hv that should be gone when every domain has ended; after a kill -9 the next process of
# that domain tidies up, so that then nothing is demanded.
leftovers() {
  ((${#domain_killed[@]})) || find hv -mindepth 1 ! -type d
}
