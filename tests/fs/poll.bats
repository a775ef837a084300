#!/usr/bin/env bats
# poll, O_NONBLOCK and FIONREAD.  That select, epoll and selectors work is in tools.bats.

load helpers

# Milliseconds.  A poll that ends by its time looks once more, and would then see what nobody told it.
forever=600000

@test "the inbox is ready when a message is there, and not when it was read" {
  pair
  same "$(op 1/inbox r poll=in)" "poll -"
  printf hello > 2/peers/1
  same "$(op 1/inbox r poll=in read poll=in)" $'poll in\nread 5 hello\npoll -'
}

@test "a handle that holds the rest of a message is ready" {
  pair
  printf hello > 2/peers/1
  same "$(op 1/inbox r read=2 poll=in read poll=in)" $'read 2 he\npoll in\nread 3 llo\npoll -'
}

@test "peers/N is ready for reading when a message of domain N is there" {
  start_domain 1
  start_domain 2
  start_domain 3
  permit 1 2 3
  printf hello > 3/peers/1
  same "$(op 1/peers/2 r poll=in)" "poll -"
  same "$(op 1/peers/3 r poll=in)" "poll in"
}

@test "a message wakes every poller" {
  pair
  for i in 1 2 3; do
    start_op "poller$i" 1/inbox r poll=in:$forever
    blocked "poller$i"
  done
  printf hello > 2/peers/1
  for i in 1 2 3; do
    finish "poller$i"
    same "$output" "poll in"
  done
}

@test "a poller is woken again and again" {
  pair
  start_op poller 1/inbox r+nonblock poll=in:$forever read poll=in:$forever read poll=in:$forever read
  for i in 1 2 3; do
    blocked poller
    printf %s "$i" > 2/peers/1
    shows poller "read 1 $i"
  done
  finish poller
}

@test "a poller and a reader of the same file get along" {
  pair
  start_op poller 1/inbox r+nonblock poll=in:$forever
  blocked poller
  start_op reader 1/inbox r read
  blocked reader
  printf one > 2/peers/1
  finish reader
  same "$output" "read 3 one"
  printf two > 2/peers/1
  finish poller
  same "$output" "poll in"
  same "$(op 1/inbox r+nonblock read)" "read 3 two"
}

# poller_after FIRST: beside a writer of so many bytes.
poller_after() {
  local first=$1 name
  pair ring=4096
  op 2/peers/1 w "fill=100*20"
  start_op writer 2/peers/1 w fill="$first"
  blocked writer
  op 1/inbox r read read read read read # there is room now for the one, and not for the other
  start_op poller 2/peers/1 w poll=out:$forever
  blocked poller
  same "$(op 2/peers/1 w poll=out)" "poll -"
  "$build/tests/await" blocked "${domain_pid[2]}" # it does not look for room all the time
  start reader cat 1/inbox
  for name in writer poller; do
    finish "$name"
    same "$status" 0
  done
  same "$output" "poll out"
  same "$(grep -c '^sivc_breaches_total.* 0$' 2/stats)" 1
  ends_by KILL reader
}

@test "a poller beside a writer that waits for more room comes after it, and disturbs nothing" {
  poller_after 2500
}

@test "so does one beside a writer in the middle of a message" {
  poller_after 100000
}

@test "peers/N is ready for writing while there is room, and when there is room again" {
  pair ring=4096
  same "$(op 2/peers/1 w+nonblock poll=out write=x poll=out)" $'poll out\nwrite 1\npoll out'
  op 1/inbox r read
  fill_ring 2 1
  start_op poller 2/peers/1 w+nonblock poll=out poll=out:$forever write=room
  shows poller "poll -"
  blocked poller
  op 1/inbox r+nonblock drain
  finish poller
  same "$output" $'poll -\npoll out\nwrite 4'
}

@test "a write that would fail is ready, too" {
  start_domain 1
  start_domain 2
  like "$(op 2/peers/1 w poll=out)" "^poll out"
  like "$(op 2/peers/9 w poll=out write=x)" $'^poll out.*\nwrite EACCES$'
}

@test "a poller for writing is woken when the permission is taken back" {
  pair ring=4096
  fill_ring 2 1
  start_op poller 2/peers/1 w+nonblock poll=out:$forever write=x
  blocked poller
  echo "deny 2" > 1/acl
  finish poller
  like "$output" "^poll out.*
write EACCES$"
}

@test "a poller for writing is woken when the receiver ends" {
  pair ring=4096
  fill_ring 2 1
  start_op poller 2/peers/1 w+nonblock poll=out:$forever write=x
  blocked poller
  kill_domain 1
  finish poller
  like "$output" "^poll out.*
write EPIPE$"
}

