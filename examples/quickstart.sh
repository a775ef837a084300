#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# quickstart.sh: builds sivcfs, mounts two domains on this machine, and lets them talk.
#
#	examples/quickstart.sh [--keep]
#
# Needs no Xen and no root, but for apt-get, if packages are missing.  Everything is in one directory,
# which is gone afterwards; with --keep it stays, with both domains mounted.  It is safe to run again.
#
# shellcheck disable=SC2016 # commands are shown as they are typed, and expanded later
set -euo pipefail

usage() {
  echo "usage: ${0##*/} [--keep]"
  echo "Builds sivcfs, mounts domains 1 and 2 with the local backend, and lets them talk."
  echo "  --keep  leave both mounted, and say what to try next"
}

keep=0
case ${1-} in
  --keep) keep=1 ;;
  --help | -h) usage; exit 0 ;;
  '') ;;
  *) usage >&2; exit 2 ;;
esac

source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# One directory a user, so that the next run finds what --keep has left.
home=${TMPDIR:-/tmp}/sivc-quickstart-$EUID

# shellcheck source=examples/packages.sh
. "$source_dir/examples/packages.sh"

step=0
say() {
  step=$((step + 1))
  printf '\n%d. %s\n' "$step" "$*"
}

# show COMMAND: what a user would type, and what comes out.
show() {
  printf '   $ %s\n' "$1"
  (cd "$home" && timeout 20 bash -c "$1" bash 2>&1) | sed 's/^bash: line [0-9]*: /bash: /; s/^/   /'
}

# show_refused COMMAND: one that must be refused.
show_refused() {
  local output
  if output=$(show "$1") || [[ $output != *"Permission denied"* ]]; then
    echo "$output"
    echo "That should have been refused with \"Permission denied\"." >&2
    return 1
  fi
  echo "$output"
}

if ((EUID == 0)); then
  unmount=umount lazily=--lazy
else
  unmount='fusermount3 -u' lazily=-z
fi

# Ends what an earlier run, or this one, has left: mounts first, so that nothing below them is touched.
clean() {
  local directory pid
  [[ -e $home || -L $home ]] || return 0
  if [[ -L $home || ! -O $home ]]; then
    echo "$home belongs to somebody else: take it away, or set TMPDIR." >&2
    return 1
  fi
  for directory in "$home/1" "$home/2"; do
    grep -qF " $directory " /proc/self/mountinfo || continue
    pid=$(server "$directory")
    # shellcheck disable=SC2086 # a command and its option
    $unmount "$directory" || $unmount $lazily "$directory"
    [[ -z $pid ]] || timeout 20 tail --pid="$pid" -s 0.1 -f /dev/null
  done
  rm -rf --one-file-system "$home"
}

# server DIRECTORY: the process that serves it.
server() {
  local process
  for process in /proc/[0-9]*; do
    if [[ $process/exe -ef $home/build/src/sivcfs ]] \
      && tr '\0' ' ' 2> /dev/null < "$process/cmdline" | grep -qF " $1 "; then
      echo "${process#/proc/}"
      return
    fi
  done
}

# Nobody else may have made the directory for us.
make_home() {
  clean
  mkdir -m 0700 "$home"
}

failed() {
  local status=$?
  trap - EXIT
  if ((status != 0)); then
    echo "quickstart.sh has failed; it takes away what it made." >&2
    [[ ! -f $home/build.log ]] || tail -n 30 "$home/build.log" >&2
    clean || :
  fi
  exit "$status"
}

build() {
  if ! { meson setup "$home/build" "$source_dir" -Dtests=false && ninja -C "$home/build"; } \
    > "$home/build.log" 2>&1; then
    echo "The build has failed:" >&2
    return 1
  fi
  rm "$home/build.log"
}

trap failed EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

say "Getting what it needs (apt-get), and building it"
need_packages "${build_packages[@]}"
need_fuse
make_home
build
echo "   Built in $home/build"

say "Mounting domains 1 and 2, two virtual machines in one; the directory hv is their hypervisor"
cd "$home"
mkdir 1 2 hv
for id in 1 2; do
  echo "   \$ sivcfs local $id -o dir=hv,domid=$id"
  build/src/sivcfs local "$home/$id" -o "dir=$home/hv,domid=$id"
done
show "ls 1"

say "Domain 2 sends to domain 1, which has permitted nobody"
show_refused "echo hello > 2/peers/1"

say "Domain 1 permits domain 2, which sends a line"
show 'echo "allow 2" > 1/acl'
show "cat 1/acl"
show 'echo "hello from 2" > 2/peers/1'
show 'read -r line < 1/inbox; echo "$line"'

say "A binary file, larger than the memory between them, compared"
show "head -c 1000000 /dev/urandom > picture"
show "cp picture 2/peers/1 & head -c 1000000 1/inbox > received; wait"
show "cmp picture received && echo the same"

say "An answer back, for which domain 2 has to permit domain 1"
show 'echo "allow 1" > 2/acl'
show 'echo "thank you" > 1/peers/2'
show 'read -r line < 2/inbox; echo "$line"'

if ((keep)); then
  trap - EXIT
  cat << END

Both domains stay mounted in $home.  Try, in two terminals,
   cat $home/1/inbox
   echo "anybody there?" > $home/2/peers/1
and then
   echo "deny 2" >> $home/1/acl         # and send again
   cat $home/1/stats                    # what was counted
   mkdir $home/1/endpoints/clipboard    # one more endpoint
End it with
   $unmount $home/1; $unmount $home/2; rm -rf $home
END
else
  say "Unmounting both, and taking everything away"
  cd /
  clean
  trap - EXIT
fi
echo
echo "Done."
