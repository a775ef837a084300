#!/usr/bin/env bats
# Streams between domains: their ends, what cuts them, and what they cost.  And what they take, by
# `dd bs=128k` on both sides, beside TCP over netfront.
#
# Each domain is mounted once for all tests.  One that ends in a test joins again.

load helpers
load measure

streams=/sivc/streams
from=$streams/backup/inbox
table=$results/streams.tsv

setup_file() {
  join 0 1
  join 1 0 2 3
  join 2 1
  join 3 1
  in_domain 2 'head -c 300000 /dev/urandom | tee /tmp/data' >"$BATS_FILE_TMPDIR/data"
  printf '%s\t' transport measure bytes writes >"$table"
  echo value >>"$table"
}

teardown_file() {
  local domain
  for domain in 0 1 2 3; do unmount_in "$domain"; done
}

# join N M...: N is mounted, and its endpoint permits each M.  `options` are its mount's: without them the
# ring is smaller than what is sent.
join() {
  local domain=$1 other rules=''
  shift
  for other; do rules+="allow $(id "$other")"$'\n'; done
  in_domain "$domain" "mkdir -p /sivc && sivcfs xen /sivc -o '${options:-ring=64K}' && cd $streams &&
    mkdir backup && cat >backup/acl" <<<"$rules"
}

# to N: where another domain writes for it.
to() {
  echo "$streams/backup/peers/$(id "$1")"
}

# gets N TEXT: its next stream is that, and whole.
gets() {
  same "$(in_domain "$1" "cat $from")" "$2"
}

# --- Whole ----------------------------------------------------------------------------------------

# Of the tree here; that of its copy is the same.
digest='tar c --sort=name . | sha256sum'

# tar_between N M: a tree of domain N arrives in M, whose clock may be behind.
tar_between() {
  start reader in_domain "$2" "cd \$(mktemp -d) && tar x --warning=no-timestamp <$from && $digest; rm -rf \$PWD"
  in_domain "$1" "cd \$(mktemp -d) && mkdir -p deep/er && : >empty && head -c 500000 /dev/urandom >large
    for ((i = 0; i < 50; i++)); do seq \$i >deep/er/\$i; done
    tar c . >$(to "$2") && $digest; rm -rf \$PWD" >"$BATS_TEST_TMPDIR/sum"
  finish reader
  same "$output" "$(<"$BATS_TEST_TMPDIR/sum")"
}

@test "tar of one guest into tar of another ends when the sender's tar ends" {
  tar_between 2 1
}

@test "so it does between guests of different types" {
  tar_between 3 1
}

@test "so it does from dom0 to a guest, and from a guest to dom0" {
  tar_between 0 1
  tar_between 1 0
}

@test "fsync returns when the reader has read to the end" {
  start writer in_domain 2 "fileop $(to 1) w write=bytes fsync"
  shows writer 'write 5'
  blocked 2 fileop
  gets 1 bytes
  finish writer
  same "$output" $'write 5\nfsync 0'
}

# --- Cuts -----------------------------------------------------------------------------------------

# held: guest 2 sends its data, has filled the ring, and waits.
held() {
  start writer in_domain 2 "exec dd if=/tmp/data of=$(to 1) bs=300000"
  blocked 2 dd
}

# gets_a_part: the reader in guest 1 gets all that had room in the ring, and fails.
gets_a_part() {
  local got=$BATS_TEST_TMPDIR/got size
  status=0
  in_domain 1 "cat $from" >"$got" 2>"$got.errors" || status=$?
  same "$status" 1
  like "$(<"$got.errors")" "Connection reset by peer"
  size=$(stat -c %s "$got")
  echo "$size bytes"
  ((size > 60000 && size < 65536))
  cmp -n "$size" "$BATS_FILE_TMPDIR/data" "$got"
}

@test "the writer is killed in the middle: its reader gets what arrived, and ECONNRESET" {
  held
  in_domain 2 'pkill -9 -x dd'
  gets_a_part
  in_domain 2 "echo next >$(to 1)"
  gets 1 next
}

@test "the reader leaves in the middle: the writer gets EPIPE, and the next stream is whole" {
  held
  in_domain 1 "head -c 4 $from >/tmp/got"
  finish writer
  same "$status" 1
  like "$output" "Broken pipe"
  in_domain 2 "echo next >$(to 1)"
  gets 1 next
}

# --- What it costs the receiver -------------------------------------------------------------------

