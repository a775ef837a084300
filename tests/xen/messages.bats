#!/usr/bin/env bats
# Messages between domains.

load helpers

# exchange A B: B is refused by A, then sends it a file, and gets an answer.
exchange() {
  mount_in "$1"
  mount_in "$2"
  local a b
  a=$(id "$1") b=$(id "$2")
  run in_domain "$2" "echo hello > /sivc/peers/$a"
  same "$status" 1
  like "$output" "Permission denied"
  permit "$1" "$2"
  permit "$2" "$1"
  start reader in_domain "$1" "head -c 300000 /sivc/inbox | sha256sum"
  in_domain "$2" "head -c 300000 /dev/urandom > /tmp/file; sha256sum < /tmp/file
    dd if=/tmp/file of=/sivc/peers/$a bs=300000 status=none" >"$BATS_TEST_TMPDIR/sum"
  finish reader
  same "$output" "$(<"$BATS_TEST_TMPDIR/sum")"
  start reader in_domain "$2" 'timeout 60 head -c 7 /sivc/inbox'
  in_domain "$1" "printf answer! > /sivc/peers/$b"
  finish reader
  like "$output" 'answer!'
}

@test "of two guests the one refuses the other, then permits it, and a file arrives as it was sent" {
  exchange 1 2
}

@test "so does a guest of another type" {
  exchange 3 2
}

@test "so does dom0" {
  exchange 0 1
}
