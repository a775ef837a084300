#!/usr/bin/env bats
# sivc-serve and sivc-call.

load ../fs/helpers

serve=$repo/mountscripts/sivc-serve
call=$repo/mountscripts/sivc-call

# service OPTION... -- PROGRAM...: domain 1 serves `lookup`, and 2 (web) and 3 may call.
service() {
  local id
  start_domain 1 name=server
  start_domain 2 name=web
  start_domain 3
  for id in 1 2 3; do
    mkdir "$id/streams/lookup"
    echo "allow 1" > "$id/streams/lookup/acl"
  done
  printf 'allow 2\nallow 3\n' > 1/streams/lookup/acl
  # timeout, so that all of it is ended by its process group.
  local options=()
  while [[ $1 != -- ]]; do
    options+=("$1")
    shift
  done
  start server timeout 100 "$serve" "${options[@]}" 1/streams/lookup "$@"
}

ends_server() {
  kill -TERM "${job_pid[server]}"
  finish server
}

calls() {
  limit "$call" "$1/streams/lookup" 1
}

@test "a program answers a call, and knows who calls" {
  service -- sh -c 'read -r line; echo "$SIVC_DOMID/$SIVC_NAME asked for $line"'
  same "$(echo one | calls 2)" "2/web asked for one"
  same "$(echo two | calls 3)" "3/ asked for two"
  same "$(echo three | limit "$call" 2/streams/lookup server)" "2/web asked for three"
  ends_server
}

@test "a call and its answer may be long, and of any bytes, and nothing" {
  service -- cat
  blob 3000000 data
  calls 2 < data > answer
  cmp data answer
  same "$(calls 2 < /dev/null)" ""
  ends_server
}

# A shell that executes a program closes its copies of the answer meanwhile: sivcfs once waited for it then.
@test "a program that has its own output elsewhere reads the call to its end" {
  service -- sh -c 'cat > whole; wc -c < whole'
  blob 10000 data
  same "$(calls 2 < data)" 10000
  cmp data whole
  ends_server
}

@test "callers at the same time, from one domain and from several, each get their own answers" {
  service -- sh -c 'read -r line; seq -f "$SIVC_DOMID $line %.0f" 500'
  local n id jobs=()
  for n in 1 2 3 4 5 6; do
    for id in 2 3; do
      (echo "$n" | calls "$id" > "answer-$id-$n") &
      jobs+=($!)
    done
  done
  for n in "${jobs[@]}"; do
    wait "$n"
  done
  for n in 1 2 3 4 5 6; do
    for id in 2 3; do
      same "$(md5sum < "answer-$id-$n")" "$(seq -f "$id $n %.0f" 500 | md5sum)"
    done
  done
  ends_server
}

@test "a program that fails, or takes too long, cuts its answer: the caller fails" {
  service --timeout 1 -- sh -c 'read -r line; echo part; case $line in fail) exit 3 ;; hang) sleep 30 ;; esac'
  same "$(echo fine | calls 2)" "part"
  echo fail > request
  fails calls 2 < request > answer
  same "$(cat answer)" "part"
  echo hang > request
  fails calls 2 < request > answer
  same "$(echo fine | calls 2)" "part"
  like "$(cat server.out)" "sivc-serve: sh failed for domain 2 web"
  ends_server
}

@test "nothing runs for a domain that is not permitted, and its call fails at once" {
  service -- sh -c 'echo ran >> ran'
  echo "allow 3" > 1/streams/lookup/acl
  fails calls 2 < /dev/null 2> error
  like "$(cat error)" "Permission denied"
  calls 3 < /dev/null
  same "$(cat ran)" "ran"
  ends_server
}

# A line in `go` lets one program on.  Open both ways: to write waits for nobody.
gate() {
  mkfifo go
  exec {gate}<>go
}

@test "an answer to a call that was given up is not another caller's answer" {
  gate
  service --max 1 -- sh -c 'read -r line; [ "$line" != slow ] || read -r go < go; echo "$line"'
  echo slow > slow
  start_input=slow start slow "$call" 2/streams/lookup 1
  echo fast > fast
  start_input=fast start other "$call" 3/streams/lookup 1
  kill -TERM "${job_pid[slow]}"
  finish slow
  echo >&"$gate"
  finish other
  same "$status $output" "0 fast"
  same "$(calls 2 < fast)" "fast"
  ends_server
}

# The directory is the program's alone: of two at a time one would fail.
@test "no more programs run at a time than --max; the other callers wait" {
  gate
  service --max 1 -- sh -c 'read -r line && mkdir mine && read -r go < go; rmdir mine && echo "$line"'
  local id
  for id in 2 3; do
    echo "$id" > "call-$id"
    start_input=call-$id start "caller-$id" "$call" "$id/streams/lookup" 1
  done
  eventually test -d mine
  # The other call has come, too, and is not read.
  eventually other_waits
  printf '\n\n' >&"$gate"
  for id in 2 3; do
    finish "caller-$id"
    same "$status $output" "0 $id"
  done
  ends_server
}

other_waits() {
  (($(awk '/^sivc_queued_bytes{/ && $2 > 0' 1/streams/lookup/stats | wc -l) >= 1))
}

@test "one that is not a call is left alone, and the next is served" {
  service --max 1 -- cat
  echo nonsense > 2/streams/lookup/peers/1
  same "$(echo hello | calls 2)" "hello"
  ends_server
}
