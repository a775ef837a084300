#!/usr/bin/env bats
# Many domains at once.  LOAD_SECONDS and LOAD_SENDERS make it longer and larger (600 and 200, say,
# which takes fs.inotify.max_user_instances=512).

BATS_TEST_TIMEOUT=900
load helpers

@test "fifty domains send to ten for a minute, killed and refused at random: no loss, no growth, fair shares" {
  mkdir run
  timeout 800 "$build/tests/load" "$PWD/run" "${LOAD_SECONDS:-60}" "${LOAD_SENDERS:-50}" 10 \
    "${SIVC_SEED:-$RANDOM}"
}
