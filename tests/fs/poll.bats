#!/usr/bin/env bats
# poll, O_NONBLOCK and FIONREAD.  That select, epoll and selectors work is in tools.bats.

load helpers

@test "the inbox is ready when a message is there, and not when it was read" {
  pair
  same "$(op 1/inbox r poll=in)" "poll -"
  printf hello > 2/peers/1
  same "$(op 1/inbox r poll=in read poll=in)" $'poll in\nread 5 hello\npoll -'
}

@test "a handle that holds the rest of a message is ready" {
  pair
  printf hello > 2/peers/1
  same "$(op 1/inbox r read=2 poll=in read poll=in)" $'read 2 he\npoll in\nread 3 llo\npoll -'
}

@test "peers/N is ready for reading when a message of domain N is there" {
  start_domain 1
  start_domain 2
  start_domain 3
  permit 1 2 3
  printf hello > 3/peers/1
  same "$(op 1/peers/2 r poll=in)" "poll -"
  same "$(op 1/peers/3 r poll=in)" "poll in"
}

@test "a message wakes every poller" {
  pair
  for i in 1 2 3; do
    start_op "poller$i" 1/inbox r "poll=in:$((patience * 1000))"
    blocked "poller$i"
  done
  printf hello > 2/peers/1
  for i in 1 2 3; do
    finish "poller$i"
    same "$output" "poll in"
  done
}

@test "a poller is woken again and again" {
  pair
  start_op poller 1/inbox r+nonblock poll=in:20000 read poll=in:20000 read poll=in:20000 read
  for i in 1 2 3; do
    blocked poller
    printf %s "$i" > 2/peers/1
    shows poller "read 1 $i"
  done
  finish poller
}

@test "a poller and a reader of the same file get along" {
  pair
  start_op poller 1/inbox r+nonblock "poll=in:$((patience * 1000))"
  blocked poller
  start_op reader 1/inbox r read
  blocked reader
  printf one > 2/peers/1
  finish reader
  same "$output" "read 3 one"
  printf two > 2/peers/1
  finish poller
  same "$output" "poll in"
  same "$(op 1/inbox r+nonblock read)" "read 3 two"
}

# poller_after FIRST: beside a writer of so many bytes.
poller_after() {
  local first=$1 name
  pair ring=4096
  op 2/peers/1 w "fill=100*20"
  start_op writer 2/peers/1 w fill="$first"
  blocked writer
  op 1/inbox r read read read read read # there is room now for the one, and not for the other
  start_op poller 2/peers/1 w "poll=out:$((patience * 1000))"
  blocked poller
  same "$(op 2/peers/1 w poll=out)" "poll -"
  "$build/tests/await" blocked "${domain_pid[2]}" # it does not look for room all the time
  start reader cat 1/inbox
  for name in writer poller; do
    finish "$name"
    same "$status" 0
  done
  same "$output" "poll out"
  same "$(grep -c '^sivc_breaches_total.* 0$' 2/stats)" 1
  ends_by KILL reader
}

@test "a poller beside a writer that waits for more room comes after it, and disturbs nothing" {
  poller_after 2500
}

@test "so does one beside a writer in the middle of a message" {
  poller_after 100000
}

@test "peers/N is ready for writing while there is room, and when there is room again" {
  pair ring=4096
  same "$(op 2/peers/1 w+nonblock poll=out write=x poll=out)" $'poll out\nwrite 1\npoll out'
  op 1/inbox r read
  fill_ring 2 1
  start_op poller 2/peers/1 w+nonblock poll=out "poll=out:$((patience * 1000))" write=room
  shows poller "poll -"
  blocked poller
  op 1/inbox r+nonblock drain
  finish poller
  same "$output" $'poll -\npoll out\nwrite 4'
}

@test "a write that would fail is ready, too" {
  start_domain 1
  start_domain 2
  like "$(op 2/peers/1 w poll=out)" "^poll out"
  like "$(op 2/peers/9 w poll=out write=x)" $'^poll out.*\nwrite EACCES$'
}

@test "a poller for writing is woken when the permission is taken back" {
  pair ring=4096
  fill_ring 2 1
  start_op poller 2/peers/1 w+nonblock "poll=out:$((patience * 1000))" write=x
  blocked poller
  echo "deny 2" > 1/acl
  finish poller
  like "$output" "^poll out.*
write EACCES$"
}

@test "a poller for writing is woken when the receiver ends" {
  pair ring=4096
  fill_ring 2 1
  start_op poller 2/peers/1 w+nonblock "poll=out:$((patience * 1000))" write=x
  blocked poller
  kill_domain 1
  finish poller
  like "$output" "^poll out.*
write EPIPE$"
}

@test "the files that never wait are always ready" {
  start_domain 1
  like "$(op 1/self r poll=in)" "^poll in"
  like "$(op 1/acl rw poll=in,out)" "^poll in out"
}

@test "a poller that is killed leaves no harm" {
  pair
  for i in 1 2 3; do
    start_op poller 1/inbox r poll=in:600000
    blocked poller
    ends_by KILL poller
  done
  printf hello > 2/peers/1
  same "$(op 1/inbox r poll=in read)" $'poll in\nread 5 hello'
}

# For regular files the kernel answers FIONREAD itself, from the size.

@test "the size and FIONREAD are 0, whatever waits" {
  pair
  printf hello > 2/peers/1
  same "$(op 1/inbox r size fionread)" $'size 0\nfionread 0'
  same "$(op 1/peers/2 r size fionread read size)" $'size 0\nfionread 0\nread 5 hello\nsize 0'
}