@test "the files that never wait are always ready" {
  start_domain 1
  like "$(op 1/self r poll=in)" "^poll in"
  like "$(op 1/acl rw poll=in,out)" "^poll in out"
}

@test "a poller that is killed leaves no harm" {
  pair
  for i in 1 2 3; do
    start_op poller 1/inbox r poll=in:600000
    blocked poller
    ends_by KILL poller
  done
  printf hello > 2/peers/1
  same "$(op 1/inbox r poll=in read)" $'poll in\nread 5 hello'
}

# One open file that several have, by fork or otherwise.

# shared PATH: opens it for reading and writing, for `op /dev/null r use=$shared ...`.
shared() {
  exec {shared}<> "$1"
}

@test "a poller for reading is woken also if another has polled the same open file for writing" {
  pair
  shared 1/peers/2
  start_op reader /dev/null r "use=$shared" poll=in:$forever
  blocked reader
  same "$(op /dev/null r "use=$shared" poll=out)" $'use 0\npoll out'
  printf hello > 2/peers/1
  finish reader
  same "$output" $'use 0\npoll in'
  exec {shared}>&-
}

@test "so is a poller for writing if another has polled for reading" {
  pair ring=4096
  shared 2/peers/1
  fill_ring 2 1
  start_op writer /dev/null r "use=$shared" poll=out:$forever
  blocked writer
  same "$(op /dev/null r "use=$shared" poll=in)" $'use 0\npoll -'
  op 1/inbox r+nonblock drain
  finish writer
  same "$output" $'use 0\npoll out'
  exec {shared}>&-
}

@test "pollers of one open file for reading and for writing are both woken, whoever comes first" {
  local first=in second=out name
  pair ring=4096
  shared 2/peers/1
  for name in one two; do
    fill_ring 2 1
    start_op first /dev/null r "use=$shared" "poll=$first:$forever"
    blocked first
    start_op second /dev/null r "use=$shared" "poll=$second:$forever"
    blocked second
    printf hello > 1/peers/2
    op 1/inbox r+nonblock drain
    finish first
    same "$output" "use 0
poll $first"
    finish second
    same "$output" "use 0
poll $second"
    op 2/inbox r+nonblock drain
    first=out second=in
  done
  exec {shared}>&-
}

@test "a poller is woken that shares its open file with an epoll set" {
  pair
  shared 1/peers/2
  start_op set /dev/null r "use=$shared" watch=out edges=0 watch=in edges=$forever
  blocked set
  start_op poller /dev/null r "use=$shared" poll=in:$forever
  blocked poller
  same "$(op /dev/null r "use=$shared" poll=out)" $'use 0\npoll out'
  printf hello > 2/peers/1
  finish poller
  same "$output" $'use 0\npoll in'
  finish set
  same "$output" $'use 0\nwatch 0\nedges out\nwatch 0\nedges in'
  exec {shared}>&-
}

@test "two epoll sets with one open file each get their edges" {
  pair ring=4096
  shared 2/peers/1
  fill_ring 2 1
  start_op in /dev/null r "use=$shared" watch=in edges=$forever edges=$forever
  blocked in
  start_op out /dev/null r "use=$shared" watch=out edges=$forever
  blocked out
  op 1/inbox r+nonblock drain
  finish out
  same "$output" $'use 0\nwatch 0\nedges out'
  blocked in
  printf one > 1/peers/2
  shows in "edges in"
  blocked in
  same "$(op /dev/null r "use=$shared" nonblock=1 poll=out read)" \
    $'use 0\nnonblock 0\npoll out\nread 3 one'
  printf two > 1/peers/2
  finish in
  same "$output" $'use 0\nwatch 0\nedges in\nedges in'
  exec {shared}>&-
}

@test "parent and child poll one open file, and each message wakes both" {
  pair
  same "$(limit python3 -c '
import os, select
box = os.open("1/inbox", os.O_RDONLY | os.O_NONBLOCK)
out = os.open("2/peers/1", os.O_WRONLY)
seen, see = os.pipe()
child = os.fork()
poll = select.poll()
poll.register(box, select.POLLIN)
for message in (b"a", b"b", b"c"):
    if child == 0:
        os.write(see, bytes([len(poll.poll(10000))]))
        os.kill(os.getpid(), 19) # until the message was read
        continue
    if message != b"a":
        os.waitid(os.P_PID, child, os.WSTOPPED)
        os.kill(child, 18)
    os.write(out, message)
    got = poll.poll(10000) == [(box, select.POLLIN)], os.read(seen, 1)
    print(got, os.read(box, 10))
if child == 0:
    os._exit(0)
os.waitid(os.P_PID, child, os.WSTOPPED)
os.kill(child, 18)
')" "(True, b'\\x01') b'a'
(True, b'\\x01') b'b'
(True, b'\\x01') b'c'"
}

