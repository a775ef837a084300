#!/usr/bin/env bats
# Whoever waits in a mount can be ended, and loses no message of anybody else.

load helpers

# The receiver's ring is full, so that a writer waits.
full_pair() {
  pair ring=4096
  fill_ring 2 1
}

@test "a reader that waits ends by kill -9, by Ctrl-C and by SIGTERM, and loses nothing" {
  pair
  for signal in KILL INT TERM; do
    start_op reader 1/inbox r read
    blocked reader
    ends_by $signal reader
    start_op reader 1/peers/2 r read
    blocked reader
    ends_by $signal reader
  done
  printf hello > 2/peers/1
  same "$(op 1/inbox r+nonblock read)" "read 5 hello"
}

@test "a writer that waits ends by kill -9, by Ctrl-C and by SIGTERM, and sends nothing" {
  full_pair
  for signal in KILL INT TERM; do
    start_op writer 2/peers/1 w write=unwanted
    blocked writer
    ends_by $signal writer
  done
  same "$(op 1/inbox r+nonblock drain)" "drain 8 EAGAIN"
  printf wanted > 2/peers/1
  same "$(op 1/inbox r+nonblock read read)" $'read 6 wanted\nread EAGAIN'
}

@test "two writers that wait on one file are killed each by itself" {
  full_pair
  start_op first 2/peers/1 w fill=1000
  blocked first
  start_op second 2/peers/1 w fill=1000
  blocked second
  ends_by KILL second
  ends_by KILL first
  start_op first 2/peers/1 w fill=1000
  blocked first
  start_op second 2/peers/1 w fill=1000
  blocked second
  ends_by KILL first
  ends_by KILL second
  same "$(op 1/inbox r+nonblock drain)" "drain 8 EAGAIN"
}

@test "a writer with O_NONBLOCK is not held up by one that waits" {
  full_pair
  start_op writer 2/peers/1 w fill=1000
  blocked writer
  same "$(op 2/peers/1 w+nonblock write=x)" "write EAGAIN"
  same "$(op 2/peers/1 w+trunc+nonblock write=x)" "write EAGAIN"
  chmod 0600 2/peers/1
  same "$(limit ls 2/peers)" 1
  ends_by KILL writer
}

@test "a file that was open before another writer waits can still be used" {
  full_pair
  start_op early 2/peers/1 w+nonblock pause write=x
  shows early pause
  start_op writer 2/peers/1 w fill=1000
  blocked writer
  start_op third 2/peers/1 w+nonblock write=x
  finish third
  same "$output" "write EAGAIN"
  ends_by KILL writer
  next early
  finish early
  same "$output" $'pause\nwrite EAGAIN'
}

@test "writers that wait are served in order when there is room" {
  full_pair
  for i in 1 2 3; do
    start_op "writer$i" 2/peers/1 w "write=message$i"
    blocked "writer$i"
  done
  for i in {1..8}; do op 1/inbox r read=500 > /dev/null; done
  for i in 1 2 3; do
    finish "writer$i"
    same "$output" "write 8"
  done
  same "$(op 1/inbox r read read read)" $'read 8 message1\nread 8 message2\nread 8 message3'
}

@test "several processes that wait on one open file are ended each by itself" {
  pair
  exec {inbox}< 1/inbox
  for i in 1 2 3; do
    start "reader$i" "$build/tests/fileop" "/dev/null" r "use=$inbox" read
    eventually sleeps "${job_pid[reader$i]}"
  done
  exec {inbox}<&-
  ends_by KILL reader2
  ends_by TERM reader3
  printf hello > 2/peers/1
  finish reader1
  same "$output" $'use 0\nread 5 hello'
}

# A second one may wait for the first one's turn at the file instead of in the mount.
sleeps() {
  grep -qE '^State:\s[SD]' "/proc/$1/status" && grep -qE '^(0|63|17) ' "/proc/$1/syscall"
}

@test "a process that waits through a descriptor it inherited can be killed, and its parent goes on" {
  pair
  start parent bash -c '
    exec {inbox}< 1/inbox
    (read -r line <&"$inbox") & child=$!
    echo "$child"
    wait "$child" || echo "child $?"
    read -r line <&"$inbox"; echo "$line"'
  eventually test -s parent.out
  child=$(head -n1 parent.out)
  "$build/tests/await" blocked "$child"
  kill -KILL "$child"
  shows parent "child 137"
  echo hello > 2/peers/1
  finish parent
  like "$output" "hello$"
}

