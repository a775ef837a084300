#!/usr/bin/env bats
# Boot: fstab and the unit, under systemd as process 1.

load ../fs/helpers

BATS_TEST_TIMEOUT=240
patience=40

# new_machine: root/ is this machine with sivcfs installed, without its own services and mounts.
new_machine() {
  mkdir memory
  mount -t tmpfs tmpfs memory
  mkdir memory/{upper,work,root}
  mount -t overlay -o lowerdir=/,upperdir=memory/upper,workdir=memory/work overlay memory/root
  root=$PWD/memory/root
  DESTDIR=$root meson install -C "$build" --no-rebuild --quiet
  ldconfig -r "$root"
  rm -rf "$root"/etc/systemd/system/* "$root/etc/fstab" "$root"/var/log/journal
  printf '[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n' \
    > "$root/etc/systemd/system/sivc-test.target"
  mkdir "$root/etc/systemd/system/sivc-test.target.wants" "$root"/sivc{,1,2,3,4}
}

# enable UNIT: with the machine.
enable() {
  ln -s "/usr/local/lib/systemd/system/${1/@*./@.}" "$root/etc/systemd/system/sivc-test.target.wants/$1"
}

boot() {
  start machine unshare --mount --propagation private "$repo/tests/daily/machine.sh" "$root"
  eventually booted && return
  cat machine.out
  inside systemctl list-jobs --no-pager
  inside journalctl --boot --no-pager
  return 1
}

# Process 1 of the machine, when it has said that it is up.
booted() {
  init=$(xargs < "/proc/${job_pid[machine]}/task/${job_pid[machine]}/children")
  [[ -n $init && $(inside systemctl is-system-running 2> /dev/null) == @(running|degraded) ]]
}

inside() {
  limit nsenter --target "$init" --all -- "$@"
}

# switch_off reboot|poweroff: until it is off.
switch_off() {
  inside systemctl "$1" || : # it may be gone before systemctl has its answer
  finish machine
  same "$status" "$([[ $1 == reboot ]] && echo 129 || echo 130)"
}

teardown_machine() {
  umount --lazy memory/root memory
  # Where the kernel's second hierarchy is mounted, there is nobody left in these.
  find /sys/fs/cgroup -depth -type d -path '*/sivc-machine-*' -exec rmdir {} + 2> /dev/null || :
}

says() {
  inside systemctl show --value --property="$2" "$1"
}

active() {
  [[ $(says "$1" ActiveState) == "$2" ]]
}

mounted_inside() {
  inside grep -qF " $1 fuse.sivc " /proc/self/mounts
}

# arrives FROM TO: a message, and back.
arrives() {
  inside sh -c "echo 'from $1' > /sivc$1/peers/$2"
  same "$(inside sh -c "read -r line < /sivc$2/inbox; echo \"\$line\"")" "from $1"
}

