#!/usr/bin/env bats
# Mounting: options and their errors, the background, ordinary users, mount(8) and fstab.

load helpers

# pid_of DIRECTORY: the sivcfs that serves it, and is not our child.
daemon_of() {
  local pid
  for pid in $(daemons_here); do
    ! tr '\0' ' ' < "/proc/$pid/cmdline" | grep -qF " $1 " || echo "$pid"
  done
}

unmount() {
  local pid
  pid=$(daemon_of "$1")
  limit umount "$1"
  "$build/tests/await" exit "$pid"
}

# --- Options ---

@test "an unknown option is an error that names it" {
  refused "nonsense" dir=hv domid=1 nonsense=1
  refused "nonsense" dir=hv domid=1 nonsense
}

@test "what is wrong with an option is said with what would be right" {
  refused "nonsense: there is no such option.*acl.*domid.*name" dir=hv domid=1 nonsense
  refused "ring=5000: must be a power of two" dir=hv domid=1 ring=5000
  refused "ring=12: must be a number from 4096 to 2097152" dir=hv domid=1 ring=12
  refused "spin=9x: must be a number from 0 to 10000" dir=hv domid=1 spin=9x
  refused "acl: needs a value" dir=hv domid=1 acl
  refused "remount=1: takes no value" dir=hv domid=1 remount=1
  refused "ro: .*sent by writing" dir=hv domid=1 ro
  refused "-x: there is no such option" dir=hv domid=1 -x
}

