#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# run.sh: builds sivcfs and runs every test.
#
# Works from any directory, as root (mounting, other users) or by sudo.  Everything it makes is in one
# temporary directory: builds, mounts, state.  However it ends, it takes away what is mounted there,
# the processes that were started there, and the directory.
#
# A step prints TAP; the lines that begin with `ok` and `not ok` are counted.  With CI=true a test
# that is skipped has failed, but for the reasons in `fine_skips`.
set -euo pipefail

tests=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
repo=${tests%/*}
# Those that run if none is named, and one more.
all_steps=(lint unit fs daily asan tsan model fuzz xen)
fine_skips='this machine runs Xen'

usage() {
  cat << END
usage: tests/run.sh [STEP...]
Builds sivcfs and runs every test, or the steps that are named:
  lint   format, spelling, shellcheck, and that all is documented
  unit   builds with warnings as errors, with and without Xen's libraries; unit tests
  fs     tests on real mounts of the local backend, and the quick start
  daily  what is installed: packages, completion, the unit under systemd, examples
  asan   unit and fs under the address and undefined behaviour sanitizers
  tsan   unit under the thread sanitizer
  model  tests/model/run.sh
  fuzz   tests/fuzz/run.sh
  xen    tests/xen/run.sh: between virtual machines on Xen
  valgrind  the tests on mounts under memcheck; half an hour, and only if it is named
The last line is "N passed, N failed"; the exit status is 1 if any failed.
END
}

steps=()
for argument; do
  case " ${all_steps[*]} valgrind " in
    *" $argument "*) steps+=("$argument") ;;
    *)
      [[ $argument == --help || $argument == -h ]] && { usage; exit 0; }
      usage >&2
      exit 2
      ;;
  esac
done
((${#steps[@]})) || steps=("${all_steps[@]}")

if ((EUID != 0)); then
  echo "The tests mount, and act as several users: going on as root by sudo." >&2
  exec sudo --preserve-env=CI,SIVC_SEED -- "${BASH_SOURCE[0]}" "$@"
fi

# Its mounts are its own: a process elsewhere that copies the mounts of this machine (a container that
# starts) would keep them, and their sivcfs, from ending.
if [[ -z ${SIVC_OWN_MOUNTS:-} ]]; then
  SIVC_OWN_MOUNTS=1 exec unshare --mount --propagation private -- "${BASH_SOURCE[0]}" "$@"
fi

# What a system has installed, and not what a user has in front of it.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH LC_ALL=C.UTF-8
unset CDPATH ASAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS DESTDIR

# shellcheck source=examples/packages.sh
. "$repo/examples/packages.sh"

# --- Taking everything away -----------------------------------------------------------------------

work=
group=

mounts_in_work() {
  awk -v work="$work/" 'index($5, work) == 1 { print $5 }' /proc/self/mountinfo | tac
}

# Processes that run a file of our directory, stand in it, have one open or were given its path, which
# no others can know.
processes_in_work() {
  local pid
  { grep -slF "$work/" /proc/[0-9]*/cmdline
    find /proc/[0-9]*/{cwd,exe,fd} -lname "$work/*" 2> /dev/null
  } | cut -d/ -f3 | sort -u | while read -r pid; do
    [[ $pid == "$$" || $pid == "$BASHPID" ]] || echo "$pid"
  done
}

clean() {
  local path pid pids round
  trap '' HUP INT TERM
  if [[ -n $group ]]; then
    kill -KILL -- "-$group" || :
    wait || :
  fi 2> /dev/null
  [[ -n $work ]] || return 0
  # What a test has put outside of its directory, it has noted.
  while read -r path; do
    rm -f "$(cat "$path")"
  done < <(find "$work" -xdev -name remove_afterwards -type f)
  for round in 1 2 3; do
    for path in $(mounts_in_work); do
      umount --lazy "$path" || :
    done
    pids=$(processes_in_work) || : # processes end while they are looked at
    [[ -n $pids ]] || break
    for pid in $pids; do
      kill -KILL "$pid" 2> /dev/null || :
      timeout 10 tail --pid="$pid" -s 0.1 -f /dev/null \
        || echo "process $pid does not end (round $round)" >&2
    done
  done
  rm -rf --one-file-system "$work"
}