# refusals: how often guest 2 fails with EACCES if it opens for writing in a row.
refusals() {
  in_domain 2 "for ((i = 0; i < 300; i++)); do : >$(to 1); done 2>&1 | grep -c 'Permission denied'"
}

@test "a refused opener in a loop costs the receiver nothing" {
  in_domain 1 "echo deny $(id 2) >>$streams/backup/acl"
  same "$(refusals)" 300
  local before
  before=$(work 1)
  same "$(refusals)" 300
  same "$(work 1)" "$before"
  in_domain 1 "echo allow $(id 2) >>$streams/backup/acl"
}

@test "a permitted writer at a ring that is full and that nobody reads costs the receiver nothing" {
  local before
  start reader in_domain 1 "cat $from" # so that it was woken once
  blocked 1 cat
  in_domain 2 "echo hello >$(to 1)"
  finish reader
  same "$output" hello
  mkfifo "$BATS_TEST_TMPDIR/go"
  start_input=$BATS_TEST_TMPDIR/go start writer in_domain 2 \
    "fileop $(to 1) w+nonblock fill=100000 pause fill=1000*3000 nonblock=0 fill=1000"
  exec {go}>"$BATS_TEST_TMPDIR/go"
  shows writer pause
  before=$(work 1)
  echo >&"$go"
  shows writer nonblock
  blocked 2 fileop
  same "$(work 1)" "$before"
  in_domain 1 "wc -c <$from" >"$BATS_TEST_TMPDIR/got"
  finish writer
  exec {go}>&-
  echo "$output"
  like "$output" $'^fill 6[0-9]{4}\npause\n3000 times fill EAGAIN\nnonblock 0\nfill 1000$'
  same "$(<"$BATS_TEST_TMPDIR/got")" "$(awk '/^fill/ { n += $2 } END { print n }' <<<"$output")"
}

# --- The writer's side ends -----------------------------------------------------------------------

@test "the writer's sivcfs is killed: its reader gets what arrived, and ECONNRESET" {
  held
  in_domain 2 'pkill -9 -x sivcfs'
  gets_a_part
  finish writer
  join 2 1
  in_domain 2 "echo next >$(to 1)"
  gets 1 next
}

# again: guest 2 has another id, and guest 1 permits that.
again() {
  in_domain 1 "echo allow $(id 2) >>$streams/backup/acl"
  in_domain 2 "echo next >$(to 1)"
  gets 1 next
}

@test "a guest is saved and restored with streams open: they are cut, and the next ones are whole" {
  local waits=epoll=$((patience * 1000))
  in_domain 2 "mkfifo /tmp/go
    fileop $(to 1) w write=half pause write=x <>/tmp/go >/tmp/sent 2>&1 &
    fileop $from r+nonblock $waits read=100 $waits read=100 >/tmp/got 2>&1 &"
  mkfifo "$BATS_TEST_TMPDIR/go"
  start_input=$BATS_TEST_TMPDIR/go start writer in_domain 1 "fileop $(to 2) w write=back pause write=x"
  exec {go}>"$BATS_TEST_TMPDIR/go"
  start reader in_domain 1 "exec cat $from"
  shows reader half
  eventually in_domain 2 "grep -q 'read 4 back' /tmp/got"
  save_and_restore 2
  finish reader
  same "$status" 1
  like "$output" "^halfcat: .*Connection reset by peer"
  eventually in_domain 2 "grep -q 'read ECONNRESET' /tmp/got"
  in_domain 2 'echo >/tmp/go'
  eventually in_domain 2 "grep -q 'write EPIPE' /tmp/sent"
  echo >&"$go"
  finish writer
  exec {go}>&-
  same "$output" $'write 4\npause\nwrite EPIPE'
  again
  in_domain 1 "echo next >$(to 2)"
  gets 2 next
  only_known_warnings 2
}

@test "the writer's guest is destroyed: its reader gets what arrived, and ECONNRESET, and so does one that waits" {
  local other=$streams/other
  in_domain 1 "mkdir $other; echo allow $(id 2) >$other/acl"
  start waiting in_domain 1 "exec cat $other/inbox"
  start half in_domain 2 "mkdir $other; { printf half; exec sleep 1000; } >$other/peers/$(id 1)"
  shows waiting half
  held
  in_domain 0 'xl destroy sivc-u2'
  finish waiting
  same "$status" 1
  like "$output" "^halfcat: .*Connection reset by peer"
  gets_a_part
  in_domain 1 "rmdir $other"
  in_domain 0 "domain_create 2 $(domain_type 2 "$lab_types") && domain_wait 2"
  forget_id 2
  join 2 1
  again
}