# Each of these was in the way once: a unit whose filter ends the program, a directory that is made later.
@test "fstab and the unit mount at boot, and again after a kill, a reload, a stop and a reboot" {
  natively "there is nothing to be seen of a machine"
  new_machine
  mkdir -p "$root/etc/sivc"
  echo "allow 2" > "$root/etc/sivc/1.acl"
  echo "allow 1" > "$root/etc/sivc/2.acl"
  echo 'local /sivc1 sivc user=sivc,dir=/run/sivc,domid=1,acl=/etc/sivc/1.acl,nofail,x-systemd.requires=systemd-tmpfiles-setup.service,x-systemd.mount-timeout=30 0 0
local /sivc3 sivc user=sivc,dir=/run/sivc,domid=3,acl=/etc/sivc/2.acl,x-systemd.automount,x-systemd.idle-timeout=1h 0 0' > "$root/etc/fstab"
  printf 'SIVC_SOURCE=local\nSIVC_OPTIONS=user=sivc,dir=/run/sivc,domid=2,acl=/etc/sivc/2.acl\n' \
    > "$root/etc/default/sivcfs-sivc2"
  enable sivcfs@sivc2.service
  like "$(sed -n 's/^After=//p' "$root/usr/local/lib/systemd/system/sivcfs@.service")" "systemd-modules-load.service"
  # Without notification, in the background.
  printf '[Service]\nType=forking\nExecStart=/usr/local/sbin/sivcfs local /sivc4 -o user=sivc,dir=/run/sivc,domid=4\n' \
    > "$root/etc/systemd/system/forking.service"
  # One who uses both, and must find them there.
  printf '[Unit]\nRequiresMountsFor=/sivc1\nBindsTo=sivcfs@sivc2.service\nAfter=sivcfs@sivc2.service\n
[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c "cat /sivc1/self /sivc2/self"\n' \
    > "$root/etc/systemd/system/reader.service"
  ln -s ../reader.service "$root/etc/systemd/system/sivc-test.target.wants/"
  # A program that 2 may call, and that tells whom it answers.
  mkdir -p "$root/etc/sivc/services" "$root/etc/systemd/system/sivc-serve@who.service.d"
  printf '#!/bin/sh\nread -r line\necho "$SIVC_DOMID asks for $line"\n' > "$root/etc/sivc/services/who"
  chmod 0755 "$root/etc/sivc/services/who"
  echo "allow 2" > "$root/etc/sivc/services/who.acl"
  printf '[Unit]\nRequiresMountsFor=/sivc1\n[Service]\nEnvironment=SIVC=/sivc1\nReadWritePaths=/sivc1\n' \
    > "$root/etc/systemd/system/sivc-serve@who.service.d/mount.conf"
  enable sivc-serve@who.service
  boot
  inside systemctl --failed --no-legend
  inside journalctl --boot --no-pager -p warning
  same "$(inside systemctl is-system-running)" running
  active reader.service active
  inside grep -q '^domid 2' /sivc2/self
  arrives 1 2
  arrives 2 1

  # By automount: it is mounted when somebody comes.
  fails mounted_inside /sivc3
  inside grep -q '^domid 3' /sivc3/self
  mounted_inside /sivc3
  # By hand, too: then nobody is asked to mount it automatically.
  inside umount /sivc3
  inside mount /sivc3
  same "$(inside grep -c '^local /sivc3 ' /proc/self/mounts)" 1

  # As Type=forking, too, it is there when the start has succeeded, and its end is noticed.
  inside systemctl start forking.service
  inside grep -q '^domid 4' /sivc4/self
  inside umount /sivc4
  eventually active forking.service inactive
  same "$(says forking.service Result)" success

  # sysusers and tmpfiles.
  same "$(inside stat -c '%U:%G %a' /run/sivc /etc/sivc)" $'root:sivc 770\nroot:root 755'
  # It runs as that user, and systemd knows which process it is.
  same "$(inside ps -o user=,comm= -p "$(says sivcfs@sivc2.service MainPID)" | xargs)" "sivc sivcfs"

  # The service.
  inside sh -c 'mkdir /sivc2/streams/who && echo "allow 1" > /sivc2/streams/who/acl'
  same "$(echo this | inside sivc-call /sivc2/streams/who 1)" "2 asks for this"

  # Who reads when it is stopped gets what has come.
  inside sh -c 'echo unread > /sivc1/peers/2'
  inside mkfifo /tmp/go
  start reader nsenter --target "$init" --all -- sh -c 'exec 3< /sivc2/inbox; touch /tmp/open
    read -r go < /tmp/go; read -r line <&3; echo "$line"'
  eventually inside test -e /tmp/open
  inside systemctl stop --no-block sivcfs@sivc2.service
  eventually refused_inside
  inside sh -c 'echo go > /tmp/go'
  finish reader
  same "$output" unread
  eventually active sivcfs@sivc2.service inactive
  inside systemctl start sivcfs@sivc2.service

  # A mount at boot as README.md has it, but for the source.  It is there again after the reboot.
  sed -n '/^To mount at boot/,/^The process/ { /^[a-z]/p }' "$repo/README.md" | sed 's|xen /sivc sivc |local /sivc sivc dir=/run/sivc,domid=5,|' > at-boot
  same "$(wc -l < at-boot)" 4
  inside sh -e < at-boot
  same "$(inside cat /sivc/acl)" "allow web"

  # A kill.
  local before
  before=$(says sivcfs@sivc2.service MainPID)
  inside kill -KILL "$before"
  eventually restarted "$before"
  arrives 1 2
  arrives 2 1

  # A reload reads the rules again; a wrong one is in the journal, with its priority.
  : > "$root/etc/sivc/2.acl"
  inside systemctl reload sivcfs@sivc2.service
  eventually refused_inside
  echo "permit 1" > "$root/etc/sivc/2.acl"
  inside systemctl reload sivcfs@sivc2.service
  eventually in_journal 'acl=/etc/sivc/2.acl: these rules cannot be used'

  # A start that fails says why, and systemd knows it.
  inside systemctl stop sivcfs@sivc2.service
  fails mounted_inside /sivc2
  fails inside systemctl start sivcfs@sivc2.service
  in_journal 'line 1'
  echo "allow 1" > "$root/etc/sivc/2.acl"
  inside systemctl reset-failed
  inside systemctl start sivcfs@sivc2.service
  arrives 1 2

  # fstab's mount is a unit, too.
  inside systemctl stop sivc1.mount
  fails mounted_inside /sivc1
  inside systemctl start sivc1.mount
  arrives 2 1

  switch_off reboot
  boot
  same "$(inside systemctl is-system-running)" running
  mounted_inside /sivc1
  mounted_inside /sivc2
  arrives 2 1
  same "$(inside cat /sivc/acl)" "allow web"
  inside sh -c 'mkdir /sivc2/streams/who && echo "allow 1" > /sivc2/streams/who/acl'
  same "$(echo that | inside sivc-call /sivc2/streams/who 1)" "2 asks for that"
  switch_off poweroff
}

# Whatever became of it.
teardown() {
  local bad=0
  [[ -z ${job_pid[machine]:-} ]] || { kill -KILL "${job_pid[machine]}"; finish machine; }
  [[ ! -d memory/root ]] || teardown_machine || bad=1
  cd /
  return "$bad"
}

restarted() {
  local now
  now=$(says sivcfs@sivc2.service MainPID)
  active sivcfs@sivc2.service active && [[ $now != 0 && $now != "$1" ]]
}

refused_inside() {
  ! inside sh -c 'echo x > /sivc1/peers/2' 2> /dev/null
}

in_journal() {
  inside journalctl -t sivcfs -p err --no-pager | grep -qF "$1"
}
