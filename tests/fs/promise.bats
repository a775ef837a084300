#!/usr/bin/env bats
# The first promise, counted: whoever may not send, or sends to one who does not read, cannot make
# the receiver's process run.  Not one context switch and not one clock tick of CPU time more.

load helpers

times=$((sanitized ? 20000 : 100000))

# undisturbed COMMAND...: it leaves domain 1 asleep.
undisturbed() {
  # Whatever was under way ends when this is answered, but for what it looks at a little later (names,
  # after rules that concern them).
  cat 1/self > /dev/null
  eventually no_timer
  "$build/tests/await" blocked "${domain_pid[1]}"
  local before after
  before=$(work 1)
  "$@"
  after=$(work 1)
  echo "domain 1: $before; after: $after"
  same "$after" "$before"
}

# Domain 1 has nothing to do at a later time.
no_timer() {
  ! grep -qs '^it_value: (.*[1-9]' /proc/"${domain_pid[1]}"/fdinfo/*
}

floods() {
  local result
  result=$(timeout 200 "$build/tests/fileop" "$1" "$2" "fill=4096*$times")
  same "$result" "$times times fill $3"
}

@test "a refused domain writes 100,000 times 4 KB: the receiver does not run" {
  start_domain 1
  start_domain 2
  undisturbed floods 2/peers/1 w EACCES
}

@test "a domain that was permitted once writes 100,000 times: the receiver does not run" {
  pair
  printf x > 2/peers/1
  echo "deny 2" > 1/acl
  undisturbed floods 2/peers/1 w EACCES
}

@test "a domain refused by name of rule while others are permitted: the receiver does not run" {
  start_domain 1
  start_domain 2
  start_domain 3
  printf 'allow *\ndeny 2\n' > 1/acl
  printf x > 3/peers/1
  undisturbed floods 2/peers/1 w EACCES
}

@test "a refused domain writes while a reader waits here: the receiver does not run" {
  start_domain 1
  start_domain 2
  start_domain 3
  permit 1 3
  printf x > 3/peers/1
  op 1/inbox r read
  start_op reader 1/inbox r read
  blocked reader
  undisturbed floods 2/peers/1 w EACCES
  printf hello > 3/peers/1
  finish reader
  same "$output" "read 5 hello"
}

@test "a permitted domain whose ring is full writes 100,000 times: the receiver does not run" {
  pair
  like "$(op 2/peers/1 w+nonblock until=4096)" "EAGAIN$"
  undisturbed floods 2/peers/1 w+nonblock EAGAIN
}

@test "a permitted domain fills its ring and nobody reads: the receiver does not run" {
  pair
  printf x > 2/peers/1
  undisturbed op 2/peers/1 w+nonblock until=100
}

@test "refused domains come and go, kill -9 included: the receiver does not run" {
  start_domain 1
  start_domain 2
  permit 1 2
  undisturbed restarts
}

restarts() {
  for ((i = 0; i < 5; i++)); do
    start_domain 3
    same "$(op 3/peers/1 w write=x)" "write EACCES"
    kill_domain 3
    start_domain 3
    same "$(op 3/peers/1 w write=x)" "write EACCES"
    stop_domain 3
  done
}

@test "a mount that nobody uses does not run" {
  start_domain 1
  start_domain 2
  permit 1 2
  undisturbed op 2/self r poll=in
}

# --- Streams --------------------------------------------------------------------------------------

stream_pair() {
  start_domain 1
  start_domain 2
  mkdir 1/streams/backup 2/streams/backup
}

opens_again_and_again() {
  for ((i = 0; i < 1000; i++)); do
    : > 2/streams/backup/peers/1 || continue
    return 1
  done 2> /dev/null
}

@test "a refused domain opens a stream 1,000 times: the receiver does not run" {
  stream_pair
  undisturbed opens_again_and_again
  echo "allow 2" > 1/streams/backup/acl
  same "$(op 2/streams/backup/peers/1 w)" ""
  echo "deny 2" > 1/streams/backup/acl
  undisturbed opens_again_and_again
}

@test "a writer of a stream at a full ring, that waits or tries 100,000 times: the receiver does not run" {
  stream_pair
  echo "allow 2" > 1/streams/backup/acl
  undisturbed op 2/streams/backup/peers/1 w+nonblock fill=1000000 "fill=4096*$times"
  start_op waiting 2/streams/backup/peers/1 w write=x
  blocked waiting
  undisturbed floods 2/streams/backup/peers/1 w+nonblock EAGAIN
}
