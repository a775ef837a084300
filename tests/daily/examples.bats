#!/usr/bin/env bats
# The examples, as a person runs them.

load ../fs/helpers

examples=$repo/examples

# Servers of Debian that examples work with.  They are unpacked and not installed, so that none starts here.
setup_file() {
  export BORROWED=$BATS_FILE_TMPDIR/root
  mkdir -p "$BATS_FILE_TMPDIR/debs/partial" "$BORROWED"
  timeout 100 apt-get --quiet=2 --yes --no-install-recommends --download-only -o Debug::NoLocking=1 \
    -o APT::Sandbox::User=root -o Dir::Cache::archives="$BATS_FILE_TMPDIR/debs" install mosquitto mosquitto-clients rsyslog
  for deb in "$BATS_FILE_TMPDIR"/debs/*.deb; do
    dpkg-deb -x "$deb" "$BORROWED"
  done
}

# borrow: from here on they are found, and so are their libraries.
borrow() {
  libraries=$BORROWED/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)
  export PATH=$BORROWED/usr/bin:$BORROWED/usr/sbin:$PATH LD_LIBRARY_PATH=$libraries
}

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

# fake_clipboards: in the place of X and Wayland, files for what is in the clipboard.
fake_clipboards() {
  mkdir bin
  cat > bin/set-clipboard << 'END'
#!/bin/sh
echo "$1" > "$CLIP.type"; cat > "$CLIP.new"; mv "$CLIP.new" "$CLIP"
END
  cat > bin/xclip << 'END'
#!/bin/sh
case $* in
  *'-o -t TARGETS') cat "$CLIP.type" ;;
  *'-i -t '*) set-clipboard "${5:?}" ;;
  *"-o -t $(cat "$CLIP.type")") cat "$CLIP" ;;
  *) exit 1 ;;
esac
END
  cat > bin/wl-paste << 'END'
#!/bin/sh
case $* in
  --list-types) cat "$CLIP.type" ;;
  "--no-newline --type $(cat "$CLIP.type")") cat "$CLIP" ;;
  *) exit 1 ;;
esac
END
  printf '#!/bin/sh\n[ "$1" = --type ] && set-clipboard "$2"\n' > bin/wl-copy
  chmod +x bin/*
  export PATH=$PWD/bin:$PATH
}

@test "clipboard.sh: text and images arrive, from X and Wayland to either, and nothing else" {
  vms streams/clipboard
  fake_clipboards
  blob 200000 picture
  local here there sends
  for there in X Wayland; do
    example receiver env WAYLAND_DISPLAY="${there/X/}" CLIP="$PWD/there" "$examples/clipboard.sh" receive 1/streams/clipboard
    for here in X Wayland; do
      rm -f there
      sends=(env WAYLAND_DISPLAY="${here/X/}" "CLIP=$PWD/here" "$examples/clipboard.sh" send 2/streams/clipboard home)
      cp picture here
      echo image/png > here.type
      limit "${sends[@]}"
      eventually cmp -s picture there
      printf 'text/evil\nno' > 2/streams/clipboard/peers/1 || : # it is not read to its end
      echo text/plain > here.type
      echo "from $here to $there" > here
      limit "${sends[@]}"
      eventually grep -qx "from $here to $there" there
      same "$(cat there.type)" text/plain
    done
    ends receiver
  done
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

@test "drop.sh: files and directories that came whole are there, under the sender's name; what was cut is not" {
  vms streams/drop
  example drop "$examples/drop.sh" receive 1/streams/drop drop
  mkdir -p "tree/with spaces"
  blob 100000 "tree/with spaces/file"
  echo report > report
  limit "$examples/drop.sh" send 2/streams/drop home report ./tree
  eventually compgen -G 'drop/web.*/SHA256SUMS' > /dev/null
  cmp report drop/web.*/report
  cmp "tree/with spaces/file" drop/web.*/tree/with\ spaces/file
  bash -c 'tar c report tree | head -c 60000; kill -KILL $$' > 2/streams/drop/peers/1 || :
  eventually grep -q "what web sent was cut" drop.out
  same "$(ls -A drop | wc -l)" 1
  ends drop
}

