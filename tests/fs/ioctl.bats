#!/usr/bin/env bats
# The table by ioctl, and who sent what.

load helpers

@test "ALLOW permits, DENY refuses, PERMITTED tells" {
  start_domain 1
  start_domain 2
  same "$(op 1/acl rw permitted=2 allow=2 permitted=2)" $'permitted 0\nallow 0\npermitted 1'
  same "$(op 2/peers/1 w write=x)" "write 1"
  same "$(cat 1/acl)" "allow 2"
  same "$(op 1/acl rw deny=2 permitted=2)" $'deny 0\npermitted 0'
  same "$(op 2/peers/1 w write=x)" "write EACCES"
}

@test "they work on any open file of the endpoint, however it was opened" {
  start_domain 1
  for file in acl inbox peers/2 stats; do
    same "$(op 1/$file r allow=3 permitted=3 deny=3 permitted=3)" \
      $'allow 0\npermitted 1\ndeny 0\npermitted 0'
  done
}

@test "they are about the endpoint that the file belongs to" {
  start_domain 1
  mkdir 1/endpoints/clipboard
  op 1/endpoints/clipboard/inbox r allow=2
  same "$(op 1/acl r permitted=2)" "permitted 0"
  same "$(op 1/endpoints/clipboard/acl r permitted=2)" "permitted 1"
}

@test "a number that is no domain id is EINVAL" {
  start_domain 1
  for id in 32752 65537 4294967295; do
    same "$(op 1/acl rw allow=$id deny=$id permitted=$id)" \
      $'allow EINVAL\ndeny EINVAL\npermitted EINVAL'
  done
  same "$(op 1/acl rw allow=32751 permitted=32751)" $'allow 0\npermitted 1'
}

@test "ALLOW and DENY are for those who may write acl, PERMITTED for those who may read it" {
  start_domain 1
  chmod 0644 1/inbox
  same "$(as_user "$build/tests/fileop" 1/inbox r allow=2 deny=2 permitted=2)" \
    $'allow EACCES\ndeny EACCES\npermitted EACCES'
  chmod 0644 1/acl
  same "$(as_user "$build/tests/fileop" 1/inbox r allow=2 deny=2 permitted=2)" \
    $'allow EACCES\ndeny EACCES\npermitted 0'
  chmod 0666 1/acl
  same "$(as_user "$build/tests/fileop" 1/inbox r allow=2 permitted=2)" $'allow 0\npermitted 1'
}

@test "a group of the caller counts, its main one" {
  start_domain 1
  chgrp "$(id -g "$ordinary_user")" 1/acl
  chmod 0660 1/acl
  chmod 0644 1/inbox
  same "$(as_user "$build/tests/fileop" 1/inbox r allow=2 permitted=2)" $'allow 0\npermitted 1'
}

@test "SENDER tells who sent what this handle read last" {
  start_domain 1
  start_domain 2
  start_domain 3
  permit 1 2 3
  start_op reader 1/inbox r sender pause read=2 sender read sender pause read sender
  shows reader pause
  printf two > 2/peers/1
  next reader
  shows reader pause 2
  printf three > 3/peers/1
  next reader
  finish reader
  same "$output" "sender ENODATA
pause
read 2 tw
sender 2
read 1 o
sender 2
pause
read 5 three
sender 3"
}

@test "an ioctl that does not exist is ENOTTY" {
  start_domain 1
  for file in acl inbox inbox.from peers/2 self stats; do
    same "$(op 1/$file r ioctl=99)" "ioctl ENOTTY"
  done
}

@test "the numbers are those that programs in other languages compute" {
  start_domain 1
  same "$(limit /usr/bin/python3 -I -c '
import fcntl, os, struct
IOW, IOR = 1 << 30, 2 << 30
def ioctl(direction, number, value):
    request = direction | 4 << 16 | 0xB5 << 8 | number
    return struct.unpack("I", fcntl.ioctl(acl, request, struct.pack("I", value)))[0]
acl = os.open("1/acl", os.O_RDWR)
ioctl(IOW, 1, 7)
print(ioctl(IOW | IOR, 3, 7))
ioctl(IOW, 2, 7)
print(ioctl(IOW | IOR, 3, 7))
')" $'1\n0'
}

@test "QUEUED tells what can be read now, with the rest of a message that was read in part" {
  start_domain 1
  start_domain 2
  echo "allow 2" > 1/acl
  printf 12345 > 2/peers/1
  same "$(op 1/inbox r queued read=2 queued read=9 queued)" \
    $'queued 5\nread 2 12\nqueued 3\nread 3 345\nqueued 0'
  same "$(op 1/acl r queued)" "queued ENOTTY"
}
