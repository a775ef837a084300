#!/usr/bin/env bats
# The tools that everybody has, on these files.

load helpers

text='a line of text'

# sends COMMAND: a shell command, run by bash, sends `text` and a newline from 2 to 1.
sends() {
  run limit bash -c "$1"
  same "$status:$output" "0:${2:-}"
  same "$(op 1/inbox r+nonblock read read)" "read 15 $text"'\x0a'$'\nread EAGAIN'
}

# receives SCRIPT: run by `shell` (bash), it waits for what is sent, and prints `text`.
receives() {
  start reader "${shell[@]}" -c "$1"
  blocked_child reader
  echo "$text" > 2/peers/1
  finish reader
  same "$status:$output" "0:$text"
}

shell=(bash)

# The shell may have a child that waits in its place.
blocked_child() {
  eventually waits_in_mount "${job_pid[$1]}"
}

waits_in_mount() {
  local process
  for process in "$1" $(pgrep --parent "$1" || :); do
    AWAIT_SECONDS=0 "$build/tests/await" blocked "$process" 2> /dev/null && return 0
  done
  return 1
}

# --- Shells ---

@test "bash: echo to peers/N sends, read from inbox receives" {
  pair
  sends "echo '$text' > 2/peers/1"
  receives 'read -r line < 1/inbox; echo "$line"'
}

@test "busybox ash: echo to peers/N sends, read from inbox receives" {
  pair
  sends "busybox ash -c \"echo '$text' > 2/peers/1\""
  shell=(busybox ash)
  receives 'read -r line < 1/inbox; echo "$line"'
}

@test "dash: echo to peers/N sends, read from inbox receives" {
  pair
  sends "dash -c \"echo '$text' > 2/peers/1\""
  shell=(dash)
  receives 'read -r line < 1/inbox; echo "$line"'
}

@test "bash: a loop reads line by line from one handle" {
  pair
  start reader bash -c 'while read -r line; do echo "got $line"; [[ $line != 3 ]] || break; done < 1/inbox'
  for i in 1 2 3; do echo $i > 2/peers/1; done
  finish reader
  same "$output" $'got 1\ngot 2\ngot 3'
}

@test "bash: mapfile and a here-document make one message" {
  pair
  cat > 2/peers/1 <<< $'one\ntwo'
  same "$(op 1/inbox r+nonblock read read)" $'read 8 one\\x0atwo\\x0a\nread EAGAIN'
}

@test "bash: read under a time limit gives up when nothing comes" {
  pair
  # bash has no time limit of its own for what stat calls a regular file.
  run limit timeout 0.3 bash -c 'read -r line < 1/inbox'
  same "$status" 124
  sends "echo '$text' > 2/peers/1"
}

# --- Coreutils ---

@test "cat sends a file" {
  pair
  echo "$text" > file
  sends "cat file > 2/peers/1"
}

@test "cat receives until it is ended: timeout 1 cat inbox" {
  pair
  echo one > 2/peers/1
  echo two > 2/peers/1
  run limit timeout 1 cat 1/inbox
  same "$status:$output" $'124:one\ntwo'
  sends "echo '$text' > 2/peers/1"
}

@test "busybox cat receives until it is ended" {
  pair
  echo one > 2/peers/1
  run limit timeout 1 busybox cat 1/inbox
  same "$status:$output" "124:one"
  sends "echo '$text' > 2/peers/1"
}

# head wants to go back to the end of the line, which it cannot here: it says so, and it is no error.
@test "head -n1 receives one message and ends" {
  pair
  receives 'head -n1 1/inbox 2> /dev/null'
  receives 'head -n1 < 1/inbox 2> /dev/null'
}

@test "head -n1 of a message of two lines leaves no harm" {
  pair
  dd status=none of=2/peers/1 <<< $'one\ntwo'
  same "$(limit head -n1 1/inbox 2> /dev/null)" "one"
  sends "echo '$text' > 2/peers/1"
}

@test "head -c takes as many bytes as it is told" {
  pair
  printf abcdef > 2/peers/1
  same "$(limit head -c 4 1/inbox)" "abcd"
}

@test "dd sends and receives one message a block" {
  pair
  sends "echo '$text' | dd of=2/peers/1 status=none"
  receives 'dd if=1/inbox bs=1M count=1 status=none'
}

@test "dd oflag=nonblock sends, and fails when the ring is full" {
  pair ring=4096
  sends "echo '$text' | dd of=2/peers/1 oflag=nonblock conv=notrunc status=none"
  fill_ring 2 1
  run limit bash -c "echo '$text' | dd of=2/peers/1 oflag=nonblock status=none"
  same "$status" 1
  like "$output" "Resource temporarily unavailable"
}

