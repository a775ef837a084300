#!/usr/bin/env bats
# examples/quickstart.sh, as a new user runs it.

BATS_TEST_TIMEOUT=300
load helpers

# A build takes its time on a busy machine.
patience=120

quickstart() {
  timeout 250 "$repo/examples/quickstart.sh" "$@"
}

# Where it works is decided by TMPDIR: not where a person may have kept one.
home() {
  echo "$TMPDIR/sivc-quickstart-$EUID"
}

@test "--keep leaves both mounted, and says what to try and how to end it" {
  export TMPDIR=$PWD
  run quickstart --keep
  echo "$output"
  same "$status" 0
  same "$(mounts_here | wc -l)" 2
  echo "once more" > "$(home)/2/peers/1"
  same "$(op "$(home)/1/inbox" r+nonblock read)" 'read 10 once more\x0a'
  # What it says ends it.
  bash -c "$(sed -n '/^End it with/{n;p}' <<< "$output")"
  same "$(mounts_here)" ""
  [[ ! -e $(home) ]]
}

@test "as an ordinary user, and again after --keep, it shows what it should and leaves nothing" {
  mkdir tmp
  chown "$ordinary_user" tmp
  export TMPDIR=$PWD/tmp
  cd /
  local as_user=(timeout 250 setpriv "--reuid=$ordinary_user"
    "--regid=$(id -g "$ordinary_user")" --clear-groups)
  "${as_user[@]}" "$repo/examples/quickstart.sh" --keep
  run "${as_user[@]}" "$repo/examples/quickstart.sh"
  echo "$output"
  same "$status" 0
  like "$output" "Permission denied"
  like "$output" "hello from 2"
  like "$output" "the same"
  like "$output" "thank you"
  like "$output" "Done\.$"
  cd "$BATS_TEST_TMPDIR"
  same "$(mounts_here)" ""
  same "$(ls -A tmp)" ""
}

@test "one who interrupts it finds nothing left" {
  export TMPDIR=$PWD
  start quick "$repo/examples/quickstart.sh"
  eventually grep -q Mounting quick.out
  kill -TERM "${job_pid[quick]}"
  finish quick
  same "$status" 143
  same "$(mounts_here)" ""
  [[ ! -e $(home) ]]
}

@test "when it fails it says so, and takes away what it made" {
  export TMPDIR=$PWD
  mkdir bin
  printf '#!/bin/sh\n[ "$1" = --version ] && echo 1.11 || { echo this is broken; exit 1; }\n' > bin/ninja
  chmod +x bin/ninja
  PATH=$PWD/bin:$PATH run quickstart
  ((status > 0 && status < 124))
  like "$output" "this is broken"
  [[ ! -e $(home) ]]
  run quickstart --nonsense
  same "$status" 2
  like "$output" "usage"
}
