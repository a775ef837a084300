#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# run.sh: the models and proofs of the protocol, in TAP.
#
#   every.c         the real ring.c and page.c, for every content of the shared memory at every read
#   interleave.c    the real libsivc on both sides, in every order of their steps
#   restless.c      the real libsivc, and a page that its owner changes between any two looks
#   protocol.pml    the protocol, for spin: weak memory, crashes, and a side that writes anything
#
# and each of them with something left out of what it checks, which it must find.
#
# MODEL_SWITCHES=N: interleave.c tries all runs with N switches between the sides (2; 1 takes
# seconds, 3 takes an hour).  MODEL_ONLY=TEXT: only the tests whose sentences have it.
set -euo pipefail

model=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
repo=${model%/tests/model}
core=$repo/src/core
switches=${MODEL_SWITCHES:-2}

# shellcheck source=examples/packages.sh
. "$repo/examples/packages.sh"

need_packages gcc libc6-dev python3-minimal spin uthash-dev
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

lib=$repo/tests/lib
include=(-I "$repo/include" -I "$repo/src/common" -I "$repo/src/hv" -I "$lib")
flags=(-O2 -g -std=gnu11 -D_GNU_SOURCE -DSIVC_HAVE_XEN=0 -Wall -Wextra)
# libsivc gets its memory from an arena, and lets the other side go on where it would sleep.
hooks=(-include "$lib/shared_hook.h" -Dmalloc=arena_malloc -Dcalloc=arena_calloc
  -Drealloc=arena_realloc -Dreallocarray=arena_reallocarray -Dfree=arena_free
  -Dmmap=arena_mmap -Dmunmap=arena_munmap
  -Depoll_wait=hook_epoll_wait)

