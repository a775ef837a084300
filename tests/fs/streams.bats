#!/usr/bin/env bats
# Streams: what is written between open and the last close is one message of any length, with an end.

load streams

@test "tar from one domain into another ends when the sender's tar ends" {
  backup_pair
  a_tree tree
  mkdir out
  start sender bash -c "tar c tree > $to"
  limit tar x -C out < "$from"
  finish sender
  same "$status" 0
  diff -r tree out/tree
}

# --- Ends -----------------------------------------------------------------------------------------

@test "a reader gets bytes as they come, and then the end for ever" {
  backup_pair
  start_op writer "$to" w write=one pause write=two pause
  shows writer pause
  start_op reader "$from" r read read read read pause read
  shows reader 'read 3 one'
  blocked reader
  next writer
  shows reader 'read 3 two'
  next writer
  finish writer
  shows reader pause
  printf other > "$to"
  next reader
  finish reader
  same "$output" $'read 3 one\nread 3 two\nread 0\nread 0\npause\nread 0'
  gets other
}

@test "an empty stream arrives as an empty stream" {
  backup_pair
  : > "$to"
  printf next > "$to"
  same "$(op "$from" r read read)" $'read 0\nread 0'
  same "$(op "$from" r read read)" $'read 4 next\nread 0'
}

@test "touch, and who opens without O_TRUNC and writes nothing, send nothing" {
  backup_pair
  touch "$to"
  op "$to" w
  true >> "$to"
  same "$(op "$from" r+nonblock read)" "read EAGAIN"
}

@test "what is opened, and ends at the last close, may be written by several processes" {
  backup_pair
  (echo one; bash -c 'echo two'; echo three) > "$to"
  gets $'one\ntwo\nthree'
}

@test "several readers of one handle share its stream" {
  backup_pair
  blob 1000000 data
  sends 'cat data'
  (head -c 300000; head -c 700000 | cat; cat) < "$from" > out
  sent
  cmp data out
}

@test "two streams to one domain follow each other, in the order of their first bytes" {
  backup_pair
  blob 200000 data
  start first bash -c "exec cat data > $to"
  blocked first
  start_op second "$to" w+nonblock write=x nonblock=0 write=second
  blocked second
  limit cat "$from" > out
  cmp data out
  gets second
  finish first
  finish second
  same "$output" $'write EAGAIN\nnonblock 0\nwrite 6'
}

@test "streams of two senders are read at the same time, by peers/N" {
  backup_pair
  start_domain 3
  mkdir 3/streams/backup
  echo "allow 3" >> 1/streams/backup/acl
  blob 200000 two
  blob 200000 three
  start second bash -c "exec cat two > 2/streams/backup/peers/1"
  start third bash -c "exec cat three > 3/streams/backup/peers/1"
  blocked second third
  limit cat 1/streams/backup/peers/3 > out3
  limit cat 1/streams/backup/peers/2 > out2
  cmp two out2
  cmp three out3
  finish second
  finish third
}

@test "inbox.from has a line that says who sends, and then the stream" {
  backup_pair
  blob 100000 data
  sends 'cat data'
  (read -r domain length name; cat > out; echo "$domain $length $name") < 1/streams/backup/inbox.from > line
  sent
  same "$(cat line)" "2 - -"
  cmp data out
  : > "$to"
  same "$(op 1/streams/backup/inbox.from r read read sender)" $'read 6 2 - -\\x0a\nread 0\nsender 2'
}

# --- Cuts -----------------------------------------------------------------------------------------

# held_sender COMMAND: it has filled the ring, and waits.  (With exec: it is what is killed.)
held_sender() {
  start sender bash -c "exec $1 > $to"
  blocked sender
}

# cut COMMAND...: the reader gets what arrived, and fails.
cut() {
  fails limit "$@" < "$from" > cut.out 2> cut.err
  like "$(cat cut.err)" "Connection reset by peer"
}

@test "a tar that is killed is never taken for a whole one" {
  backup_pair
  a_tree tree
  mkdir out
  held_sender 'tar c tree'
  ends_by KILL sender
  cut tar x -C out
  [[ -d out/tree ]]
  same "$(op "$from" r+nonblock read)" "read EAGAIN"
}

@test "a tar that gets SIGTERM is cut, too" {
  backup_pair
  a_tree tree
  held_sender 'tar c tree'
  ends_by TERM sender
  cut cat
}

@test "Ctrl-C of the writer cuts" {
  backup_pair
  blob 200000 data
  held_sender 'cat data'
  ends_by INT sender
  cut cat
  cmp -n "$(stat -c %s cut.out)" data cut.out
}