@test "dd iflag=nonblock receives, and fails when nothing is there" {
  pair
  run limit dd if=1/inbox iflag=nonblock bs=1M count=1 status=none
  same "$status" 1
  like "$output" "Resource temporarily unavailable"
  echo "$text" > 2/peers/1
  same "$(limit dd if=1/inbox iflag=nonblock bs=1M count=1 status=none)" "$text"
}

@test "dd cuts a file into messages of its block size" {
  pair
  head -c 1000 /dev/zero > file
  limit dd if=file of=2/peers/1 bs=300 status=none
  same "$(op 1/inbox r queued)" "queued 1000"
  same "$(op 1/inbox r+nonblock drain)" "drain 4 EAGAIN"
}

@test "tee sends what it passes on, to several domains" {
  pair
  start_domain 3
  permit 3 2
  sends "echo '$text' | tee 2/peers/1 2/peers/3" "$text"
  same "$(op 3/inbox r+nonblock read)" "read 15 $text"'\x0a'
}

@test "tee says that one of several domains refuses, and sends to the other" {
  pair
  start_domain 3
  run limit bash -c "echo '$text' | tee 2/peers/3 2/peers/1"
  same "$status" 1
  like "$output" "2/peers/3: Permission denied"
  same "$(op 1/inbox r+nonblock read)" "read 15 $text"'\x0a'
}

@test "cp sends a file" {
  pair
  echo "$text" > file
  sends "cp file 2/peers/1"
}

@test "cp of a large file sends it in several messages, and in order" {
  pair
  blob 3000000 file
  start reader head -c 3000000 1/inbox
  limit cp file 2/peers/1
  finish reader
  cmp file reader.out
}

@test "cp receives until it is ended" {
  pair
  echo "$text" > 2/peers/1
  run limit timeout 1 cp 1/inbox got
  same "$status" 124
  same "$(cat got)" "$text"
}

@test "tail -n waits for an end that does not come, and can be ended" {
  pair
  run limit timeout 1 tail -n1 1/inbox
  same "$status" 124
}

@test "tail -f says that it cannot seek, and takes nothing" {
  pair
  echo "$text" > 2/peers/1
  run limit tail -c+1 -f 1/inbox
  same "$status" 1
  like "$output" "Illegal seek"
  same "$(op 1/inbox r+nonblock read)" "read 15 $text"'\x0a'
}

@test "wc counts a message that head takes" {
  pair
  head -c 10000 /dev/zero > 2/peers/1
  same "$(limit head -c 10000 1/inbox | wc -c)" 10000
}

@test "wc -c of the inbox waits for the end, and can be ended" {
  pair
  run limit timeout 1 wc -c 1/inbox
  same "$status" 124
}

@test "ls -l, stat, find and du show the tree and wait for nothing" {
  pair
  printf hello > 2/peers/1
  mkdir 1/endpoints/clipboard
  same "$(limit ls 1)" $'acl\nendpoints\ninbox\ninbox.from\npeers\nself\nstats\nstreams'
  like "$(limit ls -lR 1)" "peers"
  like "$(limit ls -l 1/inbox)" "^-rw------- .* 0 "
  same "$(limit stat -c '%A %F' 1/acl)" "-rw------- regular file"
  same "$(limit stat -c %a 1/acl 1/peers/2 1/self 1/stats)" $'600\n600\n444\n444'
  same "$(limit find 1 | sort)" "$(printf '1%s\n' '' /acl /endpoints /endpoints/clipboard \
    /endpoints/clipboard/acl /endpoints/clipboard/inbox /endpoints/clipboard/inbox.from /endpoints/clipboard/peers \
    /endpoints/clipboard/stats /inbox /inbox.from /peers /peers/2 /self /stats /streams)"
  limit du -s 1
  limit df 1
  limit stat -f 1
}

@test "numbers of files stay the same from one stat to the next, and differ" {
  pair
  first=$(limit stat -c %i 1/acl 1/inbox 1/inbox.from 1/peers 1/peers/2 1/self 1/stats)
  printf hello > 2/peers/1
  same "$(limit stat -c %i 1/acl 1/inbox 1/inbox.from 1/peers 1/peers/2 1/self 1/stats)" "$first"
  same "$(sort -u <<< "$first" | wc -l)" 7
}

@test "self says who this domain is" {
  start_domain 7 name=web ring=8192 max_msg=1000
  like "$(cat 7/self)" "7"
  like "$(cat 7/self)" "web"
  like "$(cat 7/self)" "local"
  like "$(cat 7/self)" "8192"
  like "$(cat 7/self)" "1000"
}

