#!/usr/bin/env bats
# Streams: what is written between open and the last close is one message of any length, with an end.

load helpers

# backup_pair [OPTION...]: domains 1 and 2 with an endpoint of streams; 2 may send to 1.
backup_pair() {
  start_domain 1 "$@"
  start_domain 2 "$@"
  mkdir 1/streams/backup 2/streams/backup
  echo "allow 2" > 1/streams/backup/acl
  to=2/streams/backup/peers/1 from=1/streams/backup/inbox
}

# a_tree DIRECTORY: some files and directories.
a_tree() {
  mkdir -p "$1/a/b"
  blob 300000 "$1/large"
  blob 1000 "$1/a/small"
  blob 70000 "$1/a/b/middle"
  : > "$1/a/b/empty"
}

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
