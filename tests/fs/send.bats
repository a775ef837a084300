#!/usr/bin/env bats
# Sending: a write to peers/N is one message to domain N, or an error that says why not.

load helpers

max_msg=524288

@test "a domain that is not permitted gets EACCES at once, and nothing is sent" {
  start_domain 1
  start_domain 2
  same "$(op 2/peers/1 w write=hello)" "write EACCES"
  same "$(op 2/peers/1 w+nonblock write=hello)" "write EACCES"
  same "$(op 1/inbox r+nonblock read)" "read EAGAIN"
}

@test "the shell says Permission denied" {
  start_domain 1
  start_domain 2
  run limit bash -c 'echo hello > 2/peers/1'
  same "$status" 1
  like "$output" "Permission denied"
}

@test "a domain that is not there gives EACCES, and so does one without that endpoint" {
  start_domain 1
  start_domain 2
  permit 1 2
  mkdir 2/endpoints/clipboard
  same "$(op 2/peers/9 w write=x)" "write EACCES"
  same "$(op 2/endpoints/clipboard/peers/1 w write=x)" "write EACCES"
}

@test "a number that is no domain is ENOENT, and so is a name that nobody has" {
  start_domain 1
  for no in 32752 65536 99999 4294967297 -1 +1 1x 0x1 01 "" nobody-here; do
    [[ -z $no ]] || same "$no: $(op "1/peers/$no" w write=x)" "$no: open ENOENT"
  done
  same "$(op 1/peers/32751 w write=x)" "write EACCES"
  same "$(op 1/peers/0 w write=x)" "write EACCES"
}

@test "a message may have 1 byte and max_msg bytes; more is EMSGSIZE" {
  pair
  blob $max_msg big
  start cat dd if=1/inbox of=got bs=1M count=1 status=none
  limit dd if=big of=2/peers/1 bs=$max_msg status=none
  finish cat
  cmp big got
  same "$(op 2/peers/1 w write=x "fill=$((max_msg + 1))")" $'write 1\nfill EMSGSIZE'
  same "$(op 1/inbox r+nonblock read read)" $'read 1 x\nread EAGAIN'
}

@test "max_msg of the receiver holds, whatever the sender's is" {
  start_domain 1 max_msg=1000
  start_domain 2
  permit 1 2
  same "$(op 2/peers/1 w+nonblock fill=1000 fill=1001)" $'fill 1000\nfill EMSGSIZE'
  same "$(op 1/inbox r+nonblock drain)" "drain 1 EAGAIN"
}

@test "the largest max_msg there is can be sent and received whole" {
  pair max_msg=917504
  blob 917504 big
  start reader dd if=1/inbox of=got bs=917504 count=1 status=none
  limit dd if=big of=2/peers/1 bs=917504 status=none
  finish reader
  cmp big got
}

@test "a write of nothing sends nothing" {
  pair
  same "$(op 2/peers/1 w write=)" "write 0"
  same "$(op 1/inbox r+nonblock read)" "read EAGAIN"
}

@test "a full ring makes a writer wait, and give EAGAIN with O_NONBLOCK" {
  pair ring=4096
  like "$(op 2/peers/1 w+nonblock until=500)" "^until [78] EAGAIN$"
  start_op writer 2/peers/1 w write=waited
  blocked writer
  same "$(op 2/peers/1 w+nonblock write=x)" "write EAGAIN"
  same "$(op 1/inbox r read=1)" "read 1 x"
  op 1/inbox r+nonblock drain
  finish writer
  same "$output" "write 6"
}

@test "messages larger than the ring go through it whole, both ways at once" {
  pair ring=4096
  for i in 1 2; do
    blob $max_msg "sent$i"
    start "reader$i" dd if="$i/inbox" of="got$i" bs=1M count=1 status=none
  done
  start writer1 dd if=sent1 of=2/peers/1 bs=$max_msg status=none
  start writer2 dd if=sent2 of=1/peers/2 bs=$max_msg status=none
  for job in writer1 writer2 reader1 reader2; do
    finish $job
    same "$status:$output" "0:"
  done
  cmp sent1 got1
  cmp sent2 got2
}

