#!/usr/bin/env bats
# Programs and streams: each writes one and reads one, and none takes a part for the whole.

load streams

setup_file() {
  local built=$BATS_FILE_TMPDIR
  GOENV=off GO111MODULE=off GOCACHE=$built/cache go build -o "$built/copy" "$BATS_TEST_DIRNAME/copy.go"
  javac -d "$built" "$BATS_TEST_DIRNAME/Copy.java"
}

# --- From one domain into another -----------------------------------------------------------------

# program WRITER READER: a shell's commands.  The writer sends `data` or `tree`, which are longer than a ring;
# the reader makes `out` of it.
program() {
  arrives_whole "$@"
  fails_on_a_cut "$@"
  fails_without_a_reader "$1"
}

arrives_whole() {
  start sender bash -c "exec $1"
  limit bash -c "$2"
  sent
  if [[ -d out ]]; then diff -r tree out/tree; else cmp data out; fi
  rm -r out
}

# begins COMMAND: it has sent something, and cannot have come to its end.
begins() {
  start sender bash -c "exec $1"
  eventually arrived
}

arrived() {
  [[ $(op "$from" r queued) != "queued 0" ]]
}

# The writer is killed; what the reader has by then is a part.
fails_on_a_cut() {
  begins "$1"
  ends_by KILL sender
  fails limit bash -c "$2" > cut.out 2>&1
  like "$(cat cut.out)" "[Cc]onnection ?[Rr]eset|error 37 : Read error" # zstd names none
  same "$(op "$from" r+nonblock read)" "read EAGAIN"
}

leaves() {
  begins "$1"
  same "$(op "$from" r read=4 | wc -l)" 1
  finish sender
}

fails_without_a_reader() {
  leaves "$1"
  ((status > 0 && status < 124))
  like "$output" "[Bb]roken ?[Pp]ipe"
}

@test "cat: whole, or an error on both sides" {
  backup_pair
  blob 5000000 data
  program "cat data > $to" "cat $from > out"
}

@test "tar: whole, or an error on both sides" {
  backup_pair
  a_tree tree
  program "tar c tree > $to" "mkdir -p out && tar x -C out < $from"
  rm -r out
  program "tar cf $to tree" "mkdir -p out && tar xf $from -C out"
}

@test "cpio: whole, or an error on both sides" {
  backup_pair
  a_tree tree
  find tree > names
  program "cpio --quiet -o < names > $to" "mkdir -p out && cpio --quiet -id -D out < $from"
}

@test "dd conv=fsync: whole, or an error on both sides" {
  backup_pair
  blob 300000 data
  program "dd if=data bs=64k conv=fsync > $to" "dd bs=64k of=out < $from"
}

@test "cp: whole, or an error on both sides" {
  backup_pair
  blob 300000 data
  program "cp data $to" "cp $from out"
}

@test "split: what is cut has an error" {
  backup_pair
  blob 300000 data
  local reader="split -b 100000 $from part."
  arrives_whole "cat data > $to" "$reader && cat part.aa part.ab part.ac > out"
  fails_on_a_cut "cat data > $to" "$reader"
}

@test "zstd: whole, or an error on both sides" {
  backup_pair
  blob 500000 data
  program "zstd -q -T2 -c data > $to" "zstd -q -d -c < $from > out"
}

@test "gpg: whole, or an error on both sides" {
  backup_pair
  blob 500000 data
  mkdir -m 0700 keys
  export GNUPGHOME=$PWD/keys
  local gpg='gpg --batch --quiet --passphrase secret --pinentry-mode loopback --s2k-count 65536'
  program "$gpg --symmetric < data > $to" "$gpg --decrypt < $from > out"
  gpgconf --kill all
}

@test "pv: whole, or an error of the reader; it does not mind that its own reader leaves, here as in a pipe" {
  backup_pair
  blob 500000 data
  arrives_whole "pv -q data > $to" "pv -q $from > out"
  fails_on_a_cut "pv -q data > $to" "pv -q $from > out"
  leaves "pv -q data > $to"
  same "$status:$output" "0:"
  (set -o pipefail; pv -q data | head -c 4 > out)
}

@test "mbuffer: whole, or an error on both sides" {
  backup_pair
  blob 500000 data
  program "mbuffer -q < data > $to" "mbuffer -q < $from > out"
  # -f: what is there may be written to.
  program "mbuffer -q -i data -f -o $to" "mbuffer -q -i $from -f -o out"
}

@test "Python's shutil: whole, or an error on both sides" {
  backup_pair
  blob 500000 data
  local copy='python3 -c "import shutil, sys; shutil.copyfileobj(open(sys.argv[1], \"rb\"), open(sys.argv[2], \"wb\"))"'
  program "$copy data $to" "$copy $from out"
  copy='python3 -c "import shutil, sys; shutil.copyfile(*sys.argv[1:])"'
  program "$copy data $to" "$copy $from out"
}

