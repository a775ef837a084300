#!/usr/bin/env bats
# A guest comes back: rebooted, or saved and restored.  Either way it has another domain id.
#
# Linux saves a guest only if it can freeze all of its processes, and it cannot freeze one that is in
# a request of FUSE: the file system that should answer may be frozen already (freeze.bats).  So
# whoever waits in a guest that is to be saved waits by epoll, or uses libsivc.

load helpers

@test "a guest that was rebooted has another domain id, and none of the old one's permissions" {
  mount_in 1
  permit 1 2
  local new
  reboot 2
  new=$(id 2)
  mount_in 2
  run in_domain 2 "echo hello > /sivc/peers/$(id 1)"
  like "$output" "Permission denied"
  permit 1 2
  in_domain 2 "echo hello > /sivc/peers/$(id 1)"
  same "$(in_domain 1 "dd if=/sivc/peers/$new iflag=nonblock bs=100 status=none")" hello
}

@test "a process that notices the restore late gives up its event channel, which nobody has taken" {
  local one
  mount_in 1
  one=$(id 1)
  # It is the first, so that it has the lowest number, which is the first to be given out again.
  in_domain 2 'exec hv_check restored >/tmp/late 2>&1 &'
  eventually in_domain 2 'grep -q waits /tmp/late'
  mount_in 2
  permit 1 2
  permit 2 1
  in_domain 2 "echo before > /sivc/peers/$one"
  in_domain 2 'grep evtchn /proc/interrupts'
  save_and_restore 2
  permit 1 2
  eventually in_domain 2 "echo after > /sivc/peers/$one"
  in_domain 2 'pkill -USR1 -x hv_check'
  eventually in_domain 2 '! pgrep -x hv_check'
  in_domain 2 'cat /tmp/late; ! grep "not ok" /tmp/late'
  # What has taken its number has lost it now.
  in_domain 2 "echo 'after it' > /sivc/peers/$one"
  in_domain 1 "echo hello > /sivc/peers/$(id 2)"
  same "$(in_domain 2 'fileop /sivc/inbox r+nonblock read=100')" 'read 6 hello\x0a'
  unmount_in 2
  mounted=(1)
  only_known_warnings 2
}

@test "a guest is saved and restored with a reader that waits and a sender in mid-stream" {
  mount_in 1 ring=4K # few messages of the stream can be under way
  mount_in 2
  permit 1 2
  permit 2 1
  local one old sent
  one=$(id 1) old=$(id 2)
  # From here on the sivcfs of guest 2 has pages of guest 1.
  in_domain 2 "echo 'before the restore' > /sivc/peers/$one"
  # Acknowledged to guest 1, and not yet read in guest 2.
  in_domain 2 "mkdir /sivc/endpoints/later; echo allow $one > /sivc/endpoints/later/acl"
  in_domain 1 "mkdir /sivc/endpoints/later; echo unread > /sivc/endpoints/later/peers/$old"
  in_domain 2 "fileop /sivc/inbox r+nonblock epoll=$((patience * 1000)) read=100 >/tmp/waited 2>&1 &"
  blocked 2 fileop
  # Guest 2 sends by libsivc, and guest 1 reads by files.
  in_domain 1 "mkdir /sivc/endpoints/stream; echo allow $old > /sivc/endpoints/stream/acl"
  start got in_domain 1 'while read -r line; do echo "$line"; done </sivc/endpoints/stream/inbox'
  in_domain 2 "exec stream stream $one >/tmp/sent 2>/tmp/log &"
  shows got 200
  save_and_restore 2
  echo "guest 2 was $old and is $(id 2)"
  in_domain 2 'sort /tmp/log | uniq -c'
  same "$(in_domain 2 'fileop /sivc/endpoints/later/inbox r+nonblock read=100')" 'read 7 unread\x0a'
  # The mount came back, and the reader goes on.
  in_domain 1 "echo 'after the restore' > /sivc/peers/$(id 2)"
  eventually in_domain 2 "grep -q 'after the restore' /tmp/waited"
  # Guest 1 permits the new id, and what guest 2 sends arrives.
  permit 1 2
  in_domain 2 "echo 'after it' > /sivc/peers/$one"
  same "$(in_domain 1 "fileop /sivc/inbox r+nonblock read=100 read=100")" \
    "$(printf '%s\n' 'read 19 before the restore\x0a' 'read 9 after it\x0a')"
  # Its stream goes on where it stood, and nothing of it was lost.
  in_domain 1 "echo allow $(id 2) >> /sivc/endpoints/stream/acl"
  sent=$(in_domain 2 'wc -l </tmp/sent')
  eventually goes_beyond "$sent"
  in_domain 2 'pkill -x stream; cat /tmp/sent' >"$BATS_TEST_TMPDIR/sent"
  eventually grep -qx "$(tail -n1 "$BATS_TEST_TMPDIR/sent")" "$BATS_TEST_TMPDIR/got.out"
  # One that was interrupted before it was acknowledged may have come twice; the last may be one more.
  uniq "$BATS_TEST_TMPDIR/got.out" | head -n "$(wc -l <"$BATS_TEST_TMPDIR/sent")" |
    cmp - "$BATS_TEST_TMPDIR/sent"
  same "$(counter 2 sivc_breaches_total) $(counter 1 sivc_breaches_total)" "0 0"
  only_known_warnings 2
  # Other parts get a kernel that has begun anew: this one has lost what it knew of its event channels.
  unmount_in 2
  mounted=(1)
  reboot 2
}

goes_beyond() { # LINES that guest 2 has sent
  (($(in_domain 2 'wc -l </tmp/sent') > $1))
}
