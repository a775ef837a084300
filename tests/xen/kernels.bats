#!/usr/bin/env bats
# After all of it.

load helpers

@test "no domain's kernel has complained" {
  local domain
  for domain in 0 $(in_domain 0 "xl list | sed -n 's/^sivc-u\([0-9]*\) .*/\1/p'"); do
    run in_domain "$domain" "dmesg | grep -E 'BUG|Oops|WARNING|blocked for more than|refusing to freeze'"
    same "$output" ""
  done
}
