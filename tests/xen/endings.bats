#!/usr/bin/env bats
# A domain is destroyed.

load helpers

# The whole of a message of half a megabyte does not fit into the ring.
large=500000

# restart_guest N: starts it again, after it was destroyed.
restart_guest() {
  in_domain 0 "domain_create $1 ${GUEST_TYPE:-pv} && domain_wait $1"
  forget_id "$1"
}

# Domains that were destroyed and are still there: somebody holds their memory.
no_zombies() {
  [[ $(in_domain 0 "xl list | grep -cE '\(null\)|--ps-d|---s-d|-----d'") == 0 ]]
}

@test "a writer that waits gets EPIPE within 5 s when the receiver's guest is destroyed" {
  mount_in 1
  mount_in 2
  permit 2 1
  start writer in_domain 1 "head -c $large /dev/zero | dd of=/sivc/peers/$(id 2) bs=$large
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
  eventually no_zombies
  restart_guest 2
}

@test "a sender's guest is destroyed in the middle of a message: it is dropped, others are served" {
  mount_in 1
  mount_in 2
  mount_in 3
  permit 1 2 3
  start writer in_domain 2 "head -c $large /dev/zero | dd of=/sivc/peers/$(id 1) bs=$large"
  blocked 2 dd
  in_domain 0 'xl destroy sivc-u2'
  mounted=(1 3)
  start reader in_domain 1 'timeout 60 dd if=/sivc/inbox bs=1M count=1 status=none'
  blocked 1 dd
  in_domain 3 "echo still here > /sivc/peers/$(id 1)"
  finish reader
  same "$output" "still here"
  unmount_in 1
  unmount_in 3
  mounted=()
  eventually no_zombies
  restart_guest 2
}