@test "Go's io.Copy: whole, or an error on both sides" {
  backup_pair
  blob 500000 data
  local copy=$BATS_FILE_TMPDIR/copy
  program "$copy data $to" "$copy $from out"
}

@test "Java's InputStream.transferTo and Files.copy: whole, or an error on both sides" {
  backup_pair
  blob 500000 data
  local way copy
  for way in InputStream.transferTo Files.copy; do
    copy="java -cp $BATS_FILE_TMPDIR Copy $way"
    program "$copy data $to" "$copy $from out"
  done
}

# ends_open COMMAND: a program that ends with its file open, and in any of its threads.
ends_open() {
  start sender bash -c "exec $1"
  gets_if_told "$(cat data)"
  sent
}

@test "a Java program that ends by System.exit with its file open has ended it" {
  backup_pair
  echo whole > data
  ends_open "java -cp $BATS_FILE_TMPDIR Copy System.exit data $to"
}

@test "a Go program whose main returns with its file open has ended it, whatever thread that was in" {
  backup_pair
  echo whole > data
  local i
  for i in {1..20}; do
    ends_open "$BATS_FILE_TMPDIR/copy -open data $to"
  done
}

@test "Java's FileChannel.transferTo: whole, or an error" {
  backup_pair
  blob 500000 data
  local copy="java -cp $BATS_FILE_TMPDIR Copy FileChannel.transferTo"
  arrives_whole "$copy data $to" "cat $from > out"
  fails_without_a_reader "$copy data $to"
}

@test "Java's FileChannel says that it cannot read by transferTo, nor copy by transferFrom, and takes nothing" {
  backup_pair
  echo hello > data
  local copy="java -cp $BATS_FILE_TMPDIR Copy FileChannel"
  cannot_seek() {
    run limit bash -c "$1"
    same "$status" 1
    like "$output" "Illegal seek"
  }
  cannot_seek "$copy.transferFrom data $to"
  gets ""
  echo unread > "$to"
  cannot_seek "$copy.transferFrom $from out"
  cannot_seek "$copy.transferTo $from out"
  gets unread
}

@test "cp and Go's io.Copy pass a stream on within one mount" {
  backup_pair
  start_domain 3
  mkdir 3/streams/backup
  echo "allow 1" > 3/streams/backup/acl
  blob 500000 data
  local copy
  for copy in cp "$BATS_FILE_TMPDIR/copy"; do
    sends 'cat data'
    start relay "$copy" "$from" 1/streams/backup/peers/3
    limit cat 3/streams/backup/inbox > out
    sent
    finish relay
    same "$status:$output" "0:"
    cmp data out
  done
}

# --- There and back -------------------------------------------------------------------------------

# both_ways: a pair of streams.  `connect COMMAND` makes a connection of it for a program of domain 2: COMMAND
# takes what the program sends, and `connect` gives what comes back.  `part N` in the place of cat passes so many
# bytes on, as they come, and is killed.
both_ways() {
  backup_pair
  echo "allow 1" > 2/streams/backup/acl
  here=1/streams/backup/inbox back=1/streams/backup/peers/2
  cat > connect << END
#!/bin/bash
cd $PWD
"\$@" <&0 > $to &
exec cat 2/streams/backup/inbox
END
  cat > part << 'END'
#!/usr/bin/python3 -I
import os, signal, sys
left = int(sys.argv[1])
while left > 0:
    data = os.read(0, min(left, 65536))
    left -= os.write(1, data) or sys.exit("it is not so long")
os.kill(os.getpid(), signal.SIGKILL)
END
  chmod +x connect part
}

# answers COMMAND: a shell's, in domain 1; it is waited for in `answered STATUS`.
answers() {
  start server bash -c "set -o pipefail; $1"
}

answered() {
  finish server
  same "$status" "$1"
}

# repositories: `work` with a commit, and `bare` for pushes; git commands answer to a user's configuration.
repositories() {
  export GIT_CONFIG_GLOBAL=$PWD/gitconfig GIT_CONFIG_NOSYSTEM=1
  printf '[user]\nname = x\nemail = x@x\n[init]\ndefaultBranch = main\n[protocol "ext"]\nallow = user\n' > gitconfig
  git init -q work
  blob 300000 work/file
  git -C work add file
  git -C work commit -q -m first
  git init -q --bare bare
}

pushed() {
  git -C bare rev-parse -q --verify main
}

@test "git: a bundle is fetched from a stream, and one that is cut is not" {
  backup_pair
  repositories
  git -C work bundle create -q ../bundle HEAD main
  sends 'cat bundle'
  limit cat "$from" > bundle.got
  sent
  git clone -q bundle.got clone
  cmp work/file clone/file
  begins "cat bundle > $to"
  ends_by KILL sender
  fails limit cat "$from" > bundle.cut
  run git clone -q bundle.cut clone.cut
  same "$status" 128
  [[ ! -e clone.cut ]]
}

