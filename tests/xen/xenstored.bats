#!/usr/bin/env bats
# xenstored stands still, and is killed at last: this part comes after all others, for nothing that
# dom0's tools do works afterwards.

load helpers

setup() {
  [[ ${lab_ports:-} ]] || skip 'this machine runs Xen: its xenstored is not to be stopped'
}

teardown() {
  in_domain 0 'pkill -CONT -x xenstored' || : # one that a test has left stopped
  take_away
}

read_one='timeout 60 dd if=/sivc/inbox bs=1M count=1 status=none'

# talk TEXT: a line from dom0 to guest 1, and one from there to dom0.
talk() {
  local from to
  for from in 0 1; do
    to=$((1 - from))
    start reader in_domain "$to" "$read_one"
    blocked "$to" dd
    in_domain "$from" "echo '$1, from $from' > /sivc/peers/$(id "$to")"
    finish reader
    same "$output" "$1, from $from"
  done
}

both_linked() {
  mount_both 0 1
  talk before
}

# within SECONDS COMMAND...: as run, and it took less.
within() {
  local limit=$1 start=$EPOCHREALTIME
  shift
  run "$@"
  awk -v a="$start" -v b="$EPOCHREALTIME" -v limit="$limit" \
    'BEGIN { print b - a " s"; exit !(b - a < limit) }'
}

# asking_fails N: opening a peer that is not known yet asks xenstored, which has 5 s; the next one is
# not asked any more, and takes less than that.
asking_fails() {
  within 20 in_domain "$1" 'echo x > /sivc/peers/77'
  like "$output" "Input/output error"
  within 5 in_domain "$1" 'echo x > /sivc/peers/78'
  like "$output" "Input/output error"
}

# new_link FROM TO: in an endpoint that was made a moment ago.
new_link() {
  local from=$1 to=$2
  in_domain "$from" "echo 'a new link' > /sivc/endpoints/new/peers/$(id "$to")" || return 1
  same "$(in_domain "$to" 'fileop /sivc/endpoints/new/inbox r+nonblock read=100')" 'read 11 a new link\x0a'
}

@test "when xenstored stands still, what asks it fails and messages go on; when it goes on, all does" {
  both_linked
  in_domain 0 'pkill -STOP -x xenstored'
  asking_fails 0
  asking_fails 1
  talk 'while it stands still'
  in_domain 0 'pkill -CONT -x xenstored'
  local domain
  for domain in 0 1; do
    eventually in_domain "$domain" "mkdir /sivc/endpoints/new"
    in_domain "$domain" "echo allow $(id $((1 - domain))) > /sivc/endpoints/new/acl"
  done
  eventually new_link 0 1
  eventually new_link 1 0
  talk 'since it has gone on'
}

@test "when xenstored is killed, what asks it fails and messages go on; mounts end, and mounting fails" {
  both_linked
  start to_0 in_domain 0 "$read_one"
  start to_1 in_domain 1 "$read_one"
  blocked 0 dd
  blocked 1 dd
  in_domain 0 'pid=$(pgrep -x xenstored)
    kill -KILL $pid
    timeout 20 tail --pid=$pid -s 0.1 -f /dev/null'
  in_domain 0 "echo to 1 > /sivc/peers/$(id 1)"
  in_domain 1 "echo to 0 > /sivc/peers/$(id 0)"
  finish to_1
  same "$output" "to 1"
  finish to_0
  same "$output" "to 0"
  asking_fails 1
  asking_fails 0
  talk afterwards
  within 20 in_domain 1 'pids=$(pgrep -x sivcfs); umount /sivc && exec await exit $pids'
  same "$status" 0
  within 20 in_domain 0 'pids=$(pgrep -x sivcfs); kill -TERM $pids && exec await exit $pids'
  same "$status" 0
  mounted=()
  within 20 in_domain 1 'sivcfs xen /sivc'
  like "$output" "xenstore has not answered"
}

@test "no kernel has complained of that" {
  quiet_kernel 0
  quiet_kernel 1
}
