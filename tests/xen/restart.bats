#!/usr/bin/env bats
# A guest comes back: rebooted, or saved and restored.  Either way it has another domain id.

load helpers

came_back() { # N OLD_ID
  local now
  forget_id "$1"
  now=$(timeout 5 "$BATS_TEST_DIRNAME/on" "$1" 'xenstore-read domid' 2>/dev/null) || return 1
  [[ $now != "$2" ]]
}

@test "a guest that was rebooted has another domain id, and none of the old one's permissions" {
  mount_in 1
  permit 1 2
  local old new
  old=$(id 2)
  in_domain 2 '(sleep 0.5; echo b > /proc/sysrq-trigger) &' # and it is gone without a word
  eventually came_back 2 "$old"
  new=$(id 2)
  mount_in 2
  run in_domain 2 "echo hello > /sivc/peers/$(id 1)"
  like "$output" "Permission denied"
  permit 1 2
  in_domain 2 "echo hello > /sivc/peers/$(id 1)"
  same "$(in_domain 1 "dd if=/sivc/peers/$new iflag=nonblock bs=100 status=none")" hello
}

@test "a guest without sivcfs is saved and restored, and its processes go on" {
  local old
  old=$(id 3)
  in_domain 3 '(echo 0; while sleep 0.1; do echo $((++i)); done) >/tmp/count 2>&1 &'
  in_domain 0 'xl save sivc-u3 /tmp/u3 && xl restore /tmp/u3 && rm /tmp/u3'
  eventually came_back 3 "$old"
  local count
  count=$(in_domain 3 'tail -n1 /tmp/count')
  eventually more_than "$count"
}

more_than() {
  (($(in_domain 3 'tail -n1 /tmp/count') > $1))
}

@test "a guest is saved and restored with a reader that waits and a sender in mid-stream" {
  mount_in 1
  mount_in 2
  permit 1 2
  permit 2 1
  local one old
  one=$(id 1) old=$(id 2)
  # Acknowledged to guest 1, and not yet read in guest 2.
  in_domain 2 "mkdir /sivc/endpoints/later; echo allow $one > /sivc/endpoints/later/acl"
  in_domain 1 "mkdir /sivc/endpoints/later; echo unread > /sivc/endpoints/later/peers/$old"
  start waiting in_domain 2 'dd if=/sivc/inbox bs=100 count=1 status=none'
  blocked 2 dd
  start got in_domain 1 'while read -r line; do echo "$line"; done </sivc/inbox'
  # Each line that was acknowledged is in /tmp/sent.
  in_domain 2 "touch /tmp/stream
    (i=0; while [[ -e /tmp/stream ]]; do
      if echo \$i >/sivc/peers/$one; then echo \$i; i=\$((i + 1)); else sleep 0.1; fi
    done) >/tmp/sent 2>/tmp/errors &"
  shows got 20
  in_domain 0 'xl save sivc-u2 /tmp/u2 && xl restore /tmp/u2 && rm /tmp/u2'
  eventually came_back 2 "$old"
  echo "guest 2 was $old and is $(id 2)"
  in_domain 2 'cat /sivc/self; ps ax | grep "[d]d if"'
  same "$(in_domain 2 'timeout 20 cat /sivc/endpoints/later/inbox & sleep 2; kill $!')" unread
  # The mount came back, and the reader goes on.
  eventually in_domain 1 "echo 'after the restore' > /sivc/peers/$(id 2)"
  finish waiting
  same "$output" "after the restore"
  # Guest 1 permits the new id: the stream goes on where it stood.
  local sent
  sent=$(in_domain 2 'wc -l </tmp/sent')
  permit 1 2
  shows got "$((sent + 20))"
  in_domain 2 'rm /tmp/stream; sleep 1; cat /tmp/sent' >"$BATS_TEST_TMPDIR/sent"
  shows got "$(tail -n1 "$BATS_TEST_TMPDIR/sent")"
  in_domain 2 'sort /tmp/errors | uniq -c'
  cmp "$BATS_TEST_TMPDIR/sent" "$BATS_TEST_TMPDIR/got.out"
}
