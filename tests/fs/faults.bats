#!/usr/bin/env bats
# Everything that can happen to a mount while others wait in it: what they get, that a new one begins
# where the old one was, and that messages between other domains flow all the time.

load helpers

# others_talk, and others_talked: domain 3 sends numbers to domain 1 in between; none is missing.
others_talk() {
  start_domain 1 ring=4096
  start_domain 3
  permit 1 2 3
  start listener cat 1/peers/3
  start talker bash -c '
    for ((i = 0; ; i++)); do
      [[ ! -e enough ]] || break
      echo "$i" > 3/peers/1 || exit 1
    done
    echo "$i"'
  eventually test -s listener.out
}

others_talked() {
  local before
  before=$(wc -l < listener.out)
  eventually more_than "$before"
  touch enough
  finish talker
  same "$status" 0
  eventually printed listener "$((output - 1))" 1
  same "$(cat listener.out)" "$(seq 0 "$((output - 1))")"
  ends_by KILL listener
}

more_than() {
  (($(wc -l < listener.out) > $1))
}

# all_wait: two readers and two writers wait in the mount of domain 2, and a writer of domain 1 for it.
all_wait() {
  start_domain 2 ring=4096
  permit 2 1
  fill_ring 2 1
  fill_ring 1 2
  start_op reader1 2/peers/3 r read
  start_op reader2 2/peers/3 r read
  start_op writer1 2/peers/1 w fill=1000
  start_op writer2 2/peers/1 w fill=1000
  start_op peer 1/peers/2 w fill=1000
  blocked reader1 reader2 writer1 writer2 peer
}

# all_get ERRORS: what those in the mount get; the other domain's writer learns that its peer has gone.
all_get() {
  local i
  for i in 1 2; do
    finish "reader$i"
    like "$output" "^read E($1)$"
    finish "writer$i"
    like "$output" "^fill E($1)$"
  done
  finish peer
  same "$output" "fill EPIPE"
}

# begins_again: domain 2 is mounted anew, in the same place.  What it had sent is still there.
begins_again() {
  same "$(op 1/peers/2 r+nonblock drain)" "drain 8 EAGAIN"
  start_domain 2 ring=4096
  permit 2 1
  same "$(op 2/peers/1 w write=there)" "write 5"
  same "$(op 1/peers/2 r read)" "read 5 there"
  eventually sends_back
  same "$(op 2/inbox r+nonblock read)" "read 4 back"
}

sends_back() {
  [[ $(op 1/peers/2 w write=back) == "write 4" ]]
}

@test "kill -9 of sivcfs: who waits gets ENOTCONN or ECONNABORTED, it is unmounted, and starts again" {
  others_talk
  all_wait
  kill_domain 2
  all_get 'CONNABORTED|NOTCONN'
  begins_again
  others_talked
}

@test "kill -9 of sivcfs and of what unmounts: a dead mount is left, which can be unmounted" {
  others_talk
  all_wait
  local pid=${domain_pid[2]}
  kill -KILL "$(mounter_of 2)"
  kill -KILL "$pid"
  domain_killed[2]=1
  "$build/tests/await" exit "$pid"
  wait "$pid" || :
  unset "domain_pid[2]"
  all_get 'CONNABORTED|NOTCONN'
  run limit "$sivcfs" local 2 -f -o dir=hv,domid=2
  like "$output" "unmount it first"
  limit umount 2
  begins_again
  others_talked
}

@test "umount -l: who waits goes on waiting and can be ended, each alone; then sivcfs ends, and starts again" {
  others_talk
  all_wait
  limit umount --lazy 2
  same "$(find 2 -mindepth 1)" ""
  run limit "$sivcfs" local 2 -f -o dir=hv,domid=2
  like "$output" "already served by process ${domain_pid[2]}"
  for name in reader2 writer2 reader1 writer1; do
    kill -0 "${domain_pid[2]}"
    ends_by KILL $name
  done
  ended_well 2
  finish peer
  same "$output" "fill EPIPE"
  begins_again
  others_talked
}

@test "umount -f: who waits gets an error, and sivcfs ends, unmounts, and starts again" {
  others_talk
  all_wait
  # It cuts the connection, and does not unmount what is busy.
  limit umount --force 2 || :
  all_get 'CONNABORTED|NOTCONN|INTR|IO'
  ended_well 2
  eventually unmounted 2
  begins_again
  others_talked
}