# A stop interrupts the system call, which FUSE cannot restart: it is EINTR, as with epoll_wait(2).
@test "a reader that is stopped and goes on (Ctrl-Z, fg) loses nothing" {
  pair
  start reader cat 1/inbox
  blocked reader
  kill -STOP "${job_pid[reader]}"
  echo one > 2/peers/1
  kill -CONT "${job_pid[reader]}"
  shows reader one
  echo two > 2/peers/1
  shows reader two
  ends_by TERM reader
  same "$output" $'one\ntwo'
}

@test "messages arrive once each while readers are killed" {
  pair
  start writer bash -c 'for ((i = 0; i < 300; i++)); do echo "$i" > 2/peers/1 || exit; done'
  # cat writes out at once what it has read; what a killed one has read and not written is at most
  # one read, which here is one message.
  local kills=0
  while kill -0 "${job_pid[writer]}" 2> /dev/null; do
    rm -f reader.out # that of the one before: its successor is killed when it has one
    start reader cat 1/inbox
    eventually test -s reader.out
    ends_by KILL reader
    cat reader.out >> got
    kills=$((kills + 1))
  done
  finish writer
  same "$status" 0
  limit timeout 1 cat 1/inbox >> got || :
  same "$(sort -nu got)" "$(cat got)"
  echo "$kills kills, $(wc -l < got) messages"
  ((300 - $(wc -l < got) <= kills))
}

@test "a lazy unmount leaves its readers to be ended, and sivcfs ends after them" {
  pair
  start_op reader 1/inbox r read
  blocked reader
  umount --lazy 1
  printf hello > 2/peers/1
  finish reader
  same "$output" "read 5 hello"
  ended_well 1
  start_domain 1
  start_op reader 1/inbox r read
  blocked reader
  umount --lazy 1
  ends_by KILL reader
  ended_well 1
}

@test "a forced unmount ends readers and writers, and sivcfs ends" {
  full_pair
  start_op reader 2/inbox r read
  start_op writer 2/peers/1 w fill=1000
  blocked reader writer
  limit umount --force --lazy 2
  finish reader
  like "$output" "^read E(CONNABORTED|NOTCONN|INTR|IO)$"
  finish writer
  like "$output" "^fill E(CONNABORTED|NOTCONN|INTR|IO)$"
  ended_well 2
}

@test "FUSE's abort ends readers and writers, and the peers learn that sivcfs has gone" {
  full_pair
  start_op peer 1/peers/2 w write=one pause write=two
  same "$(op 2/inbox r read)" "read 3 one"
  start_op reader 2/inbox r read
  start_op writer 2/peers/1 w fill=1000
  blocked reader writer
  mkdir fusectl
  mount -t fusectl none fusectl
  device=$(awk -v mount="$PWD/2" '$5 == mount { sub(/.*:/, "", $3); print $3 }' /proc/self/mountinfo)
  echo 1 > "fusectl/$device/abort"
  umount fusectl
  finish reader
  like "$output" "^read E(CONNABORTED|NOTCONN)$"
  finish writer
  like "$output" "^fill E(CONNABORTED|NOTCONN)$"
  "$build/tests/await" exit "${domain_pid[2]}"
  next peer
  finish peer
  same "$output" $'write 3\npause\nwrite EPIPE'
}

@test "kill -9 of sivcfs ends its readers and writers, and its peers' writers" {
  full_pair
  fill_ring 1 2
  start_op reader 1/peers/7 r read
  start_op writer 1/peers/2 w fill=1000
  start_op peer 2/peers/1 w fill=1000
  blocked reader writer peer
  kill_domain 1
  finish reader
  like "$output" "^read E(CONNABORTED|NOTCONN)$"
  finish writer
  like "$output" "^fill E(CONNABORTED|NOTCONN)$"
  finish peer
  same "$output" "fill EPIPE"
}

@test "SIGTERM and SIGINT to sivcfs unmount it in order" {
  for signal in TERM INT; do
    start_domain 1
    kill -$signal "${domain_pid[1]}"
    ended_well 1
    same "$(mounts_here)" ""
  done
}