# With a fault: a copy of src/core in which mutate.py has made changes.  Prints the files that differ.
mutate() { # directory, changes
  mkdir "$1"
  cp "$core"/*.[ch] "$1"
  python3 "$model/mutate.py" "$@"
}

compile_core() { # directory with the sources, directory for the objects, files
  local from=$1 to=$2 file
  shift 2
  for file; do
    gcc "${flags[@]}" "${hooks[@]}" -I "$from" "${include[@]}" -c "$from/$file" -o "$to/$file.o"
  done
}

build_every() { # directory with the sources, program
  gcc "${flags[@]}" -include "$lib/shared_hook.h" -I "$repo/include" -I "$1" "$model/every.c" -o "$2"
}

build_objects() {
  local files=("$core"/*.c) file
  mkdir "$dir/objects"
  compile_core "$core" "$dir/objects" "${files[@]##*/}"
  gcc "${flags[@]}" "${include[@]}" -c "$repo/src/hv/hv.c" -o "$dir/objects/hv.o"
  gcc "${flags[@]}" "${include[@]}" -c "$repo/src/common/number.c" -o "$dir/objects/number.o"
  gcc "${flags[@]}" "${include[@]}" -c "$repo/src/hv/fork.c" -o "$dir/objects/fork.o"
  gcc "${flags[@]}" -I "$core" "${include[@]}" -c "$lib/fake_hv.c" -o "$dir/objects/fake.o"
  for file in interleave interleave_messages interleave_streams; do
    gcc "${flags[@]}" -I "$core" "${include[@]}" -c "$model/$file.c" -o "$dir/objects/$file.o"
  done
  gcc "$dir"/objects/*.o -o "$dir/interleave"
}

# 0 if the command ended with status 1: it has found what it should.
finds() {
  local status=0 out=$dir/found.$BASHPID
  "$@" > "$out" || status=$?
  [[ $status -eq 1 ]] && return 0
  tail -n 3 "$out"
  echo "it found nothing wrong (status $status)"
  return 1
}

test_every() {
  build_every "$core" "$dir/every"
  timeout 600 "$dir/every"
}

broken_every() { # changes
  local from=$dir/broken.$BASHPID
  mutate "$from" "$@" > /dev/null || return
  build_every "$from" "$from/every"
  finds timeout 600 "$from/every"
}

build_restless() { # directory with the sources, program
  gcc "${flags[@]}" -include "$lib/shared_hook.h" -I "$1" "${include[@]}" \
    "$model/restless.c" "$1"/*.c "$repo"/src/hv/{hv,fork}.c "$repo/src/common/number.c" -o "$2"
}

test_restless() {
  build_restless "$core" "$dir/restless"
  "$dir/restless" | sed 's/^/# /'
  return "${PIPESTATUS[0]}"
}

broken_restless() { # changes
  local from=$dir/broken.$BASHPID
  mutate "$from" "$@" > /dev/null || return
  build_restless "$from" "$from/restless"
  finds timeout 600 "$from/restless"
}

test_interleave() { # scenario
  local status=0
  timeout 600 "$dir/interleave" -b "$switches" -s "$1" > "$dir/interleave.$1" || status=$?
  grep '^#' "$dir/interleave.$1" || echo "# it ended with status $status"
  return "$status"
}

broken_interleave() { # scenario, changes
  local from=$dir/broken.$BASHPID scenario=$1 files
  shift
  files=$(mutate "$from" "$@") || return
  [[ $files != *.h ]] || files=$(cd "$core" && ls -- *.c)
  cp -r "$dir/objects" "$from/objects"
  # shellcheck disable=SC2086 # names of files
  compile_core "$from" "$from/objects" $files
  gcc "$from"/objects/*.o -o "$from/interleave"
  finds timeout 600 "$from/interleave" -b 2 -s "$scenario"
}

without_barrier() { # scenario, name in shared.h
  finds timeout 600 "$dir/interleave" -b 2 -s "$1" -w "$2"
}

# Status 1: spin has found an error.
run_spin() { # name, switches
  local name=$1
  shift
  mkdir -p "$dir/$name"
  cd "$dir/$name"
  spin -a "$@" "$model/protocol.pml" > spin.out
  gcc -O1 -w -DSAFETY -DCOLLAPSE -DMEMLIM=3000 -o pan pan.c
  timeout 600 ./pan -m300000 > pan.out
  sed -n 's/^pan:/# pan:/p; s/^ *\(.*states, stored\)/# \1/p' pan.out
  grep -q 'errors: 0' pan.out && ! grep -q 'not completed\|too small' pan.out
}

test_spin() {
  run_spin "$@"
}

broken_spin() {
  finds run_spin "$@"
}

# The tests, as many at a time as there are processors.
count=0

check() { # sentence, command...
  local sentence=$1 n out
  [[ $sentence == *"${MODEL_ONLY:-}"* ]] || return 0
  n=$((++count))
  shift
  while [[ $(jobs -rp | wc -l) -ge $(nproc) ]]; do
    wait -n || true
  done
  (
    status=0
    out=$("$@" 2>&1) || status=$?
    [[ $status -eq 0 ]] || printf 'not '
    printf 'ok %d - %s\n' "$n" "$sentence"
    [[ -z $out ]] || printf '%s\n' "$out" | sed 's/^#* */# /'
  ) > "$dir/result.$(printf '%03d' "$n")" &
}

build_objects

check 'for every content of shared memory, ring and page stay within their memory, and end' test_every
check 'a page that changes between any two looks, or is long in changing, holds nobody up' test_restless
check 'spin: no wake-up is lost, and a message went if and only if it arrived' test_spin plain
check 'spin: nor when a sender is killed' test_spin crash -DCRASH
check 'spin: a sender that writes anything does not keep its receiver' test_spin hostile_s -DHOSTILE_S
check 'spin: a receiver that writes anything does not keep its sender' test_spin hostile_r -DHOSTILE_R
"$dir/interleave" -n > "$dir/scenarios"
while read -r number name; do
  check "in every order of steps: $name" test_interleave "$number"
done < "$dir/scenarios"

# What must be found: src/core with a fault, given as the function, its expression, and another one.
check 'found: the length of a frame is read twice' broken_every \
  ring_rx_frame 'first = @rx->size' 'length = shared_load(&header->length); first = @rx->size'
check 'found: the sender'\''s index is read twice' broken_every \
  ring_rx_look '@rx->prod = @prod;' '@rx->prod = shared_load(&@rx->ctl->prod);'
check 'found: the number of pages is read twice' broken_every \
  copy '@i < @view->ring_pages && @i < SIVC_RING_PAGES_MAX' '@i < shared_load(&page->ring_pages)'