@test "git clones and pushes over a pair of streams by ext::" {
  both_ways
  repositories
  answers "git upload-pack work < $here > $back"
  limit git clone -q "ext::$PWD/connect cat" clone
  answered 0
  cmp work/file clone/file
  answers "git receive-pack bare < $here > $back"
  limit git -C work push -q "ext::$PWD/connect cat" main
  answered 0
  same "$(pushed)" "$(git -C work rev-parse main)"
}

@test "git makes nothing of a clone or a push that is cut" {
  both_ways
  repositories
  answers "git upload-pack work < $here | ./part 100000 > $back"
  run limit git clone -q "ext::$PWD/connect cat" clone
  same "$status" 128
  answered 137
  [[ ! -e clone ]]
  answers "git receive-pack bare < $here > $back"
  fails limit git -C work push -q "ext::$PWD/connect ./part 100000" main
  finish server # it tells the other side that it failed, and that is all
  fails pushed
}

# rsync_shell COMMAND: in the place of ssh.  The server's command line goes ahead; COMMAND sends the rest.
rsync_shell() {
  cat > shell << END
#!/bin/bash
shift
exec ./connect bash -c 'echo "\$*"; exec $1' bash "\$@"
END
  chmod +x shell
  # shellcheck disable=SC2016 # for the inner shell
  answers '{ read -r command; $command > '"$back; } < $here"
}

@test "rsync runs over a pair of streams" {
  both_ways
  a_tree tree
  mkdir out
  rsync_shell cat
  limit rsync -a -e ./shell tree/ "far:$PWD/out/"
  answered 0
  diff -r tree out
}

@test "rsync fails at both ends if it is cut, and puts no part of a file in its place" {
  both_ways
  blob 300000 data
  mkdir out
  rsync_shell "./part 100000"
  fails limit rsync -a -e ./shell data "far:$PWD/out/"
  finish server
  ((status > 0 && status < 124))
  same "$(ls -A out)" ""
}

# ssh_from COMMAND: a user's configuration; COMMAND connects.  `login` is sshd -i, which needs /run/sshd and that
# root is not locked, whatever this machine has.
ssh_from() {
  ssh-keygen -q -t ed25519 -N '' -f host
  ssh-keygen -q -t ed25519 -N '' -f key
  printf '%s\n' "HostKey $PWD/host" "AuthorizedKeysFile $PWD/key.pub" 'StrictModes no' 'UsePAM no' > sshd_config
  printf '%s\n' 'Host web' 'User root' "IdentityFile $PWD/key" 'IdentitiesOnly yes' 'BatchMode yes' 'LogLevel ERROR' \
    "UserKnownHostsFile $PWD/known" 'StrictHostKeyChecking accept-new' "ProxyCommand $1" > ssh_config
  echo 'root:*:1::::::' > shadow
  cat > login << END
#!/bin/sh
mount -t tmpfs tmpfs /run && mkdir /run/sshd && mount --bind $PWD/shadow /etc/shadow || exit
exec /usr/sbin/sshd -i -f $PWD/sshd_config
END
  chmod +x login
}

@test "ssh logs in through sivc-call, and has the status of its command" {
  start_domain 1 name=web
  start_domain 2 name=home
  mkdir 1/streams/ssh 2/streams/ssh
  echo "allow home" > 1/streams/ssh/acl
  echo "allow web" > 2/streams/ssh/acl
  PATH=$repo/mountscripts:$PATH
  ssh_from 'sivc-call 2/streams/ssh %h'
  start server timeout 100 sivc-serve 1/streams/ssh -- sh -c 'unshare --mount ./login | cat'
  blob 300000 data
  run limit ssh -F ssh_config web "cat > $PWD/copy; echo got; exit 3" < data
  same "$status:$output" 3:got
  cmp data copy
  limit ssh -F ssh_config web "cat $PWD/data" > out
  cmp data out
  kill -TERM "${job_pid[server]}"
  finish server
  eventually umount 2 # ssh does not wait for its ProxyCommand
}

# breaks COMMAND [OPTION...]: ssh's own status, not its command's.
breaks() {
  local status=0
  limit ssh -F ssh_config "${@:2}" web "$1" < data > out || status=$?
  same "$status" 255
}

@test "ssh and sshd -i fail if the stream of either is cut" {
  both_ways
  blob 300000 data
  ssh_from './connect cat'
  answers "unshare --mount ./login < $here | ./part 100000 > $back"
  breaks "cat $PWD/data"
  answered 137
  answers "unshare --mount ./login < $here | cat > $back"
  breaks "cat > $PWD/copy" -o ProxyCommand='./connect ./part 100000'
  answered 255
}
