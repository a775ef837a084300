#!/usr/bin/env bats
# More permitted senders than this domain has grants for.

load helpers

@test "the rule that no grants are left for is ENOSPC, the log names the limit, and the others work" {
  mounted+=(1)
  start sivcfs in_domain 1 'mkdir -p /sivc && exec sivcfs xen /sivc -f'
  eventually in_domain 1 'mountpoint -q /sivc'
  mount_in 2
  permit 1 2
  # 1024 pages; the first four permitted senders take 130 each, the others 18.  No domain has these ids.
  run in_domain 1 "printf 'allow %d\n' {1001..1100} >> /sivc/acl"
  echo "$output"
  like "$output" "No space left on device"
  shows sivcfs "limit is 1024 pages"
  cat "$BATS_TEST_TMPDIR/sivcfs.out"
  in_domain 2 "echo hello > /sivc/peers/$(id 1)"
  same "$(in_domain 1 'dd if=/sivc/inbox iflag=nonblock bs=100 status=none')" hello
  local permitted
  permitted=$(in_domain 1 'xenstore-ls data/sivc/v1/default | wc -l')
  echo "$permitted domains have a page"
  ((permitted > 28 && permitted < 40))
  unmount_in 1
  mounted=(2)
  finish sivcfs
  same "$status" 0
}

@test "when it has ended, all of its grants can be used again" {
  mount_in 1
  in_domain 1 "printf 'allow %d\n' {1001..1030} > /sivc/acl"
}