trap clean EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# --- TAP ------------------------------------------------------------------------------------------

# tap NAME SECONDS COMMAND...: runs a producer of TAP, and says `not ok` itself if that was cut short,
# failed without saying so, or skipped what must not be skipped.
tap() {
  local name=$1 limit=$2 out status=0
  shift 2
  out=$(mktemp "$work/tap.XXXXXX")
  timeout --kill-after=20 "$limit" "$@" > "$out" 2>&1 < /dev/null || status=$?
  # Two may end at the same time.
  # shellcheck disable=SC2016 # awk's
  flock "$work/lock" awk -v name="$name" -v status="$status" -v ci="${CI:-}" -v fine="$fine_skips" '
    /^ok .*# [Ss][Kk][Ii][Pp]/ && ci == "true" && !match($0, fine) { sub(/^ok/, "not ok") }
    /^1\.\.[0-9]+/ { plan += substr($0, 4) }
    /^ok( |$)/ { ok++ }
    /^not ok( |$)/ { bad++ }
    { print }
    END {
      if (status == 124 || status == 137)
        print "not ok - " name " did not end in its time"
      else if (status != 0 && !bad)
        print "not ok - " name " ended with status " status
      else if (ok + bad != plan)
        print "not ok - " name " should have run " plan + 0 " tests, and ran " ok + bad
    }' "$out"
  rm "$out"
}

# one NAME COMMAND...: a command that is one test.
one() {
  local name=$1 out
  shift
  out=$(mktemp "$work/one.XXXXXX")
  if "$@" > "$out" 2>&1 < /dev/null; then
    echo "ok - $name"
  else
    echo "not ok - $name"
    tail -n 60 "$out" | sed 's/^/# /'
  fi
  rm "$out"
}

# --- Steps ----------------------------------------------------------------------------------------

test_packages=(bats busybox-static clang-format clang-tidy codespell cpio dash default-jdk-headless git golang-go
  gpg gpg-agent mandoc mawk mbuffer openssh-client openssh-server perl-base procps pv python3-minimal python3 rsync
  shellcheck socat systemd util-linux zstd)
daily_packages=(abigail-tools dpkg-dev file lintian zsh)

# build DIRECTORY OPTION...: with warnings as errors.
build() {
  local directory=$work/$1
  shift
  [[ ! -f $directory/built ]] || return 0
  meson setup "$directory" "$repo" --werror "$@" && ninja -C "$directory" && touch "$directory/built"
}

unit_tests() {
  local program
  for program in "$work/$1"/tests/test_*; do
    [[ -x $program && -f $program ]] || continue
    tap "${program##*/}" 120 "$program"
  done
}

# The tests on mounts, two files at a time; the long ones first.
mount_tests() {
  local directory=$1 file files
  shift
  export SIVC_BUILD=$work/$directory TMPDIR=$work/tmp
  mkdir -p "$TMPDIR"
  files=()
  for file in "$tests"/fs/{loss,promise,kill,restart}.bats "$tests"/fs/*.bats; do
    [[ " ${files[*]} $* " == *" $file "* ]] || files+=("$file")
  done
  # shellcheck disable=SC2016 # for the inner shell
  printf '%s\0' "${files[@]}" | xargs -0 -n1 -P2 bash -c 'tap "${0##*/}" 1500 bats --tap "$0"'
}
export -f tap
export fine_skips

step_lint() {
  tap lint 1200 "$tests/lint.sh"
}

step_unit() {
  one "it builds without a warning" build plain
  one "it builds without Xen's libraries and without libseccomp" \
    build noxen -Dxen=disabled -Dseccomp=disabled
  unit_tests plain
}

step_fs() {
  one "it builds" build plain
  mount_tests plain
}

step_daily() {
  local file
  need_packages "${daily_packages[@]}"
  one "it builds" build plain
  export SIVC_BUILD=$work/plain TMPDIR=$work/tmp
  mkdir -p "$TMPDIR"
  for file in "$tests"/daily/*.bats; do
    tap "${file##*/}" 900 bats --tap "$file"
  done
}

# The quick start makes a build of its own, so that it would be the same test twice.
step_asan() {
  one "it builds with the sanitizers" build asan -Db_sanitize=address,undefined
  export SIVC_SANITIZED=1
  ASAN_OPTIONS=detect_leaks=1:halt_on_error=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
    unit_tests asan
  mount_tests asan "$tests/fs/quickstart.bats"
}

