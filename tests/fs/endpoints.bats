#!/usr/bin/env bats
# Endpoints: to a domain what ports are to a host.

load helpers

@test "mkdir in endpoints/ makes one, with files of its own" {
  start_domain 1
  mkdir 1/endpoints/clipboard
  same "$(ls 1/endpoints)" "clipboard"
  same "$(ls 1/endpoints/clipboard)" $'acl\ninbox\ninbox.from\npeers\nstats'
}

@test "endpoints share no permission and no message" {
  pair
  mkdir 1/endpoints/clipboard 2/endpoints/clipboard
  same "$(op 2/endpoints/clipboard/peers/1 w write=x)" "write EACCES"
  echo "allow 2" > 1/endpoints/clipboard/acl
  printf clip > 2/endpoints/clipboard/peers/1
  printf main > 2/peers/1
  same "$(op 1/endpoints/clipboard/inbox r+nonblock read read)" $'read 4 clip\nread EAGAIN'
  same "$(op 1/inbox r+nonblock read read)" $'read 4 main\nread EAGAIN'
}

@test "rmdir closes an endpoint: EPIPE for its senders, whoever waits included" {
  pair ring=4096
  mkdir 1/endpoints/clipboard 2/endpoints/clipboard
  echo "allow 2" > 1/endpoints/clipboard/acl
  op 2/endpoints/clipboard/peers/1 w+nonblock until=1000
  start_op writer 2/endpoints/clipboard/peers/1 w fill=1000
  blocked writer
  rmdir 1/endpoints/clipboard
  finish writer
  same "$output" "fill EPIPE"
  [[ ! -e 1/endpoints/clipboard ]]
  # The other endpoint goes on.
  same "$(op 2/peers/1 w write=x)" "write 1"
}

@test "a reader that waits in an endpoint that is closed does not wait for ever" {
  start_domain 1
  mkdir 1/endpoints/clipboard
  start_op reader 1/endpoints/clipboard/inbox r read
  blocked reader
  if limit rmdir 1/endpoints/clipboard 2> rmdir.err; then
    finish reader
    like "$output" "^read (0|E[A-Z]+)$"
  else
    like "$(cat rmdir.err)" "busy"
    ends_by KILL reader
    rmdir 1/endpoints/clipboard
  fi
}

@test "an endpoint made again begins with nobody permitted and nothing queued" {
  pair
  mkdir 1/endpoints/clipboard 2/endpoints/clipboard
  echo "allow 2" > 1/endpoints/clipboard/acl
  printf old > 2/endpoints/clipboard/peers/1
  rmdir 1/endpoints/clipboard
  mkdir 1/endpoints/clipboard
  # It has published nothing for us; that it was closed is the last that we heard of it.
  like "$(op 2/endpoints/clipboard/peers/1 w write=x)" "^write E(ACCES|PIPE)$"
  echo "allow 2" > 1/endpoints/clipboard/acl
  same "$(op 2/endpoints/clipboard/peers/1 w write=new)" "write 3"
  same "$(op 1/endpoints/clipboard/inbox r+nonblock read read)" $'read 3 new\nread EAGAIN'
}

@test "a name is 1 to 63 of letters, digits, _ and -" {
  start_domain 1
  long=$(printf 'x%.0s' {1..63})
  limit mkdir "1/endpoints/$long" 1/endpoints/A_b-9
  rmdir "1/endpoints/$long" 1/endpoints/A_b-9
  for name in "${long}x" 'a b' 'a.b' 'ä' 'a*' '.hidden'; do
    fails limit mkdir "1/endpoints/$name" 2> error
    like "$(cat error)" "Invalid argument|File name too long"
  done
  same "$(ls 1/endpoints)" ""
}

@test "a name that is taken is EEXIST, also that of the endpoint of the mount" {
  start_domain 1
  mkdir 1/endpoints/clipboard
  for name in clipboard default; do
    run limit mkdir 1/endpoints/$name
    same "$status" 1
    like "$output" "File exists"
  done
}

@test "nothing but endpoints can be made in endpoints/" {
  start_domain 1
  fails limit bash -c 'echo x > 1/endpoints/file' 2> /dev/null
  fails limit ln -s x 1/endpoints/link 2> /dev/null
  fails limit rmdir 1/endpoints/none 2> error
  like "$(cat error)" "No such file"
  mkdir 1/endpoints/clipboard
  fails limit mkdir 1/endpoints/clipboard/sub 2> /dev/null
  fails limit rmdir 1/endpoints/clipboard/peers 2> /dev/null
}

@test "many endpoints can be made and closed again and again" {
  start_domain 1
  for ((round = 0; round < 3; round++)); do
    (cd 1/endpoints && mkdir $(seq -f 'e%g' 100))
    same "$(ls 1/endpoints | wc -l)" 100
    (cd 1/endpoints && rmdir ./*)
  done
}

@test "an endpoint has modes of its own" {
  start_domain 1
  mkdir 1/endpoints/clipboard
  chmod 0666 1/endpoints/clipboard/acl
  same "$(stat -c %a 1/acl 1/endpoints/clipboard/acl)" $'600\n666'
}

@test "the mount option endpoint=NAME serves that endpoint, beside another process of the domain" {
  start_domain 1
  mkdir 1b
  serve 1b 1b dir=hv domid=1 endpoint=clipboard
  start_domain 2
  mkdir 2/endpoints/clipboard
  echo "allow 2" > 1b/acl
  printf clip > 2/endpoints/clipboard/peers/1
  same "$(op 1b/inbox r+nonblock read)" "read 4 clip"
  same "$(op 2/peers/1 w write=x)" "write EACCES"
  run limit mkdir 1/endpoints/clipboard
  same "$status" 1
  like "$output" "busy"
}
