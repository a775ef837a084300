#!/usr/bin/env bats
# Domains are destroyed, and stay so: this part comes last.

load helpers

# The whole of a message of half a megabyte does not fit into the ring.
large=500000

@test "a writer that waits gets EPIPE within 5 s when the receiver's guest is destroyed" {
  mount_in 1
  mount_in 2 ring=64K
  permit 2 1
  start writer in_domain 1 "dd if=/dev/zero of=/sivc/peers/$(id 2) bs=$large count=1
    date +%s.%N"
  blocked 1 dd
  local destroyed failed
  destroyed=$(in_domain 0 'xl destroy sivc-u2; date +%s.%N')
  mounted=(1)
  finish writer
  echo "$output"
  like "$output" "Broken pipe"
  failed=${output##*$'\n'}
  awk -v a="$destroyed" -v b="$failed" 'BEGIN { print b - a " s later"; exit !(b - a < 5) }'
}

@test "a sender's guest is destroyed in the middle of a message: it is dropped, others are served" {
  mount_in 0
  mount_in 1 ring=64K
  mount_in 3
  permit 1 0 3
  start writer in_domain 3 "dd if=/dev/zero of=/sivc/peers/$(id 1) bs=$large count=1"
  blocked 3 dd
  in_domain 0 'xl destroy sivc-u3'
  mounted=(0 1)
  start reader in_domain 1 'timeout 60 dd if=/sivc/inbox bs=1M count=1 status=none'
  blocked 1 dd
  in_domain 0 "echo still here > /sivc/peers/$(id 1)"
  finish reader
  same "$output" "still here"
}

@test "when the others have ended, nothing is left of the guests that were destroyed" {
  eventually only_guest_1
}

# A domain that was destroyed stays without a name as long as somebody holds its memory.
only_guest_1() {
  local list
  list=$(in_domain 0 'xl list')
  echo "$list"
  [[ $(tail -n +2 <<<"$list" | wc -l) == 2 && $list == *sivc-u1* ]]
}