@test "FUSE's abort: who waits gets an error, and sivcfs ends, unmounts, and starts again" {
  others_talk
  all_wait
  mkdir fusectl
  mount -t fusectl none fusectl
  local device
  device=$(awk -v mount="$PWD/2" '$5 == mount { sub(/.*:/, "", $3); print $3 }' /proc/self/mountinfo)
  echo 1 > "fusectl/$device/abort"
  umount fusectl
  all_get 'CONNABORTED|NOTCONN'
  ended_well 2
  same "$(mounts_here | grep '/2$')" ""
  begins_again
  others_talked
}

@test "umount of a mount in whose place another one stands by now leaves that one alone" {
  start_domain 1
  start_op reader 1/inbox r read
  blocked reader
  limit umount --lazy 1
  serve 9 1 dir=hv,domid=9
  ends_by KILL reader
  ended_well 1
  like "$(limit cat 1/self)" "domid 9"
}

@test "SIGSTOP of a sender in the middle of a message: others' messages pass it, and it arrives whole" {
  others_talk
  start_domain 2
  start_op writer 2/peers/1 w fill=100000
  blocked writer
  kill -STOP "${domain_pid[2]}"
  start_op reader 1/peers/2 r read
  "$build/tests/await" blocked "${job_pid[reader]}"
  others_talked
  kill -CONT "${domain_pid[2]}"
  finish writer
  same "$output" "fill 100000"
  finish reader
  like "$output" '^read 100000 '
}

@test "SIGSTOP of a receiver: its senders wait and can be ended, others' messages flow, and nothing is lost" {
  others_talk
  start_domain 2 ring=4096
  permit 2 1
  kill -STOP "${domain_pid[2]}"
  fill_ring 1 2
  start_op writer1 1/peers/2 w fill=1000
  start_op writer2 1/peers/2 w fill=1000
  "$build/tests/await" blocked "${job_pid[writer1]}" "${job_pid[writer2]}"
  others_talked
  ends_by KILL writer2
  kill -CONT "${domain_pid[2]}"
  # The ninth follows as soon as there is room, perhaps before the first `drain` has ended.
  start drain "$build/tests/fileop" 2/inbox r read{,,,,,,,,}
  finish drain
  same "$(grep -c '^read 500 ' drain.out) $(tail -n1 drain.out | cut -c1-10)" "8 read 1000 "
  finish writer1
  same "$output" "fill 1000"
  # Each came once, and of the one whose writer was ended nothing.
  same "$(op 2/inbox r+nonblock read)" "read EAGAIN"
}

@test "a full disk: a mount and an endpoint more say so, those that are there go on, and with room it works" {
  mount -t tmpfs -o size=1m tmpfs hv
  others_talk
  head -c 2m /dev/zero > hv/fill 2> /dev/null || :
  mkdir more
  run limit "$sivcfs" local more -f -o dir=hv,domid=2
  ((status > 0 && status < 124))
  like "$output" "domain 2 in .*hv: No space left on device; make room"
  same "$(mounts_here | grep 'more$')" ""
  run limit mkdir 1/endpoints/later
  ((status > 0 && status < 124))
  like "$output" "No space left on device"
  grep -F "No space left on device; make room" log/1
  # No room for the page of one more, and then for the page but not for the ring.  Were it not allocated
  # when it is shared, it would be found lacking when somebody writes there.
  for room in 0 4096; do
    truncate -s "-$room" hv/fill
    same "$(op 1/acl w+append $'write=allow 9\n')" "write ENOSPC"
  done
  same "$(df --output=avail hv | tail -n1 | xargs)" 4
  others_talked
  rm hv/fill
  same "$(op 1/acl w+append $'write=allow 9\n')" "write 8"
  start_domain 9
  same "$(op 9/peers/1 w+nonblock until=500)" "until 8 EAGAIN"
  stop_domain 9
  fails grep truncated log/1 log/9
  mkdir 1/endpoints/later
  start_domain 2
  same "$(op 2/peers/1 w write=x)" "write 1"
  for id in 1 2 3; do stop_domain $id; done
  umount hv
}