check 'found: a length is not compared' broken_every \
  ring_rx_frame '@length > @left || ring_span(@length) > @left' 'false'
check 'found: the padding of a frame is not compared' broken_every \
  ring_rx_frame 'ring_span(@length) > @left' 'false'
check 'found: the receiver'\''s index is not compared' broken_every \
  tx_look '@cons - @tx->cons > tx_used(@tx)' 'false'
check 'found: the sender'\''s index is not compared' broken_every \
  ring_rx_look '@prod - @rx->cons > @rx->size' 'false'
check 'found: what is kept of a ring goes beyond its end' broken_every \
  ring_rx_copy '@rx->size - @at < @left ? @rx->size - @at : @left' '@left'
check 'found: a mark of a stream may be anything' broken_every flags_valid \
  'length > 0 ? !(@flags & SIVC_FRAME_CUT) : (@flags & MARKS) != 0' 'true'
check 'found: a mark has bytes' broken_every \
  ring_rx_frame '(@length > 0) + (@first < @length)' '1 + (@first < @length)'
check 'found: what is kept of a ring of streams is of messages' broken_every \
  ring_rx_copy '.streams = @rx->streams,' ''
check 'found: a sender follows a page for ever' broken_restless \
  outbound_fruitless '++@out->fruitless > FRUITLESS_MAX' 'false'
check 'found: and does not even count how often' broken_restless \
  run 'outbound_fruitless(@out);' ''
check 'found: a page that does not rest is not left alone' broken_restless '#define' BACKOFF_MS 0
check 'found: nor looked at again later' broken_restless \
  older_than_backoff 'loop_now() - @out->since >= BACKOFF_MS * NSEC_PER_MSEC' 'false'
check 'found: who cannot wait does not wait for a change to end' broken_restless '#define' DOUBT_TRIES 1
check 'found: or waits for ever' broken_restless '#define' DOUBT_TRIES 10000 \
  older_than_backoff 'loop_now() - @out->since >= BACKOFF_MS * NSEC_PER_MSEC' 'false'

two='five messages through a ring of two'
small='three small messages'
refused='the sender is refused'
twice='the sender is refused and permitted, twice'
check 'found: no barrier after publishing' without_barrier "$small" RING_PUBLISH
check 'found: no barrier before the receiver sleeps' without_barrier "$small" RING_RX_SLEEP
check 'found: no barrier after giving room back' without_barrier "$two" RING_RELEASE
check 'found: no barrier before the sender sleeps' without_barrier "$two" RING_TX_SLEEP
check 'found: no barrier when revoking' without_barrier "$refused" PAGE_CHANGE
check 'found: the receiver does not look again before it sleeps' broken_interleave "$small" \
  ring_rx_sleep 'ring_rx_look(@rx)' '0'
check 'found: the sender does not look again before it sleeps' broken_interleave "$two" \
  ring_tx_sleep 'tx_look(@tx)' '0'
check 'found: the sender does not look at the page after publishing' broken_interleave "$refused" \
  push_batch 'page_unchanged(@out->page, @out->view)' 'true'
check 'found: what a ring says of its end is not read' broken_interleave "$twice" page_ring_finished \
  'shared_load_acquire(&@ctl->finished) != 1' 'true'
