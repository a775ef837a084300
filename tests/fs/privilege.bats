#!/usr/bin/env bats
# What sivcfs may do, and what a user of this machine can do to it.

load helpers

filtered=$((sanitized ? 0 : 2)) # a build with sanitizers has no filter of system calls

# status_of PID FIELD: a line of /proc/PID/status, for each thread.
status_of() {
  awk -v field="$2:" '$1 == field { $1 = ""; sub(/^ /, ""); print }' /proc/"$1"/task/*/status | uniq
}

# powerless PID: no capabilities, and no way to get any.
powerless() {
  local set
  for set in CapInh CapPrm CapEff CapAmb; do
    same "$set $(status_of "$1" $set)" "$set 0000000000000000"
  done
  same "NoNewPrivs $(status_of "$1" NoNewPrivs)" "NoNewPrivs 1"
  same "Seccomp $(status_of "$1" Seccomp)" "Seccomp $filtered"
}

# A directory that an ordinary user shares with root, and one of the user's own.
open_directory() {
  chmod 1777 hv log
}

user_directory() {
  mkdir user
  chown "$ordinary_user" user
}

# --- What is given up ---

@test "sivcfs has no capabilities, cannot get any, and has its filter" {
  start_domain 1
  powerless "${domain_pid[1]}"
  same "$(status_of "${domain_pid[1]}" CapBnd)" 0000000000000000
}

@test "sivcfs in the background has no capabilities either" {
  mkdir 1
  limit "$sivcfs" local 1 -o dir=hv,domid=1
  local pid
  pid=$(daemons_here)
  powerless "$pid"
  limit umount 1
  "$build/tests/await" exit "$pid"
}

@test "what unmounts keeps what it needs for that, and nothing of what others can reach" {
  natively 'each process has descriptors of valgrind, too'
  start_domain 1
  local mounter
  mounter=$(mounter_of 1)
  # CAP_DAC_READ_SEARCH is 2, CAP_SYS_ADMIN is 21.
  same "$(status_of "$mounter" CapEff)" 0000000000200004
  same "$(status_of "$mounter" CapPrm)" 0000000000200004
  same "$(status_of "$mounter" NoNewPrivs)" 1
  same "$(readlink "/proc/$mounter/fd/"[0-2] | uniq)" /dev/null
  # The fifth is the directory that the mount point is in.
  same "$(find "/proc/$mounter/fd" -type l | wc -l)" 5
  like "$(readlink "/proc/$mounter/fd/3")" '^socket:'
  same "$(readlink "/proc/$mounter/fd/4")" "$PWD"
  same "$(readlink "/proc/$mounter/cwd")" /
  stop_domain 1
  [[ ! -e /proc/$mounter ]]
}

@test "it unmounts a directory below one that only another user can search" {
  mkdir -p closed/mnt
  chown "$ordinary_user" closed
  chmod 0700 closed
  serve 1 closed/mnt dir=hv,domid=1
  kill -TERM "${domain_pid[1]}"
  ended_well 1
  same "$(mounts_here)" ""
}

@test "it unmounts its own mount, whatever its path leads to by then" {
  mkdir -p place/mnt other/mnt
  start_domain 2
  serve 1 place/mnt dir=hv,domid=1
  limit cat place/mnt/self > self # libfuse looks the path up once more when it has mounted
  # Now the path leads to the mount of domain 2, which has died as well.
  mv place moved
  ln -s "$PWD/swapped" place
  mkdir swapped swapped/mnt
  mount --bind 2 swapped/mnt
  local mounter
  mounter=$(mounter_of 2)
  kill -STOP "$mounter"
  kill -KILL "${domain_pid[2]}"
  "$build/tests/await" exit "${domain_pid[2]}"
  domain_killed[2]=1
  unset "domain_pid[2]"
  kill_domain 1
  eventually unmounted moved/mnt
  mounts_here | grep -qxF "$PWD/swapped/mnt"
  umount swapped/mnt
  kill -CONT "$mounter"
  eventually unmounted 2
}

@test "signals that are for a whole group of processes do not take away what unmounts" {
  start_domain 1
  local mounter
  mounter=$(mounter_of 1)
  kill -TERM "$mounter" "${domain_pid[1]}"
  ended_well 1
  same "$(mounts_here)" ""
}

@test "an ordinary user's sivcfs gives up as much, and unmounts by fusermount3" {
  user_directory
  mkdir user/1 user/hv
  chown "$ordinary_user" user/1 user/hv
  as_user "$sivcfs" local user/1 -o "dir=$PWD/user/hv,domid=1" 3>&-
  local pid
  pid=$(daemons_here)
  powerless "$pid"
  kill -TERM "$pid"
  "$build/tests/await" exit "$pid"
  same "$(mounts_here)" ""
  as_user "$sivcfs" local user/1 -o "dir=$PWD/user/hv,domid=1" 3>&-
  kill -KILL "$(daemons_here)"
  eventually unmounted user/1
  rm -r user/hv
}

@test "root shares with the group that its directory belongs to, without capabilities" {
  chgrp "$ordinary_user" hv 2> /dev/null || chgrp "$(id -g "$ordinary_user")" hv
  chmod 0770 hv
  start_domain 1
  same "$(stat -c '%g %a' hv/1.0 | sort -u)" "$(id -g "$ordinary_user") 640"
  # Of another user of that group.
  mkdir 2
  chown "$ordinary_user" 2
  as_user "$sivcfs" local 2 -o "dir=$PWD/hv,domid=2" 3>&-
  echo "allow 2" > 1/acl
  as_user bash -c 'echo hello > 2/peers/1'
  same "$(op 1/inbox r+nonblock read)" 'read 6 hello\x0a'
  as_user bash -c 'echo "allow 1" > 2/acl'
  echo back > 1/peers/2
  same "$(as_user "$build/tests/fileop" 2/inbox r+nonblock read)" 'read 5 back\x0a'
  as_user fusermount3 -u 2
  # It belongs to another user, and is open by its group alone.
  stop_domain 1
  find hv -mindepth 1 -delete
  chown "$ordinary_user" hv
  start_domain 1
  stop_domain 1
}

@test "started without standard input, output and error it opens nothing in their place" {
  natively 'its log is in that place'
  mkdir 1
  limit bash -c '"$@" <&- >&- 2>&-' - "$sivcfs" local 1 -o dir=hv,domid=1
  local pid
  pid=$(daemons_here)
  same "$(readlink "/proc/$pid/fd/"[0-2] | uniq)" /dev/null
  limit cat 1/self > /dev/null
  limit umount 1
  "$build/tests/await" exit "$pid"
  "$sivcfs" local 1 -f -o dir=hv,domid=1 <&- >&- 2>&- 3>&- &
  domain_pid[1]=$!
  "$build/tests/await" mount $! 1
  same "$(readlink "/proc/$!/fd/"[0-2] | uniq)" /dev/null
  echo "allow 1" > 1/acl
  echo hello > 1/peers/1
  same "$(op 1/inbox r+nonblock read)" 'read 6 hello\x0a'
}

# --- user= ---

@test "user= runs as that user, with its groups and no others" {
  open_directory
  start_domain 1 "user=$ordinary_user"
  local pid=${domain_pid[1]} id
  id=$(id -u "$ordinary_user")
  same "$(status_of "$pid" Uid)" "$id $id $id $id"
  id=$(id -g "$ordinary_user")
  same "$(status_of "$pid" Gid)" "$id $id $id $id"
  same "$(status_of "$pid" Groups | xargs -n1 | sort -n)" "$(id -G "$ordinary_user" | xargs -n1 | sort -n)"
  powerless "$pid"
  # What it has made is that user's, the files are those of whoever mounted.
  same "$(stat -c %U hv/1 hv/1.0 | sort -u)" "$ordinary_user"
  same "$(stat -c %u 1/acl)" 0
}

@test "with user= messages flow, endpoints come and go, and it unmounts" {
  open_directory
  printf 'allow 2\n' > rules
  chmod 0600 rules # root's, and read by root
  start_domain 1 "user=$ordinary_user" "acl=$PWD/rules"
  start_domain 2 "user=$(id -u "$ordinary_user")"
  echo hello > 2/peers/1
  same "$(op 1/inbox r+nonblock read)" 'read 6 hello\x0a'
  mkdir 1/endpoints/later 2/endpoints/later
  echo "allow 2" > 1/endpoints/later/acl
  blob 300000 big
  start_op reader 1/endpoints/later/inbox r read
  blocked reader
  same "$(op 2/endpoints/later/peers/1 w fill=300000)" "fill 300000"
  finish reader
  like "$output" '^read 300000 '
  rmdir 1/endpoints/later
  kill -TERM "${domain_pid[1]}"
  ended_well 1
  stop_domain 2
  same "$(mounts_here)" ""
}

@test "with user= it is unmounted also after kill -9, and starts again" {
  open_directory
  start_domain 1 "user=$ordinary_user"
  kill_domain 1
  start_domain 1 "user=$ordinary_user"
  limit cat 1/self > /dev/null
}

@test "user= of nobody whom this machine knows is refused" {
  refused "user=no-such-user: .*user" dir=hv domid=1 user=no-such-user
  refused "user=4000000: there is no such user" dir=hv domid=1 user=4000000
  refused "user=" dir=hv domid=1 user=
}

@test "user= of the user that it runs as already changes nothing" {
  start_domain 1 user=root
  same "$(status_of "${domain_pid[1]}" Uid)" "0 0 0 0"
}

@test "only root can become another user" {
  user_directory
  run as_user "$sivcfs" local user -f -o dir="$PWD/user",domid=1,user=root
  ((status > 0 && status < 124))
  like "$output" "user=root: only root can become another user"
}

@test "user= whom the directory does not let in is refused, with a message that names it" {
  refused "$PWD/hv.*Permission denied" dir="$PWD/hv" domid=1 user="$ordinary_user"
  mkdir hv/1
  chmod 1777 hv
  refused "domain 1 in $PWD/hv.*Permission denied" dir="$PWD/hv" domid=1 user="$ordinary_user"
  rmdir hv/1
}

@test "user= without the capability to become that user says so" {
  open_directory
  mkdir mnt
  run limit setpriv --bounding-set=-setuid "$sivcfs" local mnt -f \
    -o "dir=hv,domid=1,user=$ordinary_user"
  ((status > 0 && status < 124))
  like "$output" "cannot become user $ordinary_user.*CAP_SETUID"
  same "$(mounts_here)" ""
}

# --- What others have put into its directory ---

@test "a directory that is a link is not followed" {
  mkdir real
  ln -s real link
  refused "link.*remove it|link.*Not a directory" dir="$PWD/link" domid=1
  refused "link.*remove it|link.*Not a directory" dir="$PWD/link/" domid=1
  same "$(find real -mindepth 1)" ""
}

@test "a directory that all may write to must have its sticky bit" {
  chmod 0777 hv
  refused "hv.*sticky bit" dir=hv domid=1
  same "$(find hv -mindepth 1)" ""
  chmod 1777 hv
  start_domain 1
}

@test "a directory of another user who has not opened it is refused" {
  chown "$ordinary_user" hv
  chmod 0700 hv
  refused "hv.*(belongs to user|Permission denied)" dir=hv domid=1
  chown root hv
}

# planted COMMAND...: what the command has made at hv/1 is refused, and stays.
planted() {
  "$@"
  refused "domain 1 in .*hv" dir=hv domid=1
  [[ -e hv/1 || -L hv/1 ]]
  rm -rf hv/1
}

@test "a domain's directory that is a link, a FIFO, a file or another user's is refused" {
  mkdir elsewhere
  planted ln -s "$PWD/elsewhere" hv/1
  same "$(find elsewhere -mindepth 1)" ""
  planted ln -s /no/such/place hv/1
  planted mkfifo hv/1
  echo precious > precious
  planted ln precious hv/1
  planted install -d -o "$ordinary_user" hv/1
  same "$(cat precious)" precious
}

@test "a lock that is a link or a FIFO is refused, and what it leads to stays as it is" {
  echo precious > precious
  mkdir -p hv/1/0
  ln -s "$PWD/precious" hv/1/0/lock
  refused "domain 1 in .*hv" dir=hv domid=1
  rm hv/1/0/lock
  ln -s "$PWD/new" hv/1/0/lock
  refused "domain 1 in .*hv" dir=hv domid=1
  rm hv/1/0/lock
  mkfifo hv/1/0/lock
  refused "domain 1 in .*hv" dir=hv domid=1
  [[ ! -e new ]]
  same "$(cat precious)" precious
  rm -r hv/1
}

# foreign_domain: an ordinary user is domain 2, and permits domain 1, which is root's.
foreign_domain() {
  open_directory
  start_domain 1
  mkdir 2
  chown "$ordinary_user" 2
  as_user "$sivcfs" local 2 -o "dir=$PWD/hv,domid=2" 3>&-
  as_user bash -c 'echo "allow 1" > 2/acl'
}

end_foreign_domain() {
  as_user fusermount3 -u 2
  stop_domain 1
}

@test "another user's ring that is a link, another name of a file, or a FIFO is not written to" {
  foreign_domain
  head -c 1000000 /dev/zero > precious
  chmod 0666 precious
  local ring plant before
  before=$(stat -c '%y %s' precious)
  ring=$(find hv/2/0 -name '*.rw' -size +4 -printf '%p\n' | head -n1)
  [[ -n $ring ]]
  for plant in 'ln -s "$1" "$2"' 'ln "$1" "$2"' 'mkfifo "$2"'; do
    # A new mount, which has not refused it yet.
    stop_domain 1
    rm "$ring"
    start_domain 1
    # Root's file has another name there only where the system lets users do that.
    as_user bash -c "$plant" - "$PWD/precious" "$ring" || bash -c "$plant" - "$PWD/precious" "$ring"
    like "$(op 1/peers/2 w+nonblock write=x)" '^write E(PROTO|ACCES|PIPE)$'
  done
  cmp precious <(head -c 1000000 /dev/zero)
  same "$(stat -c '%y %s' precious)" "$before"
  rm "$ring"
  end_foreign_domain
}

@test "another user's node that is root's, a file or a FIFO is none, and holds nobody" {
  foreign_domain
  same "$(op 1/peers/2 w+nonblock write=x)" "write 1"
  local node=hv/2/default.1 content plant
  content=$(readlink $node)
  printf %s "$content" > precious # what is in it would do
  chmod 0644 precious
  # A new mount, which has read nothing yet.
  for plant in 'ln -s "$(cat "$1")" "$2"' 'ln "$1" "$2"' 'mkfifo "$2"' 'mkdir "$2"'; do
    stop_domain 1
    rm -rf $node
    bash -c "$plant" - "$PWD/precious" $node
    start_domain 1
    same "$(op 1/peers/2 w+nonblock write=x)" "write EACCES"
  done
  rm -rf $node
  as_user ln -s "$content" "$node"
  eventually sends_x
  end_foreign_domain
}

sends_x() {
  [[ $(op 1/peers/2 w+nonblock write=x) == "write 1" ]]
}

# --- The log ---

@test "what a user puts into a name is no line of the log, and nothing for a terminal" {
  start_domain 1
  chmod 0777 1/endpoints
  fails as_user mkdir $'1/endpoints/x\nsivcfs: forged\e[2J' 2> /dev/null
  [[ $(cat log/1) != *$'\e'* ]]
  same "$(grep -c '^sivcfs: forged' log/1)" 0
}

@test "a user cannot fill the log" {
  start_domain 1 acl_mode=0666
  as_user bash -c 'for ((i = 0; i < 300; i++)); do echo bogus > 1/acl; done' 2> /dev/null || :
  (($(wc -l < log/1) >= 100 && $(wc -l < log/1) < 150))
  stop_domain 1
}

@test "a mode that lets others read messages is logged once" {
  start_domain 1
  chmod 0666 1/peers/7
  chmod 0666 1/inbox
  same "$(grep -c 'mode of .* was changed' log/1)" 1
  grep 'endpoint default: the mode of peers/7 was changed from 0600 to 0666' log/1
}

# --- Sending without permission ---

# attack [WRAPPER...]: every way from a file that may be read to one that is written.
attack() {
  cat > try.py << 'END'
import ctypes, errno, fcntl, mmap, os, struct, sys

def attempt(name, fn):
    try:
        print(name, "gave", fn())
    except OSError as e:
        print(name, errno.errorcode[e.errno])
    except (ValueError, PermissionError) as e:
        print(name, "refused")

peer, inbox, acl = sys.argv[1:4]
ALLOW, DENY = 0x4004B501, 0x4004B502
word = struct.pack("I", 7)

for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND, os.O_RDONLY | os.O_TRUNC):
    attempt("open", lambda: os.open(peer, flags))
attempt("open inbox", lambda: os.open(inbox, os.O_WRONLY))
attempt("truncate acl", lambda: os.open(acl, os.O_RDONLY | os.O_TRUNC))
attempt("truncate acl", lambda: os.truncate(acl, 0))
fd = os.open(peer, os.O_RDONLY)
afd = os.open(acl, os.O_RDONLY)
ifd = os.open(inbox, os.O_RDONLY | os.O_NONBLOCK)
path = os.open(peer, os.O_PATH)
other = os.memfd_create("message")
os.write(other, b"x" * 100)
os.lseek(other, 0, 0)
for f in (fd, ifd, path):
    attempt("write", lambda: os.write(f, b"x"))
    attempt("writev", lambda: os.writev(f, [b"x"]))
    attempt("pwrite", lambda: os.pwrite(f, b"x", 0))
    attempt("sendfile", lambda: os.sendfile(f, other, 0, 10))
    attempt("copy", lambda: os.copy_file_range(other, f, 10))
    attempt("ftruncate", lambda: os.ftruncate(f, 0))
for f in (fd, path, afd, ifd):
    attempt("reopen", lambda: os.open("/proc/self/fd/%d" % f, os.O_WRONLY))
    attempt("reopen", lambda: os.open("/proc/%d/fd/%d" % (os.getpid(), f), os.O_RDWR))
    attempt("chmod", lambda: os.chmod("/proc/self/fd/%d" % f, 0o666))
    attempt("flags", lambda: (fcntl.fcntl(f, fcntl.F_SETFL, os.O_WRONLY), os.write(f, b"x")))
    attempt("ioctl allow", lambda: fcntl.ioctl(f, ALLOW, word))
    attempt("ioctl deny", lambda: fcntl.ioctl(f, DENY, word))
attempt("map", lambda: mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_WRITE))
attempt("link", lambda: os.link(peer, os.path.dirname(peer) + "/stolen"))
attempt("rename", lambda: os.rename(peer, os.path.dirname(peer) + "/stolen"))
attempt("symlink", lambda: os.symlink(peer, os.path.dirname(peer) + "/stolen"))
attempt("mkdir", lambda: os.mkdir(os.path.dirname(acl) + "/endpoints/mine"))
END
  as_user "$@" /usr/bin/python3 try.py "$PWD/2/peers/1" "$PWD/2/inbox" "$PWD/2/acl"
}

@test "a user who may only read peers/N cannot send to N, nor change who may send, by any path" {
  pair
  chmod 0444 2/peers/1 2/inbox 2/acl
  attack > ways
  same "$(grep -c . ways)" 54
  same "$(grep gave ways)" ""
  # A user who is root of a namespace of its own is no more.
  attack unshare --user --map-root-user > ways
  same "$(grep gave ways)" ""
  same "$(grep -c . ways)" 54
  same "$(op 1/inbox r+nonblock read)" "read EAGAIN"
  same "$(cat 2/acl)" "allow 1"
}

@test "a user who could write before the mode was changed cannot open the file again, by any path" {
  pair
  chmod 0666 2/peers/1
  cat > again.py << 'END'
import os, sys
path = os.open(sys.argv[1], os.O_PATH)
read = os.open(sys.argv[1], os.O_RDONLY)
print("ready", flush=True)
sys.stdin.readline()
for name in (sys.argv[1], "/proc/self/fd/%d" % path, "/proc/self/fd/%d" % read):
    try:
        print("opened", os.open(name, os.O_WRONLY))
    except PermissionError:
        print("refused")
END
  mkfifo go
  as_user /usr/bin/python3 again.py "$PWD/2/peers/1" < go > ways 3>&- &
  exec {go}> go
  eventually grep -qx ready ways
  chmod 0644 2/peers/1
  echo >&"$go"
  wait $!
  same "$(cat ways)" $'ready\nrefused\nrefused\nrefused'
}

@test "a user without rights cannot get at sivcfs, nor at what is behind it" {
  pair
  local pid=${domain_pid[2]} file
  for file in /proc/$pid/fd /proc/$pid/mem /proc/$pid/maps /proc/$pid/root /proc/$pid/map_files; do
    fails as_user bash -c '[[ -d $1 ]] && ls "$1/" || head -c1 "$1"' - "$file" > out 2> error
    same "$(cat out)" ""
  done
  # The files of the local backend, each of them, to read and to write.
  while read -r file; do
    like "$(as_user "$build/tests/fileop" "$file" r+nonblock)" '^open E(ACCES|NOENT)$'
    like "$(as_user "$build/tests/fileop" "$file" w+nonblock write=x)" '^open E(ACCES|NXIO)$'
  done < <(find hv -mindepth 1 ! -type d)
  (($(find hv -mindepth 1 ! -type d | wc -l) > 10))
  # To be a domain, the same or another one.
  mkdir mine
  chown "$ordinary_user" mine
  for id in 2 9; do
    run as_user "$sivcfs" local mine -f -o "dir=$PWD/hv,domid=$id"
    ((status > 0 && status < 124))
    like "$output" "Permission denied"
  done
  same "$(op 1/inbox r+nonblock read)" "read EAGAIN"
}

@test "users of the machine cannot look into a sivcfs that runs as one of them" {
  open_directory
  start_domain 1 "user=$ordinary_user"
  local pid=${domain_pid[1]}
  fails as_user ls "/proc/$pid/fd/" 2> /dev/null
  fails as_user head -c1 "/proc/$pid/maps" 2> /dev/null
  fails as_user head -c1 "/proc/$pid/mem" 2> /dev/null
}

# --- The units of systemd ---

# exposure UNIT: systemd's own score of it, 0 (nothing) to 10, and below that what it finds open.
exposure() {
  mkdir -p units
  sed 's|@[A-Z]*@|/bin/true|' "$repo/mountscripts/$1.in" > "units/$1"
  limit systemd-analyze security --offline=true --no-pager "./units/$1" > analysis
  sed -n 's/.*exposure level for .*: \([0-9.]*\) .*/\1/p' analysis
  awk '$1 == "✗" { print $2 }' analysis | sort
}