@test "SIGTERM to sivcfs: nothing more is taken, and who has a file open reads what has come" {
  pair
  local n
  for n in 1 2 3; do
    echo $n > 2/peers/1
  done
  start_op reader 1/inbox r read pause read=1 read read
  shows reader 'read 2 1\x0a'
  kill -TERM "${domain_pid[1]}"
  eventually refused_now
  same "$(op 2/peers/1 w write=more)" "write EACCES"
  next reader
  ended_well 1
  finish reader
  like "$output" $'read 1 2\nread 1 \\\\x0a\nread 2 3\\\\x0a$'
}

refused_now() {
  [[ $(op 1/acl r permitted=2) == "permitted 0" ]]
}

@test "SIGTERM to sivcfs: a stream that came whole is read to its end" {
  pair
  mkdir {1,2}/streams/s
  echo "allow 2" > 1/streams/s/acl
  blob 40000 data
  cat data > 2/streams/s/peers/1
  start_op reader 1/streams/s/inbox r read=30000 pause read=30000 read
  shows_beginning reader 'read 30000 '
  kill -TERM "${domain_pid[1]}"
  eventually refused_now
  next reader
  ended_well 1
  finish reader
  same "$(cut -d ' ' -f 1-2 <<< "$output" | xargs)" "read 30000 pause read 10000 read 0"
}

shows_beginning() {
  eventually grep -q "^$2" "$1.out"
}

@test "SIGTERM to sivcfs: who reads nothing is not waited for long, and a second signal ends it at once" {
  local start took
  for second in '' TERM INT; do
    pair
    echo hello > 2/peers/1
    start_op reader 1/inbox r pause read
    eventually opened 1/inbox reader
    start=${EPOCHREALTIME/./}
    kill -TERM "${domain_pid[1]}"
    eventually refused_now
    [[ -z $second ]] || kill -$second "${domain_pid[1]}"
    ended_well 1
    took=$(((${EPOCHREALTIME/./} - start) / 1000))
    echo "$took ms"
    same "$((took < 3000))" "$([[ -z $second ]]; echo $?)"
    next reader
    finish reader
    like "$output" "^pause.read E(CONNABORTED|NOTCONN)$"
    stop_domain 2
  done
}

@test "what sivcfs(8) says of stopping without any loss is so" {
  pair
  sed -n '/^To stop without any loss/,/^\.Ed/ p' "$repo/doc/sivcfs.8" | grep -v '^[.T]' | sed "s|/sivc|$PWD/1|" > recipe
  same "$(wc -l < recipe)" 3
  local n
  for n in 1 2 3; do
    echo $n > 2/peers/1
  done
  start stopping bash -e recipe
  eventually refused_now
  for n in 1 2 3; do
    same "$(op 1/inbox r read)" "read 2 $n\x0a"
  done
  finish stopping
  same "$status" 0
  ended_well 1
}

# opened FILE NAME: that process has it open.
opened() {
  [[ -n $(find "/proc/${job_pid[$2]}/fd" -lname "$PWD/$1") ]]
}

@test "SIGTERM to sivcfs with readers and writers that wait ends them and it" {
  full_pair
  start_op reader 2/inbox r read
  start_op writer 2/peers/1 w fill=1000
  blocked reader writer
  kill -TERM "${domain_pid[2]}"
  ended_well 2
  finish reader
  like "$output" "^read E"
  finish writer
  like "$output" "^fill E"
}

@test "a reader of a mount whose sivcfs was stopped can be killed when it goes on" {
  pair
  start_op reader 1/inbox r read
  blocked reader
  kill -STOP "${domain_pid[1]}"
  kill -KILL "${job_pid[reader]}"
  kill -CONT "${domain_pid[1]}"
  finish reader
  same "$status" 137
}

@test "a stopped receiver holds nobody up but its own senders" {
  pair ring=4096
  start_domain 3 ring=4096
  permit 3 2
  kill -STOP "${domain_pid[1]}"
  fill_ring 2 1
  start_op writer 2/peers/1 w fill=1000
  "$build/tests/await" blocked "${job_pid[writer]}"
  same "$(op 2/peers/3 w write=x)" "write 1"
  ends_by KILL writer
  kill -CONT "${domain_pid[1]}"
  same "$(op 1/inbox r+nonblock drain)" "drain 8 EAGAIN"
}