@test "with O_NONBLOCK a message larger than the ring is EMSGSIZE" {
  pair ring=4096
  same "$(op 2/peers/1 w+nonblock fill=5000 write=x)" $'fill EMSGSIZE\nwrite 1'
  same "$(op 1/inbox r+nonblock read read)" $'read 1 x\nread EAGAIN'
}

@test "a message that was written is in the receiver's memory: its sender may end" {
  pair
  echo "unmounted after" > 2/peers/1
  stop_domain 2
  same "$(op 1/inbox r+nonblock read)" 'read 16 unmounted after\x0a'
  start_domain 2
  echo "killed after" > 2/peers/1
  kill_domain 2
  same "$(op 1/inbox r+nonblock read)" 'read 13 killed after\x0a'
}

@test "a receiver that was unmounted gives EPIPE to one who holds its ring" {
  pair
  start_op writer 2/peers/1 w write=one pause write=two
  shows writer pause
  stop_domain 1
  next writer
  finish writer
  same "$output" $'write 3\npause\nwrite EPIPE'
}

@test "a domain can send to itself" {
  start_domain 1
  permit 1 1
  same "$(op 1/peers/1 w write=me)" "write 2"
  same "$(op 1/inbox r+nonblock read sender)" $'read 2 me\nsender 1'
}

@test "a domain that sends itself more than the ring holds does not hang" {
  start_domain 1 ring=4096
  permit 1 1
  like "$(op 1/peers/1 w+nonblock until=500)" "^until [78] EAGAIN$"
  start_op writer 1/peers/1 w fill=500
  blocked writer
  op 1/inbox r+nonblock drain
  finish writer
  same "$output" "fill 500"
}

@test "one handle reads and writes" {
  pair
  start_op both 2/peers/1 rw write=question read
  same "$(op 1/peers/2 rw read write=answer)" $'read 8 question\nwrite 6'
  finish both
  same "$output" $'write 8\nread 6 answer'
}

@test "a writev of several pieces is one message" {
  pair
  same "$(op 2/peers/1 w writev=one,two,three)" "writev 11"
  same "$(op 1/inbox r+nonblock read read)" $'read 11 onetwothree\nread EAGAIN'
}

@test "opening for writing may truncate and append: it means nothing here" {
  pair
  same "$(op 2/peers/1 w+trunc write=a)" "write 1"
  same "$(op 2/peers/1 w+append write=b truncate=0)" $'write 1\ntruncate 0'
  same "$(op 1/inbox r+nonblock drain)" "drain 2 EAGAIN"
}

@test "the files that are only read cannot be written, and nothing can be made or removed" {
  start_domain 1
  for file in inbox inbox.from self stats; do
    fails limit bash -c "echo x > 1/$file" 2> /dev/null
  done
  fails limit touch 1/new 2> /dev/null
  fails limit mkdir 1/new 2> /dev/null
  fails limit rm 1/acl 2> /dev/null
  fails limit rm 1/inbox 2> /dev/null
  fails limit mv 1/acl 1/inbox 2> /dev/null
  fails limit rmdir 1/peers 2> /dev/null
  fails limit ln -s acl 1/link 2> /dev/null
  same "$(echo 1/*)" "1/acl 1/endpoints 1/inbox 1/inbox.from 1/peers 1/self 1/stats 1/streams"
}

@test "peers/ lists who has a rule and who was opened, and any other can be opened" {
  start_domain 1
  same "$(ls 1/peers)" ""
  echo "allow 7" > 1/acl
  : > 1/peers/9
  same "$(ls 1/peers | sort -n)" $'7\n9'
  [[ -e 1/peers/8 && ! -e 1/peers/40000 ]]
}