@test "a tar that timeout(1) ends is cut, though timeout exits by itself" {
  backup_pair
  a_tree tree
  start sender bash -c "timeout 0.5 tar c tree > $to"
  finish sender
  same "$status" 124
  cut cat
}

@test "who closes it by executing a program ends it, and waits for nothing" {
  backup_pair
  start reader cat "$from"
  limit python3 -c 'import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CLOEXEC)
os.write(fd, b"by exec")
os.execvp("true", ["true"])' "$to"
  finish reader
  same "$output" "by exec"
}

@test "a writer that dies while a reader waits cuts" {
  backup_pair
  start_op writer "$to" w write=half pause
  shows writer pause
  start reader cat "$from"
  shows reader half || blocked reader
  ends_by KILL writer
  finish reader
  same "$status" 1
  like "$output" "^halfcat: .*Connection reset by peer$"
}

@test "a process that ends by itself with other threads at work has not cut" {
  backup_pair
  start sender bash -c "exec python3 -c '
import threading, time, os, sys
for i in range(100):
    threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
os.write(1, b\"whole\")
os._exit(0)' > $to"
  gets whole
  sent
}

@test "a process with several threads that is killed has cut" {
  backup_pair
  start sender bash -c "exec python3 -c '
import threading, os
for i in range(100):
    threading.Thread(target=os.read, args=(os.pipe()[0], 1), daemon=True).start()
os.write(1, bytes(200000))' > $to"
  blocked sender
  ends_by TERM sender
  cut cat
}

# threaded ACTION [MAIN]: a program with many threads; one that is not the first writes `whole`, and does that.
# MAIN is what the first does.
threaded() {
  cat > threaded.py << END
import ctypes, os, signal, threading
for i in range(100):
    threading.Thread(target=os.read, args=(os.pipe()[0], 1), daemon=True).start()
def first_has_gone():
    while " Z " not in open("/proc/self/stat").read():
        pass
def last():
    os.write(1, b"whole")
    $1
threading.Thread(target=last).start()
${2:-}
END
}

# ends_in_a_thread: both its descriptors are the stream.
ends_in_a_thread() {
  start sender bash -c "exec python3 threaded.py > $to 2>&1"
}

@test "a process that ends by itself in a thread that is not its first has not cut" {
  backup_pair
  threaded 'os._exit(0)'
  ends_in_a_thread
  gets_if_told whole
  sent
}

@test "a process that a thread of it ends by a signal has cut" {
  backup_pair
  local action
  for action in 'os.kill(os.getpid(), signal.SIGKILL)' 'signal.raise_signal(signal.SIGTERM)'; do
    threaded "$action"
    ends_in_a_thread
    cut cat
    same "$(cat cut.out)" whole
    finish sender
    ((status > 128))
  done
}

@test "a process whose first thread has ended before, and that is killed, has cut, if the kernel tells" {
  backup_pair
  threaded 'first_has_gone(); os.kill(os.getpid(), signal.SIGKILL)' 'ctypes.CDLL(None).pthread_exit(None)'
  ends_in_a_thread
  if exits_are_told; then cut cat; else limit cat "$from" > cut.out || :; fi
  same "$(cat cut.out)" whole
  finish sender
  same "$status" 137
  threaded 'first_has_gone(); os._exit(0)' 'ctypes.CDLL(None).pthread_exit(None)'
  ends_in_a_thread
  gets whole
  sent
}

# ends_unseen: a process ends in a thread, and its parent does not wait for it.
ends_unseen() {
  backup_pair
  threaded 'os._exit(0)'
  start parent bash -c "python3 threaded.py > $to & echo \$!; exec sleep 1000"
  eventually [ -s parent.out ]
  "$build/tests/await" exit "$(cat parent.out)"
}

@test "a process that ended in a thread, and is not waited for by its parent, is soon taken for a killed one" {
  ends_unseen
  cut cat
  same "$(cat cut.out)" whole
  echo next > "$to"
  gets next
}

@test "rmdir cuts what waits for the end of a process" {
  ends_unseen
  rmdir 2/streams/backup
  cut cat
  stop_domain 2
}

@test "umount cuts what waits for the end of a process" {
  ends_unseen
  stop_domain 2
  cut cat
}

@test "the sender's sivcfs is killed: the stream is cut" {
  backup_pair
  blob 200000 data
  held_sender 'cat data'
  kill_domain 2
  finish sender
  same "$status" 1
  cut cat
}

@test "the sender's file system is told to end in the middle: the stream is cut" {
  backup_pair
  blob 200000 data
  held_sender 'cat data'
  kill -TERM "${domain_pid[2]}"
  finish sender
  same "$status" 1
  ended_well 2
  cut cat
}

@test "permission is withdrawn: the writer gets EACCES, and the stream is cut" {
  backup_pair
  blob 200000 data
  held_sender 'cat data'
  : > 1/streams/backup/acl
  finish sender
  same "$status" 1
  like "$output" "Permission denied"
  cut cat
  echo "allow 2" > 1/streams/backup/acl
  echo next > "$to"
  gets next
}

@test "the receiver is killed: the writer gets EPIPE" {
  backup_pair
  blob 200000 data
  held_sender 'cat data'
  kill_domain 1
  finish sender
  like "$output" "Broken pipe"
}

@test "an ioctl cuts on purpose" {
  backup_pair
  same "$(op "$to" w write=half cut write=x)" $'write 4\ncut 0\nwrite EPIPE'
  cut cat
  same "$(cat cut.out)" half
  same "$(op "$from" r cut)" "cut EBADF"
  same "$(op 2/peers/1 w cut)" "cut ENOTTY"
}

@test "the reader leaves: the writer gets EPIPE, and the next stream is whole" {
  backup_pair
  blob 200000 data
  held_sender 'cat data'
  same "$(op "$from" r read=4 | wc -l)" 1
  finish sender
  same "$status" 1
  like "$output" "Broken pipe"
  echo next > "$to"
  gets next
}

@test "after an error a handle is dead" {
  backup_pair
  start_op writer "$to" w write=half pause write=x write=y fsync
  shows writer pause
  same "$(op "$from" r read)" "read 4 half"
  next writer
  finish writer
  same "$output" $'write 4\npause\nwrite EPIPE\nwrite EPIPE\nfsync EPIPE'
}

# --- Opening --------------------------------------------------------------------------------------

@test "who may not send is told when it opens the file, before its program starts" {
  start_domain 1
  start_domain 2
  mkdir 1/streams/backup 2/streams/backup
  run limit bash -c "touch started > 2/streams/backup/peers/1"
  same "$status" 1
  like "$output" "Permission denied"
  [[ ! -e started ]]
  same "$(op 2/streams/backup/peers/1 r+nonblock read)" "read EAGAIN"
}

@test "an endpoint that was closed is EPIPE at open" {
  backup_pair
  op "$to" w
  rmdir 1/streams/backup
  same "$(op "$to" w)" "open EPIPE"
}

@test "mkdir in streams/ makes an endpoint of its own, beside one of messages with that name" {
  backup_pair
  same "$(ls 1/streams/backup)" $'acl\ninbox\ninbox.from\npeers\nstats'
  same "$(ls 1/streams)" backup
  mkdir 1/endpoints/backup
  same "$(ls 1/endpoints)" backup
  same "$(cat 1/streams/backup/acl)" "allow 2"
  same "$(cat 1/endpoints/backup/acl)" ""
  rmdir 1/endpoints/backup
  same "$(stat -c '%a %s %o' "$from" 1/streams/backup/peers/2)" $'600 0 131072\n600 0 131072'
  fails limit mkdir "1/streams/$(printf 'x%.0s' {1..57})" 2> /dev/null
  mkdir "1/streams/$(printf 'x%.0s' {1..56})"
  same "$(op "$from" w)" "open EACCES"
}

# --- Waiting --------------------------------------------------------------------------------------

@test "nobody reads: the writer sleeps, with a ring full of bytes, and O_NONBLOCK gets a short count" {
  backup_pair ring=4096
  same "$(op "$to" w+nonblock fill=100 fill=100000 fill=1 cut)" $'fill 100\nfill 3976\nfill EAGAIN\ncut 0'
}

@test "a write that is interrupted says how much went" {
  backup_pair
  start_op writer "$to" w fill=1000000
  blocked writer
  kill -TERM "${job_pid[writer]}"
  finish writer
  cut cat
  (($(stat -c %s cut.out) > 60000))
}

@test "a blocked reader, writer and fsync can be killed" {
  backup_pair
  start reader cat "$from"
  blocked reader
  ends_by KILL reader
  start reader cat "$from"
  blocked reader
  ends_by INT reader
  held_sender 'dd if=/dev/zero bs=1M'
  ends_by KILL sender
  cut cat
  start_op sync "$to" w write=x fsync
  shows sync 'write 1'
  blocked sync
  ends_by KILL sync
  cut cat
}

@test "fsync waits until the reader has read all, and sync(1) of another process, too" {
  backup_pair
  start_op writer "$to" w write=bytes fsync
  shows writer 'write 5'
  start other sync "$to"
  blocked writer other
  gets bytes
  finish writer
  same "$output" $'write 5\nfsync 0'
  finish other
  same "$status" 0
}

@test "fsync is EPIPE if the reader leaves" {
  backup_pair
  start_op writer "$to" w write=bytes fsync
  shows writer 'write 5'
  blocked writer
  same "$(op "$from" r read=2)" "read 2 by"
  finish writer
  same "$output" $'write 5\nfsync EPIPE'
}

@test "poll: a reader is told of a stream, of bytes, and of the end" {
  backup_pair
  start_op reader "$from" r poll=in poll=in:20000 read poll=in poll=in:20000 read poll=in:20000 read
  shows reader 'poll -'
  start_op writer "$to" w write=one pause write=two pause
  shows reader 'poll -' 2
  next writer
  shows reader 'read 3 two'
  next writer
  finish writer
  finish reader
  same "$output" $'poll -\npoll in\nread 3 one\npoll -\npoll in\nread 3 two\npoll in\nread 0'
}

@test "poll: a writer is told of room, and that the reader has left" {
  backup_pair ring=4096
  start_op writer "$to" w+nonblock poll=out fill=100000 poll=out poll=out:20000 write=x poll=out:20000
  shows writer 'poll -'
  start_op reader "$from" r read pause
  shows writer 'write 1'
  next reader
  finish reader
  finish writer
  like "$output" $'poll out\nfill [0-9]+\npoll -\npoll out\nwrite 1\npoll out( err)?'
}

@test "rmdir with streams open: those here get ENODEV, and those there ECONNRESET or EPIPE" {
  backup_pair
  echo "allow 1" > 2/streams/backup/acl
  blob 200000 data
  held_sender 'cat data'
  start_op back 1/streams/backup/peers/2 w write=back pause write=x
  shows back 'write 4'
  start_op reader 2/streams/backup/inbox r read read
  shows reader 'read 4 back'
  start_op here "$from" r read=3 pause read
  shows here pause
  rmdir 1/streams/backup
  next here
  next back
  finish sender
  like "$output" "Broken pipe"
  finish back
  same "$output" $'write 4\npause\nwrite ENODEV'
  finish reader
  same "$output" $'read 4 back\nread ECONNRESET'
  finish here
  like "$output" "read ENODEV$"
}

@test "either side may be restarted between streams" {
  backup_pair
  echo one > "$to"
  gets one
  stop_domain 2
  start_domain 2
  mkdir 2/streams/backup
  echo two > "$to"
  gets two
  kill_domain 1
  start_domain 1
  mkdir 1/streams/backup
  echo "allow 2" > 1/streams/backup/acl
  echo three > "$to"
  gets three
}

# --- Who closes -----------------------------------------------------------------------------------

# cut_by_kill: root's writer of domain 2, an ordinary user's sivcfs.
cut_by_kill() {
  blob 200000 data
  held_sender 'cat data'
  ends_by KILL sender
  cut cat
}

# of_a_user [COMMAND...]: domains 1 and 2 of an ordinary user; COMMAND starts the sivcfs of 2.
of_a_user() {
  chown "$ordinary_user" hv
  mkdir -p 1 2
  serve 1 1 "dir=hv,domid=1,ring=64K,user=$ordinary_user"
  serve 2 2 "dir=hv,domid=2,ring=64K,user=$ordinary_user"
  mkdir 1/streams/backup 2/streams/backup
  echo "allow 2" > 1/streams/backup/acl
  to=2/streams/backup/peers/1 from=1/streams/backup/inbox
}

@test "a killed writer is seen by a sivcfs without privileges, too, and one that ends in a thread" {
  of_a_user
  cut_by_kill
  threaded 'os._exit(0)'
  ends_in_a_thread
  gets_if_told whole
  sent
}

@test "where /proc hides processes, each stream is cut, and the log says why" {
  mount -t proc -o hidepid=invisible hidden /proc
  of_a_user
  echo whole > "$to"
  cut cat
  same "$(cat cut.out)" whole
  echo again > "$to"
  cut cat
  same "$(grep -c 'cannot be seen in /proc (No such file or directory)' log/2)" 1
}

teardown_file() {
  ! grep -q '^hidden /proc' /proc/mounts || umount --lazy /proc
}

@test "stats count streams, by peer and direction" {
  backup_pair
  echo whole > "$to"
  cat "$from" > out
  held_sender 'cat /dev/zero'
  ends_by KILL sender
  cut cat
  local received sent
  received=$(grep -oP '^sivc_received_\w+(?=\{)|(?<=peer="2"\} )\d+$' 1/streams/backup/stats | xargs)
  like "$received" "received_streams_total 2 .*received_streams_ended_total 1 .*received_streams_cut_total 1 .*received_bytes_total [0-9]{5}"
  sent=$(grep -oP '^sivc_sent_\w+(?=\{)|(?<=peer="1"\} )\d+$' 2/streams/backup/stats | xargs)
  like "$sent" "sent_streams_total 2 .*sent_streams_ended_total 1 .*sent_streams_cut_total 1 .*sent_bytes_total [0-9]{5}"
}