# With threads are the harnesses, in which a second one is the other domain.
step_tsan() {
  one "it builds with the thread sanitizer" build tsan -Db_sanitize=thread
  TSAN_OPTIONS=halt_on_error=1 unit_tests tsan
}

# In the place of sivcfs is a script that runs it under valgrind.  That makes system calls which the
# filter forbids; and how often a process runs (promise.bats) is no question there.
#
# sivcfs goes on after a fault that its handler has mended (sigbus.c).  For that valgrind must have all
# registers right at each access to memory, which is an option of it; and 3.19 has the stack pointer
# wrong in a function whose call it has followed while translating, so it must not follow any.
step_valgrind() {
  need_packages valgrind
  one "it builds" build memcheck -Dseccomp=disabled
  mv "$work/memcheck/src/sivcfs" "$work/memcheck/src/sivcfs.real"
  cat > "$work/memcheck/src/sivcfs" << 'END'
#!/bin/sh
TMPDIR=/tmp exec valgrind --quiet --vgdb=no \
  --vex-iropt-register-updates=allregs-at-mem-access --vex-guest-chase=no \
  --leak-check=full --show-leak-kinds=definite,indirect,possible \
  --errors-for-leak-kinds=definite,indirect,possible --error-exitcode=99 \
  --log-file="${SIVC_REPORTS:-/tmp/valgrind}.%p" "$0.real" "$@"
END
  chmod 0755 "$work/memcheck/src/sivcfs"
  # A process takes a second to start.
  SIVC_SANITIZED=1 BATS_TEST_TIMEOUT=900 SIVC_RUNNING=/usr/libexec/valgrind/memcheck \
    mount_tests memcheck "$tests"/fs/{load,promise,quickstart}.bats
}

# A step that has a script of its own.
script() {
  [[ -x $tests/$1/run.sh ]] || return 0
  tap "$1" "$2" "$tests/$1/run.sh"
}

step_model() { script model 1800; }
step_fuzz() { script fuzz 1800; }
step_xen() {
  one "it builds" build plain
  SIVC_BUILD=$work/plain TMPDIR=$work script xen 1800
}

# run_step NAME: in a process group of its own, so that all of it can be ended.
run_step() {
  local start=$SECONDS
  printf '\n# step %s\n' "$1"
  set -m
  (set +e; "step_$1") < /dev/null | tee -a "$work/results" &
  group=$(jobs -p %+)
  set +m
  wait "$!" || :
  group=
  echo "# step $1 took $((SECONDS - start)) s"
}

# Ordinary users mount in the tests.  Where only root may open /dev/fuse (udev gives it to everybody, but
# not every machine has udev), our mounts have one that all may open; the machine keeps its own.
everybody_has_fuse() {
  [[ $(stat -c %a /dev/fuse) != 666 ]] || return 0
  mkdir "$work/dev"
  mount -t tmpfs -o mode=0755 tmpfs "$work/dev"
  mknod -m 0666 "$work/dev/fuse" c "$((0x$(stat -c %t /dev/fuse)))" "$((0x$(stat -c %T /dev/fuse)))"
  mount --bind "$work/dev/fuse" /dev/fuse
}

need_packages "${build_packages[@]}" "${test_packages[@]}"
need_fuse
work=$(mktemp -d "${TMPDIR:-/tmp}/sivcfs-tests.XXXXXX")
export work
# An ordinary user runs the program that is built here.
chmod 0755 "$work"
touch "$work/lock" "$work/results"
everybody_has_fuse

for step in "${steps[@]}"; do
  run_step "$step"
done

passed=$(grep -cE '^ok( |$)' "$work/results" || :)
failed=$(grep -cE '^not ok( |$)' "$work/results" || :)
if ((failed)); then
  printf '\n# What failed\n'
  awk '/^(not )?ok( |$)|^# step|^1\.\./ { on = /^not/ } on' "$work/results"
fi
if ((passed + failed == 0)); then
  echo "not ok - no test ran"
  failed=1
fi
clean
trap - EXIT
echo "$passed passed, $failed failed"
((failed == 0))
