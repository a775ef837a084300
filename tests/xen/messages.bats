#!/usr/bin/env bats
# Messages between domains.

load helpers

@test "a guest that is not permitted gets Permission denied" {
  mount_in 1
  mount_in 2
  run in_domain 2 "echo hello > /sivc/peers/$(id 1)"
  same "$status" 1
  like "$output" "Permission denied"
}

@test "two guests exchange messages, and a file arrives as it was sent" {
  mount_in 1
  mount_in 2
  permit 1 2
  permit 2 1
  local one two
  one=$(id 1) two=$(id 2)
  start reader in_domain 1 "head -c 300000 /sivc/inbox | sha256sum"
  in_domain 2 'head -c 300000 /dev/urandom > /tmp/file; sha256sum < /tmp/file' >"$BATS_TEST_TMPDIR/sum"
  in_domain 2 "dd if=/tmp/file of=/sivc/peers/$one bs=300000 status=none"
  finish reader
  same "$output" "$(<"$BATS_TEST_TMPDIR/sum")"
  start reader in_domain 2 'timeout 60 head -c 7 /sivc/inbox'
  in_domain 1 "printf answer! > /sivc/peers/$two"
  finish reader
  like "$output" 'answer!'
}

@test "a guest and dom0 exchange messages" {
  mount_in 0
  mount_in 1
  permit 0 1
  permit 1 0
  in_domain 1 'echo "from the guest" > /sivc/peers/0'
  in_domain 0 "echo 'from dom0' > /sivc/peers/$(id 1)"
  same "$(in_domain 0 'dd if=/sivc/inbox bs=100 count=1 status=none')" "from the guest"
  same "$(in_domain 1 'dd if=/sivc/inbox bs=100 count=1 status=none')" "from dom0"
}
