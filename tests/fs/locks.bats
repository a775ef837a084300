#!/usr/bin/env bats
# flock and fcntl locks: of a file, whatever it was called and however often it was looked up.

load helpers

# lock.py PATH [OPERATION...]: on one open file, a line of result each.  `pause` waits for a line.
setup_file() {
  cat > "$BATS_FILE_TMPDIR/lock.py" << 'END'
import errno, fcntl, os, struct, sys

fd = os.open(sys.argv[1], os.O_RDWR)
kinds = {"read": fcntl.LOCK_SH, "write": fcntl.LOCK_EX, "unlock": fcntl.LOCK_UN}
for operation in sys.argv[2:]:
    name, *words = operation.split(":")
    try:
        if name == "pause":
            print("pause", flush=True)
            sys.stdin.readline()
        elif name == "flock":
            fcntl.flock(fd, kinds[words[0]] | (fcntl.LOCK_NB if "now" in words else 0))
            print(operation, "ok", flush=True)
        elif name == "range":
            flags = kinds[words[0]] | (fcntl.LOCK_NB if "now" in words else 0)
            fcntl.lockf(fd, flags, int(words[2]), int(words[1]))
            print(operation, "ok", flush=True)
        elif name == "get":
            lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, int(words[0]), int(words[1]), 0)
            kind, _, start, length, pid = struct.unpack("hhqqi4x", fcntl.fcntl(fd, fcntl.F_GETLK, lock))
            if kind == fcntl.F_UNLCK:
                print(operation, "free", flush=True)
            else:
                print(operation, "write" if kind == fcntl.F_WRLCK else "read", start, length,
                      "parent" if pid == os.getppid() else pid, flush=True)
        elif name == "fork":
            if os.fork() != 0:
                os.wait()
                os._exit(0)
        elif name == "close":
            os.close(os.open(sys.argv[1], os.O_RDWR))
    except OSError as e:
        print(operation, errno.errorcode[e.errno], flush=True)
END
}

lock() {
  limit python3 "$BATS_FILE_TMPDIR/lock.py" "$@"
}

# start_lock NAME PATH OPERATION...: in the background.  `next NAME` ends its `pause`.
start_lock() {
  local name=$1
  shift
  rm -f "$name.in"
  mkfifo "$name.in"
  start_input=$name.in start "$name" python3 "$BATS_FILE_TMPDIR/lock.py" "$@"
  exec {input}> "$name.in"
  declare -g "input_$name=$input"
}

@test "flock excludes two processes, by number and by name, on every file" {
  start_domain 1 name=web
  local file
  for file in peers/1 peers/77 inbox acl stats self; do
    exec {held}< "1/$file"
    flock "$held"
    fails flock --nonblock "1/$file" true
    flock --unlock "$held"
    flock --nonblock "1/$file" true
    exec {held}<&-
  done
  exec {held}< 1/peers/web
  flock "$held"
  fails flock --nonblock 1/peers/1 true
  flock --nonblock 1/peers/2 true
  exec {held}<&-
  flock --nonblock 1/peers/1 true
}

@test "several readers share a lock, and a writer waits until the last of them is gone" {
  start_domain 1
  start_lock one 1/peers/1 flock:read pause flock:unlock pause
  start_lock two 1/peers/1 flock:read pause
  shows one pause
  shows two pause
  same "$(lock 1/peers/1 flock:write:now)" "flock:write:now EAGAIN"
  start_lock writer 1/peers/1 flock:write
  blocked writer
  next one
  shows one pause 2
  [[ ! -s writer.out ]]
  next two
  finish two
  finish writer
  same "$output" "flock:write ok"
  next one
  finish one
}

@test "who waits gets the lock when its owner is killed" {
  start_domain 1
  local kind
  for kind in flock:write range:write:0:10; do
    start_lock owner 1/peers/1 $kind pause
    shows owner pause
    start_lock waiter 1/peers/1 $kind
    blocked waiter
    ends_by KILL owner
    finish waiter
    same "$output" "$kind ok"
  done
}

@test "who waits for a lock can be interrupted and killed, and leaves nothing" {
  start_domain 1
  local kind signal
  for kind in flock:write range:write:0:10; do
    for signal in INT KILL; do
      start_lock owner 1/peers/1 $kind pause
      shows owner pause
      start_lock waiter 1/peers/1 $kind
      blocked waiter
      kill -$signal "${job_pid[waiter]}"
      finish waiter
      ((status > 0))
      next owner
      finish owner
      like "$(lock 1/peers/1 $kind:now)" ok
    done
  done
}