@test "the units are as closed as systemd can tell, and as doc/security.md says" {
  same "$(exposure sivcfs@.service | xargs)" "3.3 CapabilityBoundingSet=~CAP_SET(UID|GID|PCAP) CapabilityBoundingSet=~CAP_SYS_ADMIN DeviceAllow= \
PrivateDevices= PrivateMounts= PrivateTmp= PrivateUsers= ProcSubset= ProtectControlGroups= ProtectHome= \
ProtectKernelLogs= ProtectKernelModules= ProtectKernelTunables= ProtectProc= ProtectSystem= \
RestrictAddressFamilies=~AF_UNIX RootDirectory=/RootImage= SystemCallFilter=~@mount \
SystemCallFilter=~@privileged User=/DynamicUser="
  same "$(exposure sivc-registry.service | xargs)" "1.7 DeviceAllow= IPAddressDeny= PrivateDevices= \
PrivateMounts= PrivateUsers= ProcSubset= ProtectHome= ProtectProc= RestrictAddressFamilies=~AF_UNIX \
RootDirectory=/RootImage= SystemCallFilter=~@privileged SystemCallFilter=~@resources User=/DynamicUser="
  same "$(exposure sivc-serve@.service | xargs)" "1.1 DeviceAllow= PrivateMounts= PrivateUsers= ProcSubset= \
RestrictAddressFamilies=~AF_UNIX RootDirectory=/RootImage= SystemCallFilter=~@privileged SystemCallFilter=~@resources \
User=/DynamicUser="
  grep -F '| `sivcfs@.service` | 3.3 |' "$repo/doc/security.md"
  grep -F '| `sivc-registry.service` | 1.7 |' "$repo/doc/security.md"
  grep -F '| `sivc-serve@.service` | 1.1 |' "$repo/doc/security.md"
}

