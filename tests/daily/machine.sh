#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# machine.sh: this machine once more, in a container that boots with systemd.
#
#	unshare --mount --propagation private machine.sh ROOT     # as root; ends as that machine does
#
# ROOT is an overlay over / that the caller has made and may have changed.  Nothing that is done in there
# comes out of it: it has no network, and neither time, kernel settings nor devices but /dev/fuse and /dev/autofs.  Exit
# status 129: it wants to be booted again; 130: it is switched off.
set -euo pipefail

root=$1
group=$root.cgroup

mkdir -p "$group"
mount -t cgroup2 cgroup2 "$group"
mkdir -p "$group/sivc-machine-$$"
echo $$ > "$group/sivc-machine-$$/cgroup.procs"

# shellcheck disable=SC2016 # for the shell in there
exec unshare --pid --uts --ipc --net --cgroup --mount --fork --kill-child=KILL bash -euc '
  root=$1
  mount -t proc proc "$root/proc"
  mount --bind "$root/proc/sys" "$root/proc/sys"
  mount -o remount,bind,ro "$root/proc/sys"
  mount -t sysfs -o ro sysfs "$root/sys"
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
  mount -t tmpfs -o mode=0755 tmpfs "$root/run"
  mount -t tmpfs tmpfs "$root/tmp"
  mount -t tmpfs -o mode=0755 tmpfs "$root/dev"
  for device in null zero full random urandom tty fuse autofs; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
  done
  mkdir "$root/dev/pts" "$root/dev/shm"
  mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
  ln -s pts/ptmx "$root/dev/ptmx"
  cd "$root"
  mkdir -p .before
  pivot_root . .before
  umount --lazy /.before
  hostname sivc-machine
  exec setpriv --bounding-set=-sys_time,-sys_module,-sys_rawio,-syslog,-wake_alarm \
    env -i container=sivc-tests PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system systemd.unit=sivc-test.target
' - "$root"
