#!/usr/bin/env bats
# Nothing that was acknowledged is lost, doubled or changed.

BATS_TEST_TIMEOUT=600
load helpers

messages=$((sanitized ? 200000 : 1000000))

@test "eight senders, a million messages, readers killed: each arrives once, whole and in order" {
  start_domain 100
  for id in {1..8}; do
    start_domain "$id"
    permit 100 "$id"
  done
  seed=${SIVC_SEED:-$RANDOM}
  echo "seed $seed"
  timeout 540 "$build/tests/loss" "$messages" 524288 "$seed" 100 {1..8} | tee loss.out >&2
  # Enough of them were killed to mean something.
  (($(grep -oP '\d+(?= readers killed)' loss.out) >= 10))
}

@test "the same through rings of 4 KiB, where most messages are in fragments" {
  start_domain 100 ring=4096
  for id in {1..4}; do
    start_domain "$id" ring=4096
    permit 100 "$id"
  done
  timeout 110 "$build/tests/loss" $((messages / 50)) 524288 "${SIVC_SEED:-$RANDOM}" 100 {1..4}
}