@test "systemd finds nothing wrong in the units" {
  for unit in sivcfs@ sivc-serve@ sivc-registry; do
    exposure $unit.service > /dev/null
  done
  mv units/sivcfs@.service units/sivcfs@tmp.service # an instance, of a directory that there is
  mv units/sivc-serve@.service units/sivc-serve@tmp.service
  run limit systemd-analyze verify --man=no ./units/{sivcfs@tmp,sivc-serve@tmp,sivc-registry}.service
  same "$status $(grep -E 'sivc' <<< "$output")" "0 "
}

# Each of these gives the unit a mount namespace of its own, and the mount would be in it.
@test "no setting of the unit hides the mount" {
  fails grep -E '^(Private(Tmp|Devices|IPC|Users|PIDs|BPF)|Protect(System|Home|Proc|KernelTunables|KernelModules|KernelLogs|ControlGroups)|ProcSubset|DynamicUser|RootDirectory|RootImage|MountFlags|(Read(Write|Only)|Inaccessible|Exec|NoExec|Bind|BindReadOnly)Paths|TemporaryFileSystem|MountImages|ExtensionImages)=' \
    "$repo/mountscripts/sivcfs@.service.in"
  grep -qx PrivateMounts=no "$repo/mountscripts/sivcfs@.service.in"
}
