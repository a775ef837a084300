#!/usr/bin/env bats
# After all of it.

load helpers

@test "no domain's kernel has complained" {
  local domain
  for domain in 0 1 2 3; do
    run in_domain "$domain" "dmesg | grep -E 'BUG|Oops|WARNING|blocked for more than|refusing to freeze'"
    same "$output" ""
  done
}

@test "no domain is left that was destroyed and that somebody holds" {
  same "$(in_domain 0 'xl list | tail -n +2 | wc -l')" 4
}