# --- What it takes --------------------------------------------------------------------------------

# Each side works twice, and the second time is counted: an emulated processor translates what it has
# never run before.  These run in the guests.
writes=$((${TRANSFER_MESSAGES:-20000} / 20))

counts() { # context switches, interrupts of event channels
  awk '/^ctxt/ { switches = $2 } /xen-dyn/ { n += $2 } END { print switches, n }' /proc/stat /proc/interrupts
}

twice() { # COMMAND: with a number of writes; start, end, counts before, and after
  local start before
  "$1" $((writes / 4))
  before=$(counts) start=$EPOCHREALTIME
  "$1" "$writes"
  echo "$start $EPOCHREALTIME $before $(counts)" >&2
}

tcp_send() {
  dd if=/dev/zero bs=128k count="$1" status=none >&3
  read -ru 3
}

tcp_receive() {
  dd of=/dev/null bs=128k count="$1" iflag=fullblock status=none
  echo
}

tcp_receive_twice() {
  twice tcp_receive
}

stream_send() {
  dd if=/dev/zero of="$to" bs=128k count="$1" conv=fsync status=none
}

stream_receive() {
  dd if="$from" of=/dev/null bs=128k status=none
}

floor_send() {
  dd if=/dev/zero of=/floor/null bs=128k count="$1" conv=fsync status=none
}

floor_receive() {
  dd if=/floor/null of=/dev/null bs=128k count="$1" status=none
}

# code COMMAND...: for a guest.
code() {
  declare -f counts twice "$@"
  echo "export -f counts twice $*; export writes=$writes from=$from to=$(to 1)"
}

tcp() {
  start receiver in_domain 1 "$(code tcp_receive tcp_receive_twice)
    exec socat -d -d TCP-LISTEN:9001,reuseaddr EXEC:'bash -c tcp_receive_twice',nofork"
  shows receiver listening
  in_domain 2 "$(code tcp_send); exec 3<>/dev/tcp/10.9.0.1/9001; twice tcp_send"
}

stream() {
  start receiver in_domain 1 "$(code stream_receive); twice stream_receive"
  blocked 1 dd
  in_domain 2 "$(code stream_send); twice stream_send"
}

# The least that files of FUSE take: in both guests at once, one that throws writes away and makes up reads.
floor() {
  local floor='mkdir -p /floor && floorfs null /floor >/dev/null 2>&1' end='umount /floor'
  start receiver in_domain 1 "$(code floor_receive); $floor; twice floor_receive; $end"
  in_domain 2 "$(code floor_send); $floor; twice floor_send; $end"
}

# carry NAME: adds to the table: microseconds a write, and what a MiB makes in both guests.
carry() {
  "${1%%-*}" 2>"$BATS_TEST_TMPDIR/sender"
  finish receiver
  echo "$output"
  same "$status" 0
  awk -v OFS='\t' -v name="$1" -v writes="$writes" '
    NR == 1 { us = ($2 - $1) * 1e6 }
    { switches += $5 - $3; interrupts += $6 - $4 }
    function line(measure, value) { print name, measure, 131072, writes, value }
    END { line("us", us / writes); line("switches", switches * 8 / writes); line("interrupts", interrupts * 8 / writes) }
    ' "$BATS_TEST_TMPDIR/sender" - <<<"${output##*$'\n'}" >>"$table"
}

# beside NAME: it is faster than TCP, with fewer interrupts, and takes little more than the floor.  Where one
# side waits for the other, how long depends on what else the machine does: one round says nothing.
beside() {
  local round
  for ((round = 0; round < rounds; round++)); do
    carry tcp
    carry floor
    carry "$1"
  done
  cat "$table"
  beats 1 "$1" tcp interrupts 131072
  ((rounds > 1)) || return 0
  beats 1.3 "$1" tcp us 131072
  beats 0.67 "$1" floor us 131072
}

@test "dd into a stream is faster than dd into TCP, and not much slower than into a file system that does nothing" {
  unmount_in 1
  options=rw join 1 2
  beside stream
}

@test "so it is through a ring of 2 MiB" {
  unmount_in 1
  options=ring=2M join 1 2
  beside stream-2M
}
