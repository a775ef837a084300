#!/usr/bin/env bats
# The examples, as a person runs them.

load ../fs/helpers

examples=$repo/examples

# vms ENDPOINT: domains 1 and 2 (web), with that endpoint, each permitted to the other.
vms() {
  start_domain 1 name=home
  start_domain 2 name=web
  mkdir "1/$1" "2/$1"
  echo "allow 2" > "1/$1/acl"
  echo "allow 1" > "2/$1/acl"
}

# example NAME COMMAND...: in the background, with a process group that `ends` ends.
example() {
  local name=$1
  shift
  start "$name" timeout 100 "$@"
}

ends() {
  kill -TERM "${job_pid[$1]}"
  finish "$1"
}

@test "chat.sh: a line that is typed here appears there, without what a terminal would obey" {
  vms endpoints/chat
  start_input=/dev/null example there "$examples/chat.sh" 1/endpoints/chat web
  finish there # its user has typed the end of the file
  mkfifo typed
  exec {keys}<> typed
  start_input=typed example here "$examples/chat.sh" 1/endpoints/chat web
  printf 'hello \033[2Jthere\n' | limit "$examples/chat.sh" 2/endpoints/chat home
  eventually grep -qx 'hello \[2Jthere' here.out
  kill -TERM "${job_pid[here]}"
  finish here
}

@test "collect-logs.sh: a file for each VM that sends, and bytes as they are" {
  vms endpoints/logs
  blob 5000 binary
  example logs "$examples/collect-logs.sh" 1/endpoints/logs logs
  dd if=binary of=2/endpoints/logs/peers/1 bs=5000 status=none
  echo "started" > 2/endpoints/logs/peers/1
  echo "at home" > 1/endpoints/logs/peers/1 || echo "allow 1" >> 1/endpoints/logs/acl
  echo "at home" > 1/endpoints/logs/peers/1
  eventually grep -qx "at home" logs/home.log
  cat binary <(echo started) | cmp - logs/web.log
  ends logs
}

@test "clipboard.sh: text and images arrive, and nothing else" {
  vms streams/clipboard
  mkdir bin
  # In the place of X: a file for what is in the clipboard.
  cat > bin/xclip << 'END'
#!/bin/sh
case $* in
  *TARGETS) cat "$CLIP.type" ;;
  *-i*) for type; do :; done; echo "$type" > "$CLIP.type"; cat > "$CLIP.new"; mv "$CLIP.new" "$CLIP" ;;
  *) cat "$CLIP" ;;
esac
END
  chmod +x bin/xclip
  blob 200000 picture
  example receiver env -u WAYLAND_DISPLAY PATH="$PWD/bin:$PATH" CLIP="$PWD/there" "$examples/clipboard.sh" receive 1/streams/clipboard
  cp picture here
  echo image/png > here.type
  local sends=(env -u WAYLAND_DISPLAY "PATH=$PWD/bin:$PATH" "CLIP=$PWD/here" "$examples/clipboard.sh" send 2/streams/clipboard home)
  limit "${sends[@]}"
  eventually cmp -s picture there
  printf 'text/evil\nno' > 2/streams/clipboard/peers/1 || : # it is not read to its end
  echo text/plain > here.type
  echo "some text" > here
  limit "${sends[@]}"
  eventually grep -qx "some text" there
  same "$(cat there.type)" text/plain
  ends receiver
}

@test "sign.sh: a letter is signed, and the key stays" {
  vms streams/sign
  openssl genpkey -algorithm ed25519 -out key.pem
  openssl pkey -in key.pem -pubout -out key.pub
  example keys "$repo/mountscripts/sivc-serve" 1/streams/sign -- "$examples/sign.sh" key.pem
  blob 10000 letter
  limit "$repo/mountscripts/sivc-call" 2/streams/sign home < letter > letter.sig || { cat keys.out; return 1; }
  openssl pkeyutl -verify -pubin -inkey key.pub -rawin -in letter -sigfile letter.sig
  eventually grep -qx "signed 10000 bytes for web" keys.out
  ends keys
}

@test "run-allowed.sh: runs what is allowed, and nothing else" {
  vms streams/run
  example runner "$repo/mountscripts/sivc-serve" 1/streams/run -- "$examples/run-allowed.sh"
  like "$(echo disk | limit "$repo/mountscripts/sivc-call" 2/streams/run home)" "Filesystem"
  # shellcheck disable=SC2016 # that is what is sent
  echo 'disk; touch ran $(touch ran)' > request
  fails limit "$repo/mountscripts/sivc-call" 2/streams/run home < request
  [[ ! -e ran ]]
  ends runner
}

@test "drop.sh: what came whole is there, under the sender's name; what was cut is not" {
  vms streams/drop
  example drop "$examples/drop.sh" 1/streams/drop drop
  mkdir tree
  blob 100000 tree/file
  tar c tree > 2/streams/drop/peers/1
  eventually compgen -G 'drop/web.*/tree/file' > /dev/null
  cmp tree/file drop/web.*/tree/file
  bash -c 'head -c 50000 tree/file > part; tar c tree | head -c 60000; kill -KILL $$' > 2/streams/drop/peers/1 || :
  eventually grep -q "what web sent was cut" drop.out
  same "$(ls -A drop | wc -l)" 1
  ends drop
}

@test "framed.py: lines are messages, and an asyncio reader prints them" {
  start_domain 1 name=home
  start_domain 2
  permit 1 2
  example reader python3 "$examples/framed.py" 1
  seq 3000 > lines
  limit python3 "$examples/framed.py" 2 1 < lines
  eventually grep -qx "2 b'3000\\\\n'" reader.out
  same "$(wc -l < reader.out)" 3000
  (($(wc -l < "$examples/framed.py") <= 60))
  ends reader
}
