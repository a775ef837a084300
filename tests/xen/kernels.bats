#!/usr/bin/env bats
# After all that a domain lives through.

load helpers

@test "no domain's kernel has complained" {
  local domain
  for domain in 0 $(in_domain 0 "xl list | sed -n 's/^sivc-u\([0-9]*\) .*/\1/p'"); do
    quiet_kernel "$domain"
  done
}
