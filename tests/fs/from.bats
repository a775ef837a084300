#!/usr/bin/env bats
# inbox.from: the queue of inbox, each message behind a line DOMID LENGTH NAME.

load helpers

@test "each read gives one message at most, behind the line that says who sent it" {
  start_domain 1
  start_domain 2 name=web
  start_domain 3
  permit 1 2 3
  printf one > 2/peers/1
  printf three > 2/peers/1
  same "$(op 1/inbox.from r+nonblock read sender read read)" \
    $'read 11 2 3 web\\x0aone\nsender 2\nread 13 2 5 web\\x0athree\nread EAGAIN'
  printf two > 3/peers/1
  same "$(op 1/inbox.from r read)" 'read 9 3 3 -\x0atwo'
}

@test "it is the queue of inbox" {
  pair
  printf one > 2/peers/1
  printf two > 2/peers/1
  same "$(op 1/inbox r read)" "read 3 one"
  same "$(op 1/inbox.from r+nonblock read read)" $'read 9 2 3 -\\x0atwo\nread EAGAIN'
}

@test "it is read in parts of any size: first the line, then the message" {
  pair
  printf hello > 2/peers/1
  printf x > 2/peers/1
  same "$(op 1/inbox.from r+nonblock read=1 read=2 queued read=4 queued read=2 queued read read=6 read read)" \
    $'read 1 2\nread 2  5\nqueued 6\nread 4  -\\x0ah\nqueued 5\nread 2 el\nqueued 3\nread 2 lo\nread 6 2 1 -\\x0a\nread 1 x\nread EAGAIN'
}

@test "a reader waits, and poll, FRAMED, size and mode are as they are documented" {
  pair
  start_op reader 1/inbox.from r read=3 poll=in read poll=in
  blocked reader
  printf hello > 2/peers/1
  finish reader
  same "$output" $'read 3 2 5\npoll in\nread 8  -\\x0ahello\npoll -'
  printf hello > 2/peers/1
  same "$(op 1/inbox.from r framed=1 size fionread poll=in)" \
    $'framed ENOTTY\nsize 0\nfionread 0\npoll in'
  same "$(op 1/inbox.from w write=x)" "open EACCES"
}

@test "who may read inbox may read inbox.from, and nobody else" {
  pair
  fails as_user cat 1/inbox.from 2> /dev/null
  chmod 0604 1/inbox
  same "$(stat -c %a 1/inbox.from)" 604
  printf hello > 2/peers/1
  same "$(as_user "$build/tests/fileop" 1/inbox.from r read)" 'read 11 2 5 -\x0ahello'
  chmod 0600 1/inbox.from
  fails as_user cat 1/inbox 2> /dev/null
}

@test "what was not read goes back when the handle is closed: all of a message of which only the line was begun" {
  pair
  printf hello > 2/peers/1
  same "$(op 1/inbox.from r read=2)" "read 2 2 "
  same "$(op 1/inbox.from r read=8)" 'read 8 2 5 -\x0ahe'
  same "$(op 1/inbox.from r read)" 'read 9 2 3 -\x0allo'
}

@test "a reader that is killed in the line loses nothing" {
  pair
  printf hello > 2/peers/1
  start_op reader 1/inbox.from r read=4 pause
  shows reader pause
  ends_by KILL reader
  same "$(op 1/inbox r read)" "read 5 hello"
}

@test "a shell reads binary messages, and knows who sent each" {
  local domain length name i
  start_domain 1
  start_domain 2 name=web
  start_domain 3
  permit 1 2 3
  blob 50000 sent2
  printf 'a\0b\nc' > sent3
  for i in 2 3; do limit dd if="sent$i" of="$i/peers/1" bs=100000 status=none; done
  exec {box}< 1/inbox.from
  for i in 2 3; do
    read -rt "$patience" domain length name <&"$box"
    head -c "$length" <&"$box" > "got$domain"
    echo "$domain $length $name"
  done > lines
  exec {box}<&-
  same "$(sort lines)" $'2 50000 web\n3 5 -'
  cmp sent2 got2
  cmp sent3 got3
}

@test "a shell reads lines, and knows who sent each" {
  pair
  printf 'hello world\n' > 2/peers/1
  printf 'again\n' > 2/peers/1
  exec {box}< 1/inbox.from
  for i in 1 2; do
    read -rt "$patience" domain _ <&"$box"
    read -rt "$patience" line <&"$box"
    echo "$domain: $line"
  done > lines
  exec {box}<&-
  same "$(cat lines)" $'2: hello world\n2: again'
}

@test "so do the shells and tools that read ahead: a read ends with the message" {
  local shell
  pair
  for shell in 'dash' 'busybox sh'; do
    command -v "${shell%% *}" > /dev/null || continue
    op 2/peers/1 w write=$'a\nb' write=c
    # shellcheck disable=SC2086 # a command and its argument
    same "$(limit $shell -c 'exec 3< 1/inbox.from
      for i in 1 2; do
        read -r from length name <&3; echo "$from $length $name"; head -c "$length" <&3; echo
      done')" $'2 3 -\na\nb\n2 1 -\nc'
  done
  op 2/peers/1 w write=$'a\nb' write=c
  same "$(limit python3 -c '
box = open("1/inbox.from", "rb")
for i in range(2):
    domain, length, name = box.readline().split()
    print(domain, name, box.read(int(length)))
')" $'b\'2\' b\'-\' b\'a\\nb\'\nb\'2\' b\'-\' b\'c\''
}

@test "the name is what is known now" {
  pair
  printf one > 2/peers/1
  printf two > 2/peers/1
  same "$(op 1/inbox.from r read)" 'read 9 2 3 -\x0aone'
  stop_domain 2
  start_domain 2 name=web
  eventually named web
}

named() {
  printf three > 2/peers/1
  op 1/inbox.from r+nonblock read read | grep -q " $1"
}

@test "a name in the directory that could be taken for something else is none" {
  pair
  printf one > 2/peers/1
  mkdir "hv/2.1=web 3 x" $'hv/2.2=a\n3 1 b'
  same "$(op 1/inbox.from r read)" 'read 9 2 3 -\x0aone'
  rmdir hv/2.[12]*
}

@test "it ends with its endpoint" {
  pair
  mkdir 1/endpoints/box
  start_op reader 1/endpoints/box/inbox.from r read read
  blocked reader
  rmdir 1/endpoints/box
  finish reader
  same "$output" $'read ENODEV\nread ENODEV'
}
