# shellcheck shell=bash
# streams.bash: domains with an endpoint of streams, and what is sent through it.

# shellcheck source=tests/fs/helpers.bash
load helpers

# backup_pair [OPTION...]: domains 1 and 2 with an endpoint of streams; 2 may send to 1.  What is sent
# is longer than the ring.
backup_pair() {
  start_domain 1 ring=64K "$@"
  start_domain 2 ring=64K "$@"
  mkdir 1/streams/backup 2/streams/backup
  echo "allow 2" > 1/streams/backup/acl
  to=2/streams/backup/peers/1 from=1/streams/backup/inbox
}

# gets TEXT: the next stream is that, and whole.
gets() {
  limit cat "$from" > got
  same "$(cat got)" "$1"
}

# gets_if_told TEXT: the same, unless this kernel does not tell how a process has ended (before Linux 6.15).
gets_if_told() {
  if exits_are_told; then gets "$1"; else limit cat "$from" > got || :; fi
}

exits_are_told() {
  python3 -c 'import fcntl, os
pid = os.fork() or os._exit(0)
info, pidfd = bytearray(64), os.pidfd_open(pid)
info[0] = 8  # PIDFD_INFO_EXIT
os.waitpid(pid, 0)
try:
    fcntl.ioctl(pidfd, 0xC040FF0B, info)  # PIDFD_GET_INFO
except OSError:
    info[0] = 0
os._exit(not info[0] & 8)'
}

# a_tree DIRECTORY: some files and directories.
a_tree() {
  mkdir -p "$1/a/b"
  blob 300000 "$1/large"
  blob 1000 "$1/a/small"
  blob 70000 "$1/a/b/middle"
  : > "$1/a/b/empty"
}

# sends COMMAND: a shell's, with the stream for its output; it is waited for in `sent`.
sends() {
  start sender bash -c "$1 > $to"
}

sent() {
  finish sender
  same "$status" 0
}
