#!/usr/bin/env bats
# Either side ends and comes back, in any order, in order or by kill -9.

load helpers

# both_ways HOW COMMAND...: once with stop_domain and once with kill_domain, with the function name
# in $end.
ends=(stop_domain kill_domain)

@test "a receiver comes back: nobody is permitted, nothing is queued, and then messages flow" {
  for end in "${ends[@]}"; do
    pair
    printf old > 2/peers/1
    $end 1
    start_domain 1
    # It has published nothing for us; that it ended is the last that we heard of it.
    like "$(op 2/peers/1 w write=x)" "^write E(ACCES|PIPE)$"
    permit 1 2
    same "$(op 2/peers/1 w write=new)" "write 3"
    same "$(op 1/inbox r+nonblock read read)" $'read 3 new\nread EAGAIN'
    stop_domain 1
    stop_domain 2
  done
}

@test "a sender comes back: what it sent is there, and it sends on without the receiver's help" {
  for end in "${ends[@]}"; do
    pair
    printf before > 2/peers/1
    $end 2
    start_domain 2
    same "$(op 2/peers/1 w write=after)" "write 5"
    same "$(op 1/inbox r+nonblock read read read)" $'read 6 before\nread 5 after\nread EAGAIN'
    stop_domain 1
    stop_domain 2
  done
}

@test "a writer that waits gets EPIPE when the receiver ends" {
  for end in "${ends[@]}"; do
    pair ring=4096
    fill_ring 2 1
    start_op writer 2/peers/1 w fill=1000
    blocked writer
    $end 1
    finish writer
    same "$output" "fill EPIPE"
    stop_domain 2
  done
}

@test "a writer in the middle of a message larger than the ring gets EPIPE when the receiver ends" {
  for end in "${ends[@]}"; do
    pair ring=4096
    start_op writer 2/peers/1 w fill=100000
    blocked writer
    $end 1
    finish writer
    same "$output" "fill EPIPE"
    stop_domain 2
  done
}

@test "a handle that got EPIPE works again when the receiver is back and permits" {
  for end in "${ends[@]}"; do
    pair
    start_op writer 2/peers/1 w write=one pause write=two pause write=three pause write=four
    shows writer pause
    $end 1
    next writer
    shows writer "write EPIPE"
    start_domain 1
    next writer
    shows writer pause 3
    permit 1 2
    next writer
    finish writer
    like "$output" $'^write 3\npause\nwrite EPIPE\npause\nwrite E(ACCES|PIPE)\npause\nwrite 4$'
    same "$(op 1/inbox r+nonblock read)" "read 4 four"
    stop_domain 1
    stop_domain 2
  done
}

@test "a receiver that comes back with its rules in acl=FILE needs nobody's help" {
  echo "allow 2" > rules
  for end in "${ends[@]}"; do
    start_domain 1 "acl=$PWD/rules"
    start_domain 2
    same "$(op 2/peers/1 w write=one)" "write 3"
    $end 1
    start_domain 1 "acl=$PWD/rules"
    eventually sends_again
    stop_domain 1
    stop_domain 2
  done
}

sends_again() {
  [[ $(op 2/peers/1 w write=two) == "write 3" ]]
}

@test "a message of which the sender sent a part and was killed is never delivered" {
  pair ring=4096
  start_domain 3
  permit 1 3
  start_op writer 2/peers/1 w fill=100000
  blocked writer
  kill_domain 2
  finish writer
  start_op reader 1/inbox r read read
  blocked reader
  printf other > 3/peers/1
  shows reader "read 5 other"
  start_domain 2
  printf again > 2/peers/1
  finish reader
  same "$output" $'read 5 other\nread 5 again'
}

@test "a message of which the writer sent a part and was killed is never delivered" {
  pair ring=4096
  start_op writer 2/peers/1 w fill=100000
  blocked writer
  ends_by KILL writer
  start_op reader 1/inbox r read
  start_op after 2/peers/1 w write=after
  finish reader
  same "$output" "read 5 after"
  finish after
}

@test "both sides end and come back in every order" {
  for first in 1 2; do
    for end in "${ends[@]}"; do
      for back in 1 2; do
        pair
        printf x > 2/peers/1
        printf x > 1/peers/2
        $end $first
        $end $((3 - first))
        start_domain $back
        start_domain $((3 - back))
        permit 1 2
        permit 2 1
        same "$(op 2/peers/1 w write=to1)" "write 3"
        same "$(op 1/peers/2 w write=to2)" "write 3"
        same "$(op 1/inbox r+nonblock read read)" $'read 3 to1\nread EAGAIN'
        same "$(op 2/inbox r+nonblock read read)" $'read 3 to2\nread EAGAIN'
        stop_domain 1
        stop_domain 2
      done
    done
  done
}

@test "a reader that waits gets what a sender sends who comes, goes and comes again" {
  start_domain 1
  permit 1 2
  for end in "${ends[@]}" "${ends[@]}"; do
    start_op reader 1/inbox r read
    blocked reader
    start_domain 2
    printf hello > 2/peers/1
    finish reader
    same "$output" "read 5 hello"
    $end 2
  done
}

@test "the other domains notice nothing of a restart" {
  start_domain 1
  start_domain 2
  start_domain 3
  permit 1 2 3
  start sender bash -c 'for ((i = 0; i < 2000; i++)); do echo "$i" > 3/peers/1 || exit; done'
  start reader bash -c '
    for ((i = 0; i < 2000; i++)); do read -r line && [[ $line == "$i" ]] || exit; done < 1/peers/3'
  while kill -0 "${job_pid[sender]}" 2> /dev/null; do
    kill_domain 2
    start_domain 2
    printf x > 2/peers/1
    stop_domain 2
    start_domain 2
  done
  finish sender
  same "$status:$output" "0:"
  finish reader
  same "$status:$output" "0:"
}

@test "what a killed process left in the directory is gone when its domain comes back and ends" {
  start_domain 1
  start_domain 2
  permit 1 2
  mkdir 1/endpoints/clipboard
  echo "allow 2" > 1/endpoints/clipboard/acl
  printf x > 2/peers/1
  kill_domain 1
  kill_domain 2
  start_domain 1
  start_domain 2
  mkdir 1/endpoints/clipboard
  stop_domain 1
  stop_domain 2
  same "$(find hv -mindepth 1 ! -type d)" ""
}