@test "drop.sh: what does not have its checksums, and what is no file, is not taken" {
  vms streams/drop
  example drop "$examples/drop.sh" receive 1/streams/drop drop
  echo report > report
  sha256sum report > SHA256SUMS
  tar c report SHA256SUMS > right.tar
  echo changed > report
  tar c report SHA256SUMS > changed.tar
  tar c SHA256SUMS > less.tar
  echo report > report
  touch more && tar c report more SHA256SUMS > more.tar
  mkfifo pipe && tar c report pipe SHA256SUMS > pipe.tar
  ln -s /etc/passwd link && tar c report link SHA256SUMS > link.tar
  ln -sf /etc/passwd SHA256SUMS && tar c report SHA256SUMS > sums.tar
  local bad
  for bad in changed less more pipe link sums; do
    cat $bad.tar > 2/streams/drop/peers/1
  done
  cat right.tar > 2/streams/drop/peers/1
  eventually compgen -G 'drop/web.*/report' > /dev/null
  same "$(grep -c "is not what it was there" drop.out)" 6
  same "$(ls -A drop | wc -l)" 1
  ends drop
}

@test "git-remote-sivc: a repository in a VM without a network is cloned, pushed to and fetched from" {
  vms streams/git
  export GIT_CONFIG_GLOBAL=$PWD/gitconfig SIVC=$PWD/2 PATH=$examples:$repo/mountscripts:$PATH
  git config --global user.name web && git config --global user.email web@example.org
  git config --global init.defaultBranch main && git config --global safe.directory '*'
  git init --quiet --bare srv/project.git
  example daemon "$repo/mountscripts/sivc-serve" 1/streams/git -- \
    unshare --net git daemon --inetd --base-path="$PWD/srv" --export-all --enable=receive-pack
  limit git clone --quiet sivc://home/project.git work
  blob 3000000 work/data
  git -C work add data
  git -C work commit --quiet -m "data"
  limit git -C work push --quiet origin main
  same "$(git -C srv/project.git rev-parse main)" "$(git -C work rev-parse main)"
  limit git clone --quiet sivc://home/project.git again
  cmp work/data again/data
  git -C work commit --quiet --allow-empty -m "more"
  limit git -C work push --quiet
  limit git -C again pull --quiet
  same "$(git -C again rev-parse HEAD)" "$(git -C work rev-parse HEAD)"
  # Nothing outside of the place, and nothing for who is not permitted.
  run limit git clone --quiet sivc://home/../project.git no
  same "$status" 128
  echo "deny 2" > 1/streams/git/acl
  run limit git -C again fetch --quiet
  same "$status" 128
  like "$output" "Permission denied"
  ends daemon
}

free_port() {
  local port
  while port=$((RANDOM % 10000 + 20000)); do
    (: <> "/dev/tcp/127.0.0.1/$port") 2> /dev/null || break
  done
  echo "$port"
}

@test "mqtt.sh: a VM publishes at a broker that it cannot reach, under its own name, and gets what is for it" {
  vms endpoints/mqtt
  borrow
  local port
  port=$(free_port)
  printf 'listener %d 127.0.0.1\nallow_anonymous true\nuser root\n' "$port" > mosquitto.conf
  example broker mosquitto -c mosquitto.conf
  eventually mosquitto_pub -p "$port" -t ready -n
  example bridge "$examples/mqtt.sh" 1/endpoints/mqtt -h 127.0.0.1 -p "$port"
  example listener mosquitto_sub -p "$port" -v -t 'from/#'
  eventually published
  { echo '#'; echo everything; } | dd of=2/endpoints/mqtt/peers/1 bs=64K iflag=fullblock status=none
  eventually grep -q "a message of web was not published" bridge.out
  # To web, any bytes; and to nobody.
  blob 40000 payload
  mosquitto_pub -p "$port" -r -t to/web/lamp/set -f payload
  mosquitto_pub -p "$port" -r -t to/../acl/set -m 'allow *'
  mosquitto_pub -p "$port" -r -t to/nobody/set -m off
  limit dd if=2/endpoints/mqtt/inbox bs=512K count=1 of=got status=none
  { echo lamp/set; cat payload; } | cmp - got
  same "$(cat 1/endpoints/mqtt/acl)" "allow 2"
  ends bridge
  ends listener
  ends broker
}