@test "a script that holds flock keeps several messages together" {
  pair
  start reader cat 1/inbox
  local i
  for i in 1 2 3 4; do
    start "writer$i" bash -c 'for ((n = 0; n < 20; n++)); do
      flock 2/peers/1 bash -c "echo $1; echo $1; echo $1" - "$1" > 2/peers/1
    done' - "$i"
  done
  for i in 1 2 3 4; do
    finish "writer$i"
    same "$status" 0
  done
  eventually lines_are reader.out 240
  same "$(awk 'NR % 3 == 1 { first = $0 } $0 != first' reader.out)" ""
  ends_by KILL reader
}

lines_are() {
  (($(wc -l < "$1") == $2))
}

@test "fcntl locks are of ranges" {
  start_domain 1
  start_lock one 1/acl range:write:10:10 range:read:100:1 pause range:unlock:14:2 pause
  shows one pause
  same "$(lock 1/acl range:write:0:10:now range:write:20:80:now range:read:100:1:now \
    range:write:19:1:now range:write:100:1:now range:read:0:0:now)" \
    "$(printf '%s\n' 'range:write:0:10:now ok' 'range:write:20:80:now ok' 'range:read:100:1:now ok' \
      'range:write:19:1:now EAGAIN' 'range:write:100:1:now EAGAIN' 'range:read:0:0:now EAGAIN')"
  same "$(lock 1/acl get:0:10 get:0:0)" "get:0:10 free
get:0:0 write 10 10 ${job_pid[one]}"
  # A hole in the middle.
  next one
  shows one pause 2
  same "$(lock 1/acl range:write:14:2:now get:10:4 get:16:4)" "range:write:14:2:now ok
get:10:4 write 10 4 ${job_pid[one]}
get:16:4 write 16 4 ${job_pid[one]}"
  next one
  finish one
  same "$(lock 1/acl range:write:0:0:now)" "range:write:0:0:now ok"
}

@test "fcntl locks of acl go with any close by their process" {
  start_domain 1
  start_lock owner 1/acl range:write:0:0 pause close pause
  shows owner pause
  same "$(lock 1/acl range:write:0:0:now)" "range:write:0:0:now EAGAIN"
  next owner
  shows owner pause 2
  same "$(lock 1/acl range:write:0:0:now)" "range:write:0:0:now ok"
  next owner
  finish owner
}

@test "flock and fcntl locks do not see each other, and neither do two endpoints" {
  start_domain 1
  mkdir 1/endpoints/other
  start_lock owner 1/peers/1 flock:write pause
  shows owner pause
  same "$(lock 1/peers/1 range:write:0:0:now)" "range:write:0:0:now ok"
  same "$(lock 1/endpoints/other/peers/1 flock:write:now)" "flock:write:now ok"
  next owner
  finish owner
}

@test "when the endpoint closes, who waits for a lock gets ENODEV" {
  start_domain 1
  mkdir 1/endpoints/other
  start_lock owner 1/endpoints/other/peers/1 flock:write pause
  shows owner pause
  start_lock waiter 1/endpoints/other/peers/1 flock:write
  blocked waiter
  rmdir 1/endpoints/other
  finish waiter
  same "$output" "flock:write ENODEV"
  next owner
  finish owner
}

@test "when sivcfs is told to end, who waits for a lock is let go" {
  start_domain 1
  start_lock owner 1/peers/1 flock:write pause
  shows owner pause
  start_lock waiter 1/peers/1 flock:write
  blocked waiter
  kill -TERM "${domain_pid[1]}"
  ended_well 1
  finish waiter
  like "$output" "^flock:write E"
  ends_by KILL owner
}

@test "a user's locks and open files are bounded, and root's go on" {
  start_domain 1 mode=0666
  cat > try.py << 'END'
import errno, fcntl, os, resource
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
fd = os.open("1/peers/1", os.O_RDWR)
count = 0
try:
    for start in range(0, 2000000, 2):
        fcntl.lockf(fd, fcntl.LOCK_EX, 1, start)
        count += 1
except OSError as e:
    print(errno.errorcode[e.errno], 1000 < count < 5000)
os.close(fd)
fds = []
try:
    while True:
        fds.append(os.open("1/stats", os.O_RDONLY))
except OSError as e:
    print(errno.errorcode[e.errno], 100 < len(fds) < 20000)
END
  run as_user env PATH=/usr/bin:/bin python3 try.py
  same "$output" $'ENOLCK True\nENOBUFS True'
  # It is given back.
  same "$(as_user cat 1/stats | wc -l)" "$(wc -l < 1/stats)"
}