@test "stats are in Prometheus' text format and count messages" {
  pair
  printf hello > 2/peers/1
  op 1/inbox r read
  cat 1/stats
  # Every line is a comment or NAME{LABELS} NUMBER.
  run grep -vE '^(#.*|[a-z_]+(\{[^}]*\})? [0-9.e+-]+)$' 1/stats
  same "$output" ""
  grep -E '^sivc_[a-z_]*received[a-z_]*(\{[^}]*\})? 1$' 1/stats
  grep -E '^sivc_[a-z_]*sent[a-z_]*(\{[^}]*\})? 1$' 2/stats
}

# --- Python ---

python() {
  limit /usr/bin/python3 -I -c "$1"
}

@test "Python: os.read and os.write" {
  pair
  same "$(python '
import os
out = os.open("2/peers/1", os.O_WRONLY)
box = os.open("1/inbox", os.O_RDONLY)
print(os.write(out, b"hello"), os.write(out, b"again"))
print(os.read(box, 100), os.read(box, 3), os.read(box, 100))
')" "5 5
b'hello' b'aga' b'in'"
}

@test "Python: open() with and without a buffer" {
  pair
  same "$(python '
with open("2/peers/1", "w") as out:
    out.write("one\n")
    out.write("two\n")
with open("2/peers/1", "wb", buffering=0) as out:
    out.write(b"three\n")
with open("1/inbox", "rb", buffering=0) as box:
    print(box.read(100))
with open("1/inbox") as box:
    print(repr(box.readline()))
')" "b'one\\ntwo\\n'
'three\\n'"
}

@test "Python: errors have their own exceptions" {
  start_domain 1
  start_domain 2
  same "$(python '
import os
for how, path in (("w", "2/peers/1"), ("w", "2/peers/99999"), ("r", "1/inbox")):
    try:
        if how == "w":
            os.write(os.open(path, os.O_WRONLY), b"x")
        else:
            os.read(os.open(path, os.O_RDONLY | os.O_NONBLOCK), 1)
    except OSError as error:
        print(type(error).__name__)
')" $'PermissionError\nFileNotFoundError\nBlockingIOError'
}

@test "Python: select" {
  pair
  same "$(python '
import os, select
out = os.open("2/peers/1", os.O_WRONLY)
box = os.open("1/inbox", os.O_RDONLY)
print(select.select([box], [], [], 0.1)[0] == [])
print(select.select([], [out], [], 5)[1] == [out])
os.write(out, b"x")
print(select.select([box], [], [], 5)[0] == [box])
os.read(box, 1)
print(select.select([box], [], [], 0.1)[0] == [])
')" $'True\nTrue\nTrue\nTrue'
}

@test "Python: poll" {
  pair
  same "$(python '
import os, select
out = os.open("2/peers/1", os.O_WRONLY)
box = os.open("1/inbox", os.O_RDONLY)
poll = select.poll()
poll.register(box, select.POLLIN)
print(poll.poll(100))
if os.fork() == 0:
    os.write(out, b"x")
    os._exit(0)
print(poll.poll(5000) == [(box, select.POLLIN)])
os.wait()
')" $'[]\nTrue'
}

@test "Python: epoll, level triggered" {
  pair
  same "$(python '
import os, select
out = os.open("2/peers/1", os.O_WRONLY)
box = os.open("1/inbox", os.O_RDONLY | os.O_NONBLOCK)
epoll = select.epoll()
epoll.register(box, select.EPOLLIN)
print(epoll.poll(0.1))
for message in b"a", b"b", b"c":
    if os.fork() == 0:
        os.write(out, message)
        os._exit(0)
    print(epoll.poll(5) == [(box, select.EPOLLIN)], os.read(box, 10))
    os.wait()
')" "[]
True b'a'
True b'b'
True b'c'"
}

@test "Python: epoll, edge triggered, as it has to be used: read until there is no more" {
  pair
  same "$(python '
import os, select
out = os.open("2/peers/1", os.O_WRONLY)
box = os.open("1/inbox", os.O_RDONLY | os.O_NONBLOCK)
epoll = select.epoll()
epoll.register(box, select.EPOLLIN | select.EPOLLET)
print(epoll.poll(0.1))
for messages in (b"a",), (b"b", b"c"), (b"d",):
    if os.fork() == 0:
        for message in messages:
            os.write(out, message)
        os._exit(0)
    os.wait()
    print(epoll.poll(5) == [(box, select.EPOLLIN)])
    try:
        while True:
            print(os.read(box, 10))
    except BlockingIOError:
        pass
')" "[]
True
b'a'
True
b'b'
b'c'
True
b'd'"
}