published() {
  { echo lamp/state; echo on; } | dd of=2/endpoints/mqtt/peers/1 bs=64K iflag=fullblock status=none
  grep -qx "from/web/lamp/state on" listener.out
}

@test "collect-logs.sh: what rsyslog writes with the line that it names is in the file of its VM" {
  vms endpoints/logs
  example logs "$examples/collect-logs.sh" 1/endpoints/logs logs
  borrow
  local action
  action=$(grep -o 'action(type="omfile".*)' "$examples/collect-logs.sh")
  like "$action" '"/sivc/endpoints/logs/peers/0"'
  cat > rsyslog.conf << END
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="$PWD/log.socket")
${action//\/sivc\/endpoints\/logs\/peers\/0/$PWD/2/endpoints/logs/peers/1}
END
  example rsyslog rsyslogd -n -f "$PWD/rsyslog.conf" -i "$PWD/rsyslog.pid" -M "$libraries/rsyslog"
  eventually test -S log.socket
  local n
  for n in {1..200}; do
    logger --socket "$PWD/log.socket" --tag web "event $n"
  done
  eventually grep -q "web: event 200$" logs/web.log
  same "$(grep -oP 'web: event \K[0-9]+$' logs/web.log | xargs)" "$(seq 200 | xargs)"
  ends rsyslog
  ends logs
}

@test "echo.c: each domain has its messages back, also beside one that does not read" {
  cc -Wall -Wextra -Werror -I "$repo/include" "$examples/echo.c" -L "$build/src" -lsivc -o echo
  # It takes the local backend's own directory, which is one in XDG_RUNTIME_DIR for a user.
  mkdir user user/{2,3}
  chown -R "$ordinary_user" user
  export XDG_RUNTIME_DIR=$PWD/user
  as_user "$sivcfs" local user/2 -o domid=2,name=web 3>&-
  as_user "$sivcfs" local user/3 -o domid=3 3>&-
  as_user bash -c 'echo "allow 1" > user/2/acl; echo "allow 1" > user/3/acl'
  mkfifo input
  start_input=input start echo timeout 100 setpriv --reuid="$ordinary_user" --clear-groups \
    env LD_LIBRARY_PATH="$build/src" ./echo local 1 web 3
  exec {input}> input
  eventually sends 3 first
  eventually stuck
  local n
  for n in 1 2 3; do
    sends 2 "hello $n"
    same "$(as_user "$build/tests/fileop" user/2/inbox r read)" "read 7 hello $n"
  done
  same "$(as_user "$build/tests/fileop" user/3/inbox r read)" "read 5 first"
  exec {input}>&-
  finish echo
  same "$status" 0
  as_user fusermount3 -u user/2
  as_user fusermount3 -u user/3
}

# sends N TEXT: from domain N of that user to 1.
sends() {
  [[ $(as_user "$build/tests/fileop" "user/$1/peers/1" w "write=$2") == "write ${#2}" ]]
}

# The server takes nothing more of domain 3.
stuck() {
  [[ $(as_user "$build/tests/fileop" user/3/peers/1 w+nonblock until=10000) == "until 0 EAGAIN" ]]
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

@test "every example begins with its name and how to call it, is in README.md, and is run by a test" {
  local example name
  for example in "$examples"/*; do
    name=${example##*/}
    [[ $name != @(README.md|packages.sh|prometheus) ]] || continue
    head -n 6 "$example" | grep -qF "$name: " || { echo "$name: what does it do?"; return 1; }
    head -n 20 "$example" | grep -vF "$name: " | grep -qE "(^|[ /	])(${name//./\\.}|${name%.*})( |$)" \
      || { echo "$name: how is it called?"; return 1; }
    grep -qF "($name)" "$examples/README.md" || { echo "$name: not in README.md"; return 1; }
    grep -qrF --include='*.bats' "$name" "$repo/tests" || { echo "$name: no test"; return 1; }
  done
}