check 'found: a message is published before it is copied' broken_interleave "$small" \
  ring_tx_put 'shared_copy_to(@tx->data + @at, &@header' \
  'for (int i = 0; i < 2; i++) shared_store_release(&@tx->ctl->prod, @tx->prod + ring_span(length));
   shared_copy_to(@tx->data + @at, &@header'
check 'found: the last look at a ring comes before the page says so' broken_interleave "$refused" \
  page_revoke_begin 'change_begin(@owner);' '(void)@owner;' \
  page_revoke_end 'shared_store(&@page->verdict' 'change_begin(owner); shared_store(&@page->verdict'

short='three short streams'
end='the end of a stream waits for room'
waited='a writer waits until its end, which waits for room, was read'
left='the reader of a stream leaves'
idle='the reader of an idle writer leaves'
unread='the reader leaves a writer that waits until all was read'
read='a writer waits until all was read'
renewed='a writer that waits until all was read is refused and permitted'
again='the writer is refused and permitted, with reading'
gone="the writer's process is killed, and no other comes"
check 'found: the mark of an end is not taken' broken_interleave "$short" \
  take_end 'inbound_taken(@in, @rx, &@frame);' ''
check 'found: a cut is an end' broken_interleave 'a stream is cut, the next one is whole' \
  frame_of_reader '@frame->flags & SIVC_FRAME_CUT ||' ''
check 'found: a stream goes on in the next one' broken_interleave "the writer's process is killed" \
  begins_next '@frame->flags & SIVC_FRAME_FIRST && !@in->incoming.at_first' 'false'
check 'found: a stream goes on in another ring' broken_interleave "$again" \
  outgoing_check '@out->channel.nonce != @writer->ring_nonce' 'false'
check 'found: an index of the next ring is a breach' broken_interleave "$again" \
  outbound_space '@r < 0 && page_unchanged(@out->page, @out->view)' '@r < 0'
check 'found: nobody waits to send an end' broken_interleave "$end" count_waiting '|| outgoing_ends(@out)' ''
check 'found: an end does not ask for room' broken_interleave "$end" least_need '@need = outgoing_need(@out);' ''
check 'found: an end that is due was read' broken_interleave "$waited" \
  all_read '@w->target = @out->tx.prod;' ''
check 'found: the next in line is not told that it is its turn' broken_interleave \
  'a second writer waits for its turn' sivc_stream_end \
  'loop_defer(&@out->ep->sivc->loop, &@out->line.run, on_run);' ''
check 'found: a writer does not look whether its reader has left' broken_interleave "$left" \
  is_broken 'page_stream_is_broken(@writer->out->page, @writer->begin)' 'false'
check 'found: a reader that leaves does not say so' broken_interleave "$idle" \
  incoming_leave 'page_stream_broken(&@in->owner, @incoming->begin | 1);' ''
check 'found: or says it of another stream' broken_interleave "$idle" incoming_leave '@incoming->begin | 1' '1'
check 'found: or does not signal' broken_interleave "$idle" incoming_leave 'hv_port_notify(@in->channel.port);' ''
check 'found: a stream without a reader keeps the others from their turn' broken_interleave "$idle" \
  outgoing_end 'end_broken(@out);' ''
check 'found: what is said of a stream holds for the next ring' broken_interleave \
  'the reader of a stream leaves, its writer is refused and permitted' \
  page_permit 'shared_store(&@page->broken, 0);' ''
check 'found: all was read before it was' broken_interleave "$read" \
  all_read '(int32_t)(@out->tx.cons - @w->target) < 0' 'false'
check 'found: who waits until all was read is not woken' broken_interleave "$read" \
  need_of '@out->tx.size - (@out->tx.prod - @w->target)' '0'
check 'found: what was thrown away was read' broken_interleave "$unread" \
  all_read 'return follow(@out, @w->writer);' 'return 0;'
check 'found: what was lost with a ring was read' broken_interleave "$renewed" \
  unlink_ring '@out->untold = -EPIPE;' ''
check 'found: what was lost because the reader left was read' broken_interleave \
  'the reader leaves, and the end of the stream waits for room' dead '@writer->out->untold = @error;' ''
check 'found: what a process has published before it ended is not looked for' broken_interleave \
  "the writer's process ends after its stream" front 'if (@lost) @r = inbound_front(@in, @rx, @frame);' ''
check 'found: the end of a process is not noticed' broken_interleave "$gone" \
  on_sender_node '@in->incoming.sender_gone = true;' ''
check 'found: nor on Xen' broken_interleave "${gone/killed/killed on Xen}" \
  is_lost '!channel_peer_alive(&@in->channel)' 'false'

while read -r broken; do
  crash=()
  [[ $broken == BROKEN_LINK_WITHOUT_SIGNAL ]] && crash=(-DCRASH)
  check "found by spin: ${broken#BROKEN_}" broken_spin "$broken" "-D$broken" "${crash[@]}"
done < <(grep -o 'BROKEN_[A-Z_]\+' "$model/protocol.pml" | sort -u)

wait
cat "$dir"/result.*
echo "1..$count"
! grep -q '^not ok' "$dir"/result.*
