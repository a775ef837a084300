#!/usr/bin/env bats
# What sivc(7) says of programs that treat a regular file differently, and what to do instead.

load helpers

# --- Being stopped --------------------------------------------------------------------------------

# pauses COMMAND...: it reads from 1/inbox, waits, is stopped, and goes on.
pauses() {
  pair
  start reader "$@"
  pause_reader
}

pause_reader() {
  blocked reader
  kill -STOP "${job_pid[reader]}"
  eventually stopped reader
  kill -CONT "${job_pid[reader]}"
}

opened() {
  [[ $(readlink "/proc/${job_pid[reader]}/fd/1") == "$PWD/$1" ]]
}

stopped() {
  grep -q '^State:.T' "/proc/${job_pid[$1]}/status"
}

# goes_on: it waits again, and gets the next message.
goes_on() {
  blocked reader
  echo hello > 2/peers/1
  shows reader hello
  ends_by KILL reader
}

# ends_with STATUS PATTERN: it has ended, its output matches, and the next message is still there.
ends_with() {
  finish reader
  same "$status" "$1"
  like "$output" "$2"
  echo hello > 2/peers/1
  same "$(op 1/inbox r+nonblock read)" 'read 6 hello\x0a'
}

@test "cat goes on after it was stopped" {
  pauses cat 1/inbox
  goes_on
}

@test "a loop of bash goes on after it was stopped" {
  # shellcheck disable=SC2016 # for the inner shell
  pauses bash -c 'while read -r line; do echo "$line"; done < 1/inbox'
  goes_on
}

@test "a loop of dash goes on after it was stopped" {
  # shellcheck disable=SC2016 # for the inner shell
  pauses dash -c 'while read -r line; do echo "$line"; done < 1/inbox'
  goes_on
}

@test "a loop of perl goes on after it was stopped" {
  # shellcheck disable=SC2016 # perl's
  pauses perl -ne '$| = 1; print' 1/inbox
  goes_on
}

@test "Python goes on after it was stopped" {
  pauses python3 -uc 'print(open("1/inbox").readline(), end=""); open("1/inbox").readline()'
  goes_on
}

@test "perl's sysread gets EINTR when it was stopped, and the message is kept" {
  # shellcheck disable=SC2016 # perl's
  pauses perl -e 'open(F, "<", "1/inbox"); defined sysread(F, $b, 100) or print $!'
  ends_with 0 'Interrupted system call'
}

@test "sed -u ends with an error when it was stopped, and the message is kept" {
  pauses sed -u s/a/b/ 1/inbox
  ends_with 4 'Interrupted system call'
}

@test "mawk ends with an error when it was stopped, and the message is kept" {
  pauses mawk '{ print }' 1/inbox
  ends_with 2 'Interrupted system call'
}

@test "mawk -W interactive ends as if at the end when it was stopped, and the message is kept" {
  pauses mawk -W interactive '{ print }' 1/inbox
  ends_with 0 '^$'
}

@test "sed -u goes on behind cat" {
  pair
  mkfifo lines
  start sed sed -u s/h/H/ lines
  start reader bash -c 'exec cat 1/inbox > lines'
  eventually opened lines
  pause_reader
  echo hello > 2/peers/1
  shows sed Hello
  ends_by KILL reader
  finish sed
  same "$status:$output" "0:Hello"
}

# --- Reading and writing --------------------------------------------------------------------------

@test "dd under timeout receives one message, or says that there was none" {
  pair
  run limit timeout 0.3 dd if=1/inbox bs=1M count=1 status=none
  same "$status:$output" "124:"
  echo hello > 2/peers/1
  run limit timeout 10 dd if=1/inbox bs=1M count=1 status=none
  same "$status:$output" "0:hello"
}

@test "Python's FileHandler and WatchedFileHandler send each record as a message" {
  pair
  limit python3 -c '
import logging, logging.handlers
for kind in logging.FileHandler, logging.handlers.WatchedFileHandler:
    log = logging.Logger("log")
    log.addHandler(kind("2/peers/1"))
    log.warning("one")
    log.warning("two")
'
  same "$(op 1/inbox r+nonblock read read read read read)" \
    $'read 4 one\\x0a\nread 4 two\\x0a\nread 4 one\\x0a\nread 4 two\\x0a\nread EAGAIN'
}

@test "Python's RotatingFileHandler says that it cannot seek, and sends nothing" {
  pair
  run limit python3 -c '
import logging, logging.handlers
log = logging.Logger("log")
log.addHandler(logging.handlers.RotatingFileHandler("2/peers/1", maxBytes=100, backupCount=1))
log.warning("one")
'
  like "$output" "not seekable"
  same "$(op 1/inbox r+nonblock read)" "read EAGAIN"
}

@test "Python without a buffer sends a line and its newline as two messages" {
  pair
  limit python3 -u -c 'print("hello")' > 2/peers/1
  same "$(op 1/inbox r+nonblock read read read)" $'read 5 hello\nread 1 \\x0a\nread EAGAIN'
}

# --- Mounts ---------------------------------------------------------------------------------------

@test "a copy of the mount in a private namespace keeps sivcfs until that ends" {
  start_domain 1
  start holder unshare --mount --propagation private bash -c 'echo ready; exec sleep 1000'
  shows holder ready
  limit umount 1
  like "$(limit cat "/proc/${job_pid[holder]}/root$PWD/1/self")" "domid 1"
  ends_by KILL holder
  ended_well 1
}

# One file bind-mounted is one inode, and a second writer then waits for the first in the kernel, where
# nothing ends it; each open below a directory looks the file up anew.
@test "an endpoint's directory, bind-mounted, is an endpoint for a container: writers are ended each by itself" {
  start_domain 1 ring=4096
  start_domain 2
  mkdir 1/endpoints/web 2/endpoints/web inside
  echo "allow 2" > 1/endpoints/web/acl
  mount --bind 2/endpoints/web inside
  same "$(op inside/peers/1 w+nonblock until=500)" "until 8 EAGAIN"
  start_op first inside/peers/1 w fill=1000
  blocked first
  start_op second inside/peers/1 w fill=1000
  blocked second
  same "$(op inside/peers/1 w+nonblock write=x)" "write EAGAIN"
  ends_by KILL second
  ends_by KILL first
  same "$(op 1/endpoints/web/inbox r+nonblock drain)" "drain 8 EAGAIN"
}
