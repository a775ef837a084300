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