# Edge-triggered.  edges KIND: what an epoll set sees of messages that come, with reads in between that do
# not empty the queue and are not EAGAIN; KIND is the file here, or a SOCK_SEQPACKET.

edges() {
  limit python3 -c '
import fcntl, os, select, socket, struct, sys
kind = sys.argv[1]
if kind == "socket":
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setblocking(False)
    box, out = [end.fileno() for end in ends]
else:
    box = os.open(kind, os.O_RDWR if "peers" in kind else os.O_RDONLY | os.O_NONBLOCK)
    out = os.open("2/peers/1", os.O_WRONLY)
epoll = select.epoll()
epoll.register(box, select.EPOLLIN | select.EPOLLET)
def wait():
    return bool(epoll.poll(10))
def quiet():
    return epoll.poll(0) == []
os.write(out, b"a"); print("first", wait())
print("again", quiet())
print(os.read(box, 10)); os.write(out, b"b"); print("after a read", wait())
os.write(out, b"c"); print(os.read(box, 10)); os.write(out, b"d")
print("after a read that left one", wait())
print(os.read(box, 10), os.read(box, 10)); os.write(out, b"e"); print("after two", wait())
print(os.read(box, 10))
try:
    os.read(box, 10) if kind != "1/peers/2" else None
except BlockingIOError:
    pass
os.write(out, b"f"); print("after EAGAIN", wait())
print(os.read(box, 10), "quiet", quiet())
' "$1"
}

@test "edge-triggered epoll gives the edges that a SOCK_SEQPACKET gives, whatever a read left" {
  pair
  edges socket > expected
  same "$(edges 1/inbox)" "$(cat expected)"
  same "$(edges 1/peers/2)" "$(cat expected)"
}

@test "a read that waited leads to the next edge, too" {
  pair
  exec {shared}< 1/inbox
  printf one > 2/peers/1
  start_op set /dev/null r "use=$shared" watch=in edges=$forever edges=$forever
  shows set "edges in"
  blocked set
  same "$(op 1/inbox r read)" "read 3 one" # by another open file
  start_op reader /dev/null r "use=$shared" read
  blocked reader
  printf two > 2/peers/1
  finish reader
  same "$output" $'use 0\nread 3 two'
  printf three > 2/peers/1
  finish set
  same "$output" $'use 0\nwatch 0\nedges in\nedges in'
  exec {shared}>&-
}

@test "framed reads lead to the next edge" {
  pair
  op 2/peers/1 w framed=1 frames=1:one,1:two
  start_op set 1/inbox r+nonblock framed=1 watch=in edges=$forever readframes=12 \
    edges=$forever readframes edges=$forever readframes
  shows set "frame 2 3 two"
  blocked set
  printf three > 2/peers/1
  finish set
  same "$output" "framed 0
watch 0
edges in
readframes 11
frame 2 3 one
edges in
readframes 11
frame 2 3 two
edges in
readframes 13
frame 2 5 three"
}

@test "framed writes with a short count lead to the next edge" {
  pair ring=4096
  start_op writer 2/peers/1 w+nonblock framed=1 watch=out edges=0 fillframes=1:92*100 edges=0 \
    edges=$forever write=again
  shows writer "edges -"
  blocked writer
  op 1/inbox r+nonblock drain
  finish writer
  like "$output" $'^framed 0\nwatch 0\nedges out\nfillframes [34][0-9]00\nedges -\nedges out\n'
}

@test "so does EAGAIN of a message that did not fit" {
  pair ring=4096
  start_op writer 2/peers/1 w+nonblock watch=out edges=0 "fill=1500*3" edges=0 edges=$forever \
    fill=1500
  shows writer "edges -"
  blocked writer
  op 1/inbox r+nonblock drain
  finish writer
  like "$output" $'fill EAGAIN\nedges -\nedges out\nfill 1500$'
}

# For regular files the kernel answers FIONREAD itself, from the size.

@test "the size and FIONREAD are 0, whatever waits" {
  pair
  printf hello > 2/peers/1
  same "$(op 1/inbox r size fionread)" $'size 0\nfionread 0'
  same "$(op 1/peers/2 r size fionread read size)" $'size 0\nfionread 0\nread 5 hello\nsize 0'
}
