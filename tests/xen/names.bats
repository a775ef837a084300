#!/usr/bin/env bats
# sivc-registry in dom0, and what guests do with the names that it tells them.

load helpers

policy=/tmp/policy

# The registry and the mounts go on from test to test, as in use.
setup_file() {
  start_registry
  for guest in 1 2 3; do mount_in "$guest"; done
}

teardown_file() {
  mounted=(1 2 3)
  take_away
  end_registry
}

# Guest 1 permits nobody, and has read everything: who was refused twice with something unread stays refused.
setup() {
  in_domain 1 ': > /sivc/acl; while fileop /sivc/inbox r+nonblock read=100 | grep -q "^read [0-9]"; do :; done'
}

teardown() {
  in_domain 0 'xl rename web sivc-u2 2>/dev/null || :' # of a test that has failed
}

start_registry() {
  in_domain 0 "echo 'show * to *' > $policy && sivc-registry -p $policy"
}

end_registry() {
  in_domain 0 'pid=$(pgrep -x sivc-registry) && kill $pid && AWAIT_SECONDS=20 exec await exit $pid'
}

# tell RULE...: the policy; in force when it is seen to be.
tell() {
  printf '%s\n' "$@" | in_domain 0 "cat > $policy && pkill -HUP -x sivc-registry"
}

# knows N NAME...: the names that guest N sees, in the order of sort.
knows() {
  local names
  names=$(in_domain "$1" "find /sivc/peers -type l -printf '%f\n' | sort")
  shift
  [[ $(xargs <<<"$names") == "$*" ]]
}

# may_send N NAME: a message from guest N arrives.
may_send() {
  in_domain "$1" "echo hello > /sivc/peers/$2" 2>"$BATS_TEST_TMPDIR/error"
}

may_not_send() {
  ! may_send "$@" && grep -q "Permission denied" "$BATS_TEST_TMPDIR/error"
}

@test "three guests and dom0 know each other by name, and send by name" {
  for guest in 1 2 3; do
    eventually knows "$guest" Domain-0 sivc-u1 sivc-u2 sivc-u3
  done
  same "$(in_domain 1 'readlink /sivc/peers/sivc-u3')" "$(id 3)"
  printf 'allow sivc-u2\nallow sivc-u3\n' | in_domain 1 'cat > /sivc/acl'
  may_send 2 sivc-u1
  may_send 3 sivc-u1
  same "$(in_domain 1 'for i in 1 2; do dd if=/sivc/inbox.from bs=1K count=1 status=none; done | grep sivc' | sort)" \
    "$(printf '%s 6 sivc-u%d\n' "$(id 2)" 2 "$(id 3)" 3 | sort)"
  may_not_send 1 sivc-u2
}

@test "a policy that is read again shows and hides names, and a rule goes with its name; a wrong one changes nothing" {
  tell 'show sivc-u2 to sivc-u1' 'show sivc-u1 to *'
  eventually knows 1 sivc-u1 sivc-u2
  eventually knows 2 sivc-u1 sivc-u2
  eventually knows 3 sivc-u1 sivc-u3
  in_domain 1 'echo "allow sivc-u2" > /sivc/acl'
  may_send 2 sivc-u1
  tell 'show sivc-u1 to *' 'show sivc-u2 to'
  tell 'show sivc-u1 to *' # what came before is done when this is
  eventually knows 1 sivc-u1
  eventually may_not_send 2 sivc-u1
  tell 'show * to *'
  eventually may_send 2 sivc-u1
  tell 'show nothing'
  run in_domain 0 "sivc-registry --check $policy"
  like "$output" "line 1: "
  knows 1 Domain-0 sivc-u1 sivc-u2 sivc-u3
  may_send 2 sivc-u1
}

@test "a rule for a domain that is not there yet permits it when it comes, and not longer than it has the name" {
  in_domain 1 'echo "allow web" > /sivc/acl'
  may_not_send 2 sivc-u1
  in_domain 0 'xl rename sivc-u2 web'
  eventually may_send 2 sivc-u1
  may_not_send 3 sivc-u1
  in_domain 0 'xl rename web sivc-u2'
  eventually may_not_send 2 sivc-u1
}

@test "a rule by name follows a guest that is rebooted to its new domain id" {
  local old
  in_domain 1 'echo "allow sivc-u2" > /sivc/acl'
  eventually may_send 2 sivc-u1
  old=$(id 2)
  reboot 2
  eventually in_domain 1 "[[ \$(readlink /sivc/peers/sivc-u2) == $(id 2) ]]"
  mount_in 2
  mounted=()
  eventually may_send 2 sivc-u1
  same "$(in_domain 1 "fileop /sivc/acl r permitted=$old permitted=$(id 2)")" $'permitted 0\npermitted 1'
}

@test "names and rules go on when xenstored is restarted by a live update, and when it stands still for a while" {
  [[ ${lab_ports:-} ]] || skip 'this machine runs Xen: its xenstored is not to be stopped'
  in_domain 1 'echo "allow web" > /sivc/acl'
  in_domain 0 'xenstore-control live-update /usr/lib/xen-4.17/bin/xenstored'
  in_domain 0 'xl rename sivc-u2 web'
  eventually may_send 2 sivc-u1
  in_domain 0 'xl rename web sivc-u2'
  eventually may_not_send 2 sivc-u1
  in_domain 0 'pkill -STOP -x xenstored'
  tell 'show sivc-u1 to *'
  in_domain 0 'pkill -CONT -x xenstored'
  eventually knows 1 sivc-u1
  tell 'show * to *'
  eventually knows 1 Domain-0 sivc-u1 sivc-u2 sivc-u3
}

@test "when the registry ends, nobody is told anything; when it comes back, all is as it was" {
  in_domain 1 'echo "allow sivc-u2" > /sivc/acl'
  eventually may_send 2 sivc-u1
  end_registry
  eventually may_not_send 2 "$(id 1)"
  same "$(in_domain 1 'find /sivc/peers -type l')" ""
  start_registry
  eventually may_send 2 sivc-u1
}