@test "each option of FUSE and mount(8) that sivcfs(8) lists is taken" {
  local list=allow_other,default_permissions,fsname=x,nosuid,suid,nodev,dev,noexec,exec,noatime,atime
  list+=,dirsync,sync,async,defaults,rw,auto,noauto,user,nouser,users,owner,group,nofail,_netdev
  list+=,relatime,auto_unmount,comment=x,x-anything=1
  for option in ${list//,/ }; do
    grep -qE "(^|[^a-z_])${option%=*}([^a-z_]|$)" "$repo/doc/sivcfs.8" || [[ $option == x-* ]]
  done
  start_domain 1 "$list"
  limit cat 1/self > /dev/null
}

@test "mode=, acl_mode= and umask= are the modes of the files until somebody changes them" {
  start_domain 1 mode=0640,acl_mode=0644
  same "$(stat -c %a 1 1/inbox 1/peers/1 1/acl 1/stats | xargs)" "755 640 640 644 444"
  mkdir 1/endpoints/more
  same "$(stat -c %a 1/endpoints/more/inbox 1/endpoints/more/acl | xargs)" "640 644"
  chmod 0600 1/inbox
  same "$(stat -c %a 1/inbox)" 600
  stop_domain 1
  start_domain 1 mode=666,umask=027
  same "$(stat -c %a 1 1/inbox 1/stats | xargs)" "750 640 440"
  for mode in 888 0xff -1 1777 rw ''; do
    refused "mode" dir=hv domid=2 mode="$mode"
    refused "umask" dir=hv domid=2 umask="$mode"
  done
}

@test "what mode= allows an ordinary user can do" {
  pair mode=0666
  as_user bash -c 'echo hello > 1/peers/2'
  same "$(as_user "$build/tests/fileop" 2/inbox r+nonblock read)" 'read 6 hello\x0a'
  fails as_user cat 1/acl 2> /dev/null
}

@test "domid must be a number from 0 to 32751" {
  for id in 32752 65536 99999999999 -1 x 1x ''; do
    refused "domid" dir=hv domid="$id"
  done
  start_domain 0
  start_domain 32751
  permit 0 32751
  same "$(op 32751/peers/0 w write=x)" "write 1"
}

@test "the local backend needs a domid" {
  refused "domid" dir=hv
}

@test "ring must be a power of two from 4096 to 2097152" {
  for ring in 0 1 4095 5000 4194304 x ''; do
    refused "ring" dir=hv domid=1 ring="$ring"
  done
  for ring in 4096 2097152; do
    start_domain 1 ring=$ring
    stop_domain 1
  done
}

@test "max_msg must be a number from 1 to 917504" {
  for max in 0 917505 -1 x ''; do
    refused "max_msg" dir=hv domid=1 max_msg="$max"
  done
}

@test "self tells for how long it looks before it sleeps: what spin= says, or what suits the machine" {
  (($(nproc) > 1)) || skip "nobody spins on one processor"
  start_domain 1 spin=300
  like "$(cat 1/self)" "spin 300"
  start_domain 2 spin=0
  like "$(cat 2/self)" "spin 0"
  start_domain 3
  local most
  most=$(sed -n 's/^spin //p' 3/self)
  ((most >= 200 && most <= 10000))
}

@test "uid and gid must be numbers" {
  refused "uid" dir=hv domid=1 uid=x
  refused "gid" dir=hv domid=1 gid=-2
}

@test "endpoint must be a name of an endpoint" {
  refused "endpoint" dir=hv domid=1 endpoint=a.b
  refused "endpoint" dir=hv domid=1 endpoint=
}

@test "acl=FILE must be there and hold rules; the message has the file and the line" {
  refused "no-such-file.*No such file" dir=hv domid=1 acl="$PWD/no-such-file"
  printf 'allow 2\nallow two three\n' > rules
  refused "rules.*line 2|line 2.*rules" dir=hv domid=1 acl="$PWD/rules"
}

@test "a source that is none is an error that names those there are" {
  mkdir mnt
  run limit "$sivcfs" nonsense mnt -f -o dir=hv,domid=1
  ((status > 0 && status < 124))
  like "$output" "nonsense"
  like "$output" "local"
}

@test "xen on a machine without Xen is an error that says what is missing" {
  [[ ! -e /dev/xen/gntalloc ]] || skip "this machine runs Xen"
  mkdir mnt
  run limit "$sivcfs" xen mnt -f
  ((status > 0 && status < 124))
  like "$output" "[Xx]en"
  same "$(mounts_here)" ""
}

@test "auto takes the local backend on a machine without Xen, and logs it" {
  [[ ! -e /dev/xen/gntalloc ]] || skip "this machine runs Xen"
  mkdir mnt
  "$sivcfs" auto mnt -f -o dir=hv,domid=1 > log/auto 2>&1 3>&- &
  domain_pid[auto]=$!
  "$build/tests/await" mount $! mnt
  grep local log/auto
  like "$(cat mnt/self)" "local"
}

@test "a missing mount point is an error that names it" {
  run limit "$sivcfs" local no-such-directory -f -o dir=hv,domid=1
  ((status > 0 && status < 124))
  like "$output" "no-such-directory"
  same "$(find hv -mindepth 1 ! -type d)" ""
}

@test "without arguments it says how it is called" {
  run limit "$sivcfs"
  ((status > 0 && status < 124))
  like "$output" "SOURCE.* -h"
  run limit "$sivcfs" local
  ((status > 0 && status < 124))
}

@test "--help and --version succeed" {
  run limit "$sivcfs" --help
  same "$status" 0
  like "$output" "domid="
  # It fits a screen.
  (($(wc -l <<< "$output") <= 24 && $(wc -L <<< "$output") <= 80))
  run limit "$sivcfs" --version
  same "$status" 0
  like "$output" "[0-9]+\.[0-9]+"
}

@test "FUSE's own options work" {
  start_domain 1 noexec,nosuid,nodev,noatime,fsname=mine
  grep -F " $PWD/1 " /proc/self/mountinfo | grep -E 'nosuid,nodev,noexec,noatime.* mine '
}

# --- The directory and who serves it ---

@test "a second mount of the same domain and endpoint: already served by process N" {
  start_domain 1
  refused "already served by process ${domain_pid[1]}" dir=hv domid=1
  # The first one did not notice.
  permit 1 1
  same "$(op 1/peers/1 w write=x)" "write 1"
  kill_domain 1
  start_domain 1
}

@test "an endpoint that another process serves cannot be made" {
  start_domain 1
  mkdir 1/endpoints/clipboard
  refused "already served by process ${domain_pid[1]}" dir=hv domid=1 endpoint=clipboard
}

@test "a directory that cannot be written is an error that names it" {
  chmod 0555 hv
  mkdir user
  chown "$ordinary_user" user
  run as_user "$sivcfs" local user -f -o dir="$PWD/hv",domid=1
  ((status > 0 && status < 124))
  like "$output" "$PWD/hv.*Permission denied|Permission denied.*$PWD/hv|not writable.*$PWD/hv|$PWD/hv.*not writable"
  chmod 0755 hv
}

@test "a dir that is a file is an error that names it" {
  echo x > file
  refused "file" dir="$PWD/file" domid=1
  same "$(cat file)" x
}

@test "foreign files in the directory are left alone, and harm nobody" {
  echo precious > hv/notes.txt
  mkdir hv/directory
  echo precious > hv/directory/file
  mkfifo hv/fifo
  ln -s /etc/passwd hv/link
  for name in 1 2 lock names nodes pages ports; do
    [[ -e hv/$name ]] || echo precious > "hv/$name"
  done
  mkdir other
  "$sivcfs" local other -f -o dir=hv,domid=1 > log/other 2>&1 3>&- &
  domain_pid[other]=$!
  # It works beside them, or says which one is in its way.
  if "$build/tests/await" mount $! other 2> /dev/null; then
    limit umount other
    ended_well other
  else
    wait "${domain_pid[other]}" && false
    unset "domain_pid[other]"
    grep "$(basename hv)" log/other
  fi
  same "$(cat hv/notes.txt hv/directory/file)" $'precious\nprecious'
  [[ -p hv/fifo && -L hv/link ]]
  rm -r hv
  mkdir hv
}

@test "truncated and foreign contents of its own files make errors, not crashes" {
  pair
  printf x > 2/peers/1
  # Everything in the directory that domain 1 has published is cut short or overwritten.
  while read -r file; do
    : > "$file"
  done < <(find hv -type f)
  op 2/peers/1 w+nonblock write=x
  op 1/peers/2 w+nonblock write=x
  op 1/inbox r+nonblock read
  op 2/inbox r+nonblock read
  while read -r file; do
    head -c 5000 /dev/urandom > "$file"
  done < <(find hv -type f)
  op 2/peers/1 w+nonblock write=x
  op 1/peers/2 w+nonblock write=x
  op 1/inbox r+nonblock read
  cat 1/stats 2/stats > /dev/null
  kill -0 "${domain_pid[1]}"
  kill -0 "${domain_pid[2]}"
  stop_domain 1
  stop_domain 2
  rm -rf hv
  mkdir hv
}

@test "a directory that is removed under a mount makes errors, not crashes" {
  pair
  rm -rf hv
  op 2/peers/1 w+nonblock write=x
  op 1/inbox r+nonblock read
  run limit bash -c 'echo "allow 3" >> 1/acl'
  mkdir -p hv
}

@test "a full disk is ENOSPC for the rule that does not fit; the others work on" {
  mount -t tmpfs -o size=300k tmpfs hv
  start_domain 1 ring=64K
  start_domain 2
  echo "allow 2" > 1/acl
  printf before > 2/peers/1
  local id
  for id in {100..110}; do
    result=$(op 1/acl w+append "write=allow $id"$'\n')
    [[ $result == write\ [0-9]* ]] || break
  done
  same "$result" "write ENOSPC"
  grep -iE "disk|space|full" log/1
  same "$(op 2/peers/1 w write=after)" "write 5"
  same "$(op 1/inbox r+nonblock read read)" $'read 6 before\nread 5 after'
  # With room again, the next rule is in force again.
  for id in {100..110}; do op 1/acl w+append "write=deny $id"$'\n'; done
  mount -o remount,size=10m hv
  same "$(op 1/acl w+append $'write=allow 200\n' permitted=200)" $'write 10\npermitted 1'
  stop_domain 1
  stop_domain 2
  umount hv
}

@test "a disk that is full from the start is an error that says so" {
  mount -t tmpfs -o size=4k tmpfs hv
  head -c 4096 /dev/zero > hv/fill
  mkdir full
  if ! limit "$sivcfs" local full -o dir=hv,domid=1 2> error; then
    like "$(cat error)" "space"
  else
    unmount full
  fi
  umount hv
}

# --- The background ---

@test "without -f it goes into the background, and the mount is ready when it returns" {
  natively 'a process cannot be told by its arguments'
  mkdir 1 2
  limit "$sivcfs" local 1 -o dir=hv,domid=1
  mountpoint -q 1
  limit "$sivcfs" local 2 -o dir=hv,domid=2
  echo "allow 2" > 1/acl
  echo hello > 2/peers/1
  same "$(op 1/inbox r+nonblock read)" 'read 6 hello\x0a'
  same "$(readlink "/proc/$(daemon_of 1)/cwd")" /
  unmount 1
  unmount 2
}

@test "in the background it keeps nothing of its caller open" {
  mkdir 1
  # The pipe ends when the last process that has it ends.
  same "$(limit "$sivcfs" local 1 -o dir=hv,domid=1 | cat)" ""
  unmount 1
}

@test "an error comes before it goes into the background, with status and message" {
  mkdir 1
  run limit "$sivcfs" local 1 -o dir=hv,domid=99999
  ((status > 0 && status < 124))
  like "$output" "domid"
  start_domain 1
  mkdir again
  run limit "$sivcfs" local again -o dir=hv,domid=1
  ((status > 0 && status < 124))
  like "$output" "already served by process ${domain_pid[1]}"
}

# --- Ordinary users ---

@test "an ordinary user mounts with fusermount3 and talks to another domain of his" {
  mkdir user user/1 user/2 user/hv
  chown -R "$ordinary_user" user
  for id in 1 2; do
    as_user "$sivcfs" local "user/$id" -o "dir=$PWD/user/hv,domid=$id" 3>&-
  done
  as_user bash -c '
    cd user
    ! echo refused > 2/peers/1
    echo "allow 2" > 1/acl
    echo hello > 2/peers/1
    read -r line < 1/inbox
    echo "$line"' > out 2> error
  same "$(cat out)" hello
  like "$(cat error)" "Permission denied"
  # Others, root too, cannot enter it.
  fails limit ls user/1 2> /dev/null
  local pids
  pids=$(daemons_here)
  as_user fusermount3 -u user/1
  as_user fusermount3 -u user/2
  # shellcheck disable=SC2086
  "$build/tests/await" exit $pids
  same "$(find user/hv -mindepth 1 ! -type d)" ""
}

@test "domains of two users who share no directory do not see each other" {
  mkdir user user/hv user/2
  chown -R "$ordinary_user" user
  chmod 0700 user/hv
  start_domain 1
  as_user "$sivcfs" local user/2 -o "dir=$PWD/user/hv,domid=2" 3>&-
  echo 'allow *' > 1/acl
  like "$(as_user "$build/tests/fileop" user/2/peers/1 w write=x)" "write EACCES"
  as_user fusermount3 -u user/2
}

# --- mount(8), fstab and installation ---

# with_helper COMMAND...: while mount(8) finds a mount.sivc as it is installed, but for the place of
# sivcfs.
with_helper() {
  local helper=/sbin/mount.sivc other=/sbin/mount.fuse.sivc ended=0
  if [[ -e $helper || -L $helper ]]; then
    skip "$helper exists already"
  fi
  DESTDIR=$PWD/installed meson install -C "$build" --no-rebuild --quiet
  sed "s|^sivcfs=.*|sivcfs=$sivcfs|" installed/usr/sbin/mount.sivc > helper
  chmod +x helper
  [[ $(readlink installed/usr/sbin/mount.fuse.sivc) == mount.sivc ]]
  printf '%s\n' "$helper" "$other" > remove_afterwards
  ln -s "$PWD/helper" $helper
  ln -s "$PWD/helper" "$other"
  "$@" || ended=$?
  rm $helper "$other" remove_afterwards
  return "$ended"
}

@test "mount -t sivc mounts, with the options of mount(8) as well" {
  mkdir mnt
  with_helper limit mount -t sivc local "$PWD/mnt" -o "rw,noauto,nofail,_netdev,x-test=1,noexec,dir=$PWD/hv,domid=5,name=web"
  like "$(cat mnt/self)" "web"
  grep -F " $PWD/mnt " /proc/self/mountinfo | grep noexec
  unmount "$PWD/mnt"
}

@test "mount -t sivc hands an error on" {
  mkdir mnt
  run with_helper limit mount -t sivc local "$PWD/mnt" -o "dir=$PWD/hv,domid=5,nonsense"
  ((status > 0 && status < 124))
  like "$output" "nonsense"
}

@test "mount -t fuse.sivc mounts" {
  mkdir mnt
  with_helper limit mount -t fuse.sivc local "$PWD/mnt" -o "dir=$PWD/hv,domid=5"
  like "$(cat mnt/self)" "domid 5"
  unmount "$PWD/mnt"
}

# with_helper looks at the status alone, so each condition is a part of it.
remounts() {
  echo "allow 8" > rules
  limit mount -o "remount,acl=$PWD/rules" "$PWD/mnt" \
    && same "$(cat mnt/acl)" "allow 8" || return
  echo "allow" > rules
  run limit mount -o "remount,acl=$PWD/rules" "$PWD/mnt"
  ((status > 0 && status < 124)) && like "$output" "rules.*Invalid argument" || return
  # Without acl= there is nothing to read again.
  limit mount -o remount "$PWD/mnt" && same "$(cat mnt/acl)" "allow 8"
}

@test "mount -o remount,acl=FILE reads the rules, and says what is wrong with them" {
  mkdir mnt
  echo "allow 7" > rules
  "$sivcfs" local mnt -o "dir=$PWD/hv,domid=5,acl=$PWD/rules"
  with_helper remounts
  unmount mnt
}

@test "remount of what is no sivcfs is an error" {
  mkdir mnt
  echo precious > mnt/acl
  run limit "$sivcfs" local mnt -o "remount,acl=/dev/null"
  ((status > 0 && status < 124))
  like "$output" "not mounted on $PWD/mnt"
  same "$(cat mnt/acl)" precious
}

acl_is() {
  [[ $(cat 1/acl) == "$1" ]]
}

@test "SIGHUP reads acl=FILE again, as one update, and unmounts nothing" {
  echo "allow 7" > rules
  chmod 0600 rules
  chmod 1777 hv
  start_domain 1 "acl=$PWD/rules,user=$ordinary_user"
  printf 'allow 8\nallow 9\n' > rules
  kill -HUP "${domain_pid[1]}"
  eventually acl_is $'allow 8\nallow 9'
  # One that is wrong changes nothing; one that is gone, or is no file, neither.
  printf 'allow 10\nallow\n' > rules
  kill -HUP "${domain_pid[1]}"
  eventually grep -q 'rules that were in force before stay' log/1
  grep 'line 2' log/1
  rm rules
  kill -HUP "${domain_pid[1]}"
  eventually grep -q 'rules: .*No such file' log/1
  mkfifo rules
  kill -HUP "${domain_pid[1]}"
  eventually grep -q 'rules: .*Invalid argument' log/1
  acl_is $'allow 8\nallow 9'
  rm rules
  : > rules
  kill -HUP "${domain_pid[1]}"
  eventually acl_is ''
}

@test "SIGHUP without acl=FILE changes nothing, and says so" {
  start_domain 1
  echo "allow 7" > 1/acl
  kill -HUP "${domain_pid[1]}"
  eventually grep -q 'SIGHUP: mounted without acl=FILE' log/1
  acl_is "allow 7"
}

@test "mount -f does nothing but say it would work" {
  mkdir mnt
  with_helper limit mount -f -t sivc local "$PWD/mnt" -o "dir=$PWD/hv,domid=5"
  same "$(mounts_here)" ""
}

@test "an fstab line mounts" {
  mkdir mnt
  echo "local $PWD/mnt sivc dir=$PWD/hv,domid=5,nofail,x-systemd.automount 0 0" > fstab
  with_helper limit mount -T fstab "$PWD/mnt"
  like "$(cat mnt/self)" "5"
  limit mount -T fstab -a
  unmount "$PWD/mnt"
}

@test "meson install respects DESTDIR and installs what the documentation names" {
  DESTDIR=$PWD/installed meson install -C "$build" --no-rebuild --quiet
  find installed -type f | sort
  [[ -x installed/usr/local/sbin/sivcfs && -x installed/usr/sbin/mount.sivc ]]
  find installed -name libsivc.so | grep -q .
  find installed -name libsivc.pc | grep -q .
  [[ -f installed/usr/local/include/sivc/sivc.h ]]
  [[ -f installed/usr/local/lib/systemd/system/sivcfs@.service ]]
}
