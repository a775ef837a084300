#!/usr/bin/env bats
# Memory of sivcfs: when it is short, and how much of it a user can cause.

load helpers

# no_more_memory N: sivcfs of domain N gets none that it does not have.  A sanitizer's own allocator would
# end it then: false.
no_more_memory() {
  local size
  ((!sanitized)) || return 1
  natively "memory is taken by valgrind"
  size=$(awk '/^VmSize/ { print $2 * 1024 }' "/proc/${domain_pid[$1]}/status")
  prlimit --pid "${domain_pid[$1]}" --as="$size:"
}

@test "the rest of a message goes back to the queue also when there is no memory" {
  pair max_msg=900000
  blob 900000 sent
  start writer dd if=sent of=2/peers/1 bs=900000 status=none
  start_op reader 1/inbox r read=1000 pause
  finish writer
  shows reader pause
  no_more_memory 1 || :
  next reader
  finish reader
  prlimit --pid "${domain_pid[1]}" --as="$(prlimit --pid "${domain_pid[1]}" --as -o HARD --noheadings | tr -d " "):"
  limit dd if=1/inbox of=got bs=900000 count=1 status=none
  cmp <(tail -c +1001 sent) got
}

@test "a message of which there is no memory to keep the rest stays queued" {
  pair ring=2M max_msg=900000
  blob 900000 sent
  dd if=sent of=2/peers/1 bs=900000 status=none
  ! no_more_memory 1 || same "$(op 1/inbox r read=1000)" "read ENOMEM"
  limit dd if=1/inbox of=got bs=900000 count=1 status=none
  cmp sent got
}

# crowd LENGTH COUNT: writers of an ordinary user, each with such a message, at a full ring; it says how
# COUNT of them failed.
crowd() {
  cat > crowd.py << 'END'
import errno, os, sys, threading
length, count = int(sys.argv[1]), int(sys.argv[2])
threading.stack_size(65536)
lock, refused = threading.Lock(), []
def write():
    try:
        os.write(os.open("2/peers/1", os.O_WRONLY), bytes(length))
    except OSError as e:
        with lock:
            refused.append(errno.errorcode[e.errno])
            if len(refused) == count:
                print(*sorted(set(refused)), flush=True)
for i in range(2 * count):
    threading.Thread(target=write).start()
END
  start crowd setpriv --reuid="$ordinary_user" --regid="$(id -g "$ordinary_user")" --clear-groups \
    env PATH=/usr/bin:/bin python3 crowd.py "$@"
}

# crowded LENGTH COUNT: they are refused, the others notice nothing, and what was sent is given back.
crowded() {
  crowd "$1" "$2"
  shows crowd ENOBUFS
  start_op other 2/peers/1 w write=other
  blocked other
  local rss
  rss=$(awk '/^VmRSS/ { print $2 }' "/proc/${domain_pid[2]}/status")
  echo "$rss KiB"
  ((sanitized || rss < 65536))
  ends_by KILL crowd
  op 1/inbox r+nonblock drain
  finish other
  same "$output" "write 5"
  same "$(as_user "$build/tests/fileop" 2/peers/1 w write=again)" "write 5"
}

@test "a user's writes that wait are bounded" {
  pair ring=4096 mode=0666
  fill_ring 2 1
  crowded 500000 30
}

@test "so are those that are short" {
  pair ring=4096 mode=0666
  fill_ring 2 1
  crowded 30000 400
}

@test "a user's messages that were read in part are bounded, and stay queued" {
  pair ring=2M mode=0666
  for i in {1..20}; do start_op "sender$i" 2/peers/1 w fill=500000; done
  same "$(as_user env PATH=/usr/bin:/bin python3 -c '
import errno, os
boxes = []
try:
    while True:
        boxes.append(os.open("1/inbox", os.O_RDONLY))
        os.read(boxes[-1], 1)
except OSError as e:
    print(errno.errorcode[e.errno], 14 <= len(boxes) <= 17)
')" "ENOBUFS True"
  # Each message is there, those that were begun without their first byte.
  local count
  count=$(for i in {1..20}; do op 1/inbox r+nonblock read; done | grep -cE '^read (500000|499999) ')
  same "$count" 20
}

# rings: the sizes of those that domain 1 has, the smallest first.
rings() {
  find hv/1 -name '*.rw' -size +4k -printf '%s\n' | sort -n | paste -sd ' '
}

@test "the first four senders that are allowed at a time have rings of 512 KiB, and the others of 64" {
  start_domain 1
  printf 'allow %d\n' {2..7} > 1/acl
  same "$(rings)" "65536 65536 524288 524288 524288 524288"
  printf 'deny %d\n' 2 7 >> 1/acl
  same "$(rings)" "65536 524288 524288 524288"
  printf 'allow %d\n' 8 9 >> 1/acl
  same "$(rings)" "65536 65536 524288 524288 524288 524288"
}

@test "with ring= all have the same" {
  start_domain 1 ring=16K
  printf 'allow %d\n' {2..7} > 1/acl
  same "$(rings)" "16384 16384 16384 16384 16384 16384"
}
