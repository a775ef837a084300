#!/usr/bin/env bats
# What the hypervisor refuses to a program that ignores the page's "no" (hostile.c).
#
# Guest 1 is the victim.  It has permitted and then refused guest 2, which therefore has a page that
# says so.  It does not know guest 3, which is of another type, and permits it further down.  The
# guests that attack run no sivcfs: what an honest one holds is no matter here.

load helpers

setup_file() {
  mount_in 1
  permit 1 2
  in_domain 1 "echo deny $(id 2) >> /sivc/acl"
}

teardown_file() {
  unmount_in 1
}

# attack GUEST COMMAND [ARGUMENT...]: guest 1 is its victim; it says itself whether it was refused.
attack() {
  local guest=$1 command=$2
  shift 2
  in_domain "$guest" "hostile $command $(id 1) $*"
}

@test "a refused domain can map nothing of the receiver but its own page, and that for reading" {
  attack 2 grants
}

@test "a domain that the receiver does not know can map nothing of it" {
  attack 3 grants
}

@test "a refused domain can bind to no event channel of the receiver" {
  attack 2 ports
}

@test "a domain that was told another's grant and event channel can use neither" {
  permit 1 3
  local node port
  read -ra node <<<"$(in_domain 1 "xenstore-read data/sivc/v1/default/$(id 3)")"
  port=$(in_domain 3 "hostile port $(id 1)")
  attack 2 foreign "${node[1]}" "$port"
}

@test "a domain can neither read another's node, nor list the nodes, nor change its own" {
  attack 2 node "$(id 3)"
}

@test "a domain cannot write to its page of the table" {
  in_domain 1 "echo deny $(id 3) >> /sivc/acl" # which has a page from here on
  attack 2 write
  attack 3 write
}

@test "a domain cannot write to its page of the table after mprotect, which succeeds" {
  attack 2 mprotect
  attack 3 mprotect
}

@test "a domain cannot map its page of the table for writing" {
  attack 2 writable
  attack 3 writable
}

# revoked ATTACK: guest 3, permitted, takes all that it is given; then it is refused and does its
# worst for two seconds; the receiver has not run.
revoked() {
  permit 1 3
  mkfifo "$BATS_TEST_TMPDIR/go"
  start_input=$BATS_TEST_TMPDIR/go start attack attack 3 "$1" 2
  exec {go}>"$BATS_TEST_TMPDIR/go"
  shows attack "# mapped"
  in_domain 1 "echo deny $(id 3) > /sivc/acl"
  work 1 # tells of it, and lets what is under way come to its end
  local before after
  before=$(work 1)
  echo >&"$go"
  finish attack
  after=$(work 1)
  exec {go}>&-
  echo "$output"
  like "$output" "^# mapped.ok"
  same "$after" "$before"
}

@test "writing to a ring after it was revoked has no effect, and the next ring is another" {
  revoked scribble
  same "$(in_domain 1 'dd if=/sivc/inbox iflag=nonblock bs=1000 2>&1 | head -n1')" \
    "dd: error reading '/sivc/inbox': Resource temporarily unavailable"
  same "$(counter 1 sivc_breaches_total)" 0
  mount_in 3
  permit 1 3
  in_domain 3 "printf honest > /sivc/peers/$(id 1)"
  same "$(in_domain 1 'dd if=/sivc/inbox iflag=nonblock bs=1000 status=none')" honest
}

@test "signalling a channel after it was revoked does not reach the receiver" {
  revoked signal
}