@test "Python: selectors, with several files of several domains" {
  pair
  same "$(python '
import os, selectors
box = [os.open(f"{n}/inbox", os.O_RDONLY | os.O_NONBLOCK) for n in (1, 2)]
out = [os.open("2/peers/1", os.O_WRONLY), os.open("1/peers/2", os.O_WRONLY)]
selector = selectors.DefaultSelector()
for n in (0, 1):
    selector.register(box[n], selectors.EVENT_READ, n)
print(selector.select(0.1))
os.write(out[1], b"to 2")
print([key.data for key, _ in selector.select(5)])
os.write(out[0], b"to 1")
ready = set()
while len(ready) < 2:
    ready |= {key.data for key, _ in selector.select(5)}
print([os.read(box[n], 10) for n in sorted(ready)])
print(selector.select(0.1))
')" "[]
[1]
[b'to 1', b'to 2']
[]"
}

@test "Python: asyncio waits for messages" {
  pair
  same "$(python '
import asyncio, os
async def main():
    box = os.open("1/inbox", os.O_RDONLY | os.O_NONBLOCK)
    out = os.open("2/peers/1", os.O_WRONLY)
    loop, got = asyncio.get_running_loop(), asyncio.Queue()
    loop.add_reader(box, lambda: got.put_nowait(os.read(box, 100)))
    for i in range(3):
        os.write(out, b"%d" % i)
        print(await asyncio.wait_for(got.get(), 5))
asyncio.run(main())
')" "b'0'
b'1'
b'2'"
}

# --- socat ---

@test "socat sends from a pipe" {
  pair
  sends "echo '$text' | socat -u STDIN OPEN:2/peers/1,wronly"
}

@test "socat receives" {
  pair
  start reader socat -u OPEN:1/inbox,rdonly STDOUT
  blocked_child reader
  echo "$text" > 2/peers/1
  shows reader "$text"
  ends_by TERM reader
}

@test "socat joins two domains through a peer's file, both ways" {
  pair
  start server socat OPEN:1/peers/2,rdwr EXEC:'busybox cat'
  start_op client 2/peers/1 rw write=ping read write=pong read
  finish client
  same "$output" $'write 4\nread 4 ping\nwrite 4\nread 4 pong'
  ends_by TERM server
}

@test "socat makes a socket of a domain, as a gateway" {
  pair
  start gateway socat -t "$patience" UNIX-LISTEN:socket OPEN:2/peers/1,rdwr
  eventually test -S socket
  echo hello > question
  start_input=question start client socat -t "$patience" STDIO UNIX-CONNECT:socket
  same "$(op 1/peers/2 rw read write=answer)" $'read 6 hello\\x0a\nwrite 6'
  eventually grep -q answer client.out
  kill "${job_pid[client]}" "${job_pid[gateway]}"
  finish client
}

# --- Programs that copy or look at files ---

@test "backup tools and file(1) take no messages" {
  pair
  local i
  for i in 1 2 3; do echo "message $i" > 2/peers/1; done
  mkdir restored
  limit tar -cf backup.tar 1
  limit busybox tar -cf busybox.tar 1
  limit rsync -a 1/ rsync/
  if command -v cpio > /dev/null; then
    find 1 | limit cpio -o --quiet > backup.cpio
  fi
  limit file 1/inbox 1/peers/2 1/acl > /dev/null
  limit du -a 1 > /dev/null
  # The copies have the files, empty.
  limit tar -xf backup.tar -C restored
  same "$(stat -c %s restored/1/inbox rsync/inbox | xargs)" "0 0"
  same "$(cat restored/1/acl rsync/acl)" $'allow 2\nallow 2'
  same "$(op 1/inbox r+nonblock read read read read)" \
    $'read 10 message 1\\x0a\nread 10 message 2\\x0a\nread 10 message 3\\x0a\nread EAGAIN'
}

@test "the output of a program with a buffer is one message" {
  pair
  start_op reader 1/inbox r read
  blocked reader
  # Not seq: its buffer is of 8192 bytes, whatever st_blksize says.
  python3 -E -c 'for i in range(1000000001, 1000001001): print(i)' > 2/peers/1
  finish reader
  like "$output" '^read 11000 1000000001'
  same "$(stat -c %o 1/inbox 1/inbox.from 1/peers/2 1/acl 1/stats 1/self | sort -u)" 131072
}
