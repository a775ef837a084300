#!/usr/bin/env bats
# Why a guest may not be saved: Linux freezes all processes first, the daemon of a file system too,
# and cannot freeze one that waits for that daemon's answer (fs/fuse/dev.c, request_wait_answer).
# It gives up after 20 s, and the guest goes on.  Seen with Linux 6.1; of sivcfs it needs nothing.

load helpers

@test "a read(2) that waits keeps a guest from being saved, with sivcfs or without; then it goes on" {
  mount_in 1
  mount_in 2
  permit 2 1
  start reader in_domain 2 'dd if=/sivc/inbox bs=100 count=1 status=none'
  in_domain 3 'mkdir -p /floor
    floorfs relay /floor >/dev/null 2>&1 &
    await mount $! /floor
    dd if=/floor/b of=/dev/null bs=100 count=1 status=none &'
  blocked 2 dd
  blocked 3 dd
  run in_domain 0 'xl save sivc-u2 /tmp/u2 & one=$!; xl save sivc-u3 /tmp/u3 & two=$!
    wait $one; one=$?; wait $two; echo "$one $?"'
  echo "$output"
  like "$output" "[1-9] [1-9]$"
  local domain
  for domain in 2 3; do
    like "$(in_domain "$domain" 'dmesg; dmesg -C')" "1 tasks refusing to freeze"
  done
  in_domain 1 "echo 'still here' > /sivc/peers/$(id 2)"
  finish reader
  same "$output" "still here"
  in_domain 3 'umount -l /floor; pkill -x floorfs'
}
