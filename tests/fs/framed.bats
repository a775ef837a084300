#!/usr/bin/env bats
# Framed handles: many messages a system call.

load helpers

@test "one framed write sends many messages, one framed read receives them" {
  pair
  same "$(op 2/peers/1 w framed=1 frames=1:one,1:two,1:three)" $'framed 0\nframes 35'
  same "$(op 1/inbox r+nonblock framed=1 readframes readframes)" "framed 0
readframes 35
frame 2 3 one
frame 2 3 two
frame 2 5 three
readframes EAGAIN"
}

@test "framed and plain handles exchange the same messages" {
  pair
  op 2/peers/1 w framed=1 frames=1:one,1:two
  printf three > 2/peers/1
  same "$(op 1/inbox r+nonblock read framed=1 readframes)" "read 3 one
framed 0
readframes 24
frame 2 3 two
frame 2 5 three"
}

@test "a framed read of the inbox says of each message who sent it" {
  start_domain 1
  start_domain 2
  start_domain 3
  permit 1 2 3
  printf two > 2/peers/1
  printf three > 3/peers/1
  same "$(op 1/inbox r framed=1 readframes | sort)" "frame 2 3 two
frame 3 5 three
framed 0
readframes 24"
}

@test "a framed read of peers/N gets domain N's messages alone" {
  start_domain 1
  start_domain 2
  start_domain 3
  permit 1 2 3
  printf two > 2/peers/1
  printf three > 3/peers/1
  same "$(op 1/peers/3 r+nonblock framed=1 readframes readframes)" "framed 0
readframes 13
frame 3 5 three
readframes EAGAIN"
}

@test "a framed read returns as many whole frames as fit; the others stay queued" {
  pair
  op 2/peers/1 w framed=1 frames=1:one,1:two,1:three
  same "$(op 1/inbox r+nonblock framed=1 readframes=30 readframes=30)" "framed 0
readframes 22
frame 2 3 one
frame 2 3 two
readframes 13
frame 2 5 three"
}

@test "a framed read too small for the first frame is EMSGSIZE, and it stays queued" {
  pair
  printf hello > 2/peers/1
  same "$(op 1/inbox r+nonblock framed=1 readframes=12 readframes=13)" "framed 0
readframes EMSGSIZE
readframes 13
frame 2 5 hello"
}

@test "a framed read waits for the first message, and no longer" {
  pair
  start_op reader 1/inbox r framed=1 readframes
  blocked reader
  printf hello > 2/peers/1
  finish reader
  same "$output" $'framed 0\nreadframes 13\nframe 2 5 hello'
}

@test "a framed write that is not whole or is for another domain is EINVAL" {
  pair
  same "$(op 2/peers/1 w framed=1 write=short frames=3:x frames=1:)" \
    $'framed 0\nwrite EINVAL\nframes EINVAL\nframes EINVAL'
  # A header that promises more than follows.
  same "$(op 2/peers/1 w framed=1 $'write=\x05\x01\x01\x01\x01\x01\x01\x01x')" $'framed 0\nwrite EINVAL'
  same "$(op 1/inbox r+nonblock read)" "read EAGAIN"
}

@test "a framed write takes the good frames in front of a bad one" {
  pair
  same "$(op 2/peers/1 w framed=1 frames=1:one,1:two,3:three)" $'framed 0\nframes 22'
  same "$(op 1/inbox r+nonblock drain)" "drain 2 EAGAIN"
}

@test "a framed message that is too long is EMSGSIZE" {
  start_domain 1 max_msg=10
  start_domain 2
  permit 1 2
  same "$(op 2/peers/1 w framed=1 frames=1:12345678901 frames=1:1234567890)" \
    $'framed 0\nframes EMSGSIZE\nframes 18'
}

@test "a framed write without permission is EACCES" {
  start_domain 1
  start_domain 2
  same "$(op 2/peers/1 w framed=1 frames=1:x)" $'framed 0\nframes EACCES'
}

@test "with O_NONBLOCK a framed write takes what there is room for, then EAGAIN" {
  pair ring=4096
  out=$(op 2/peers/1 w+nonblock framed=1 "fillframes=1:92*100" "fillframes=1:92*100")
  like "$out" $'^framed 0\nfillframes [34][0-9]00\nfillframes EAGAIN$'
  taken=$(sed -n 's/fillframes \([0-9]*\)/\1/p' <<< "$out" | head -n1)
  same "$(op 1/inbox r+nonblock drain)" "drain $((taken / 100)) EAGAIN"
}

@test "a framed write of more than the ring holds waits until all of it went" {
  pair ring=4096
  start_op writer 2/peers/1 w framed=1 "fillframes=1:92*1000"
  blocked writer
  local got=0
  while ((got < 1000)); do
    n=$(op 1/inbox r framed=1 readframes | grep -c '^frame 2 92')
    ((n > 0))
    got=$((got + n))
  done
  finish writer
  same "$output" $'framed 0\nfillframes 100000'
  same "$got" 1000
}

@test "a framed handle carries messages larger than the ring" {
  pair ring=4096
  start_op writer 2/peers/1 w framed=1 "fillframes=1:100000*3"
  start_op reader 1/inbox r framed=1 readframes=200000 readframes=200000 readframes=200000
  finish writer
  same "$output" $'framed 0\nfillframes 300024'
  finish reader
  same "$(grep -c '^frame 2 100000' <<< "$output")" 3
}

@test "framed mode is 0 or 1, and not while the handle holds the rest of a message" {
  pair
  printf hello > 2/peers/1
  same "$(op 1/inbox r framed=2 read=2 framed=1 read framed=1 framed=0)" "framed EINVAL
read 2 he
framed EBUSY
read 3 llo
framed 0
framed 0"
}

@test "framed mode is for the inbox and for peers/N" {
  start_domain 1
  for file in acl self stats; do
    like "$(op 1/$file r framed=1)" "^framed E(NOTTY|INVAL)$"
  done
}

@test "a framed handle is one handle's matter" {
  pair
  start_op framed 1/inbox r framed=1 pause
  shows framed pause
  printf hello > 2/peers/1
  same "$(op 1/inbox r+nonblock read)" "read 5 hello"
  next framed
  finish framed
}
