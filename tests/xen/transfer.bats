#!/usr/bin/env bats
# The second promise, measured: the same work between two guests over what can carry it
# (pingpong.c): 1 KB messages one way in a row, round trips, and bulk in 128 and 512 KiB.

load helpers
load measure

messages=${TRANSFER_MESSAGES:-20000}
table=$results/transfer.tsv
# The factor for what is close: one round differs from the next by half, medians of several do not.
close=0.67
((rounds == 1)) || close=1
# The first work is not counted: an emulated processor translates what it has never run before.
trips=$((messages / 10))
works="oneway:1024:$((messages / 4)) oneway:1024:$messages roundtrip:1024:$trips"
works+=" oneway:131072:$((messages / 50)) oneway:524288:$((messages / 200))"

setup_file() {
  printf '%s\t' transport mode bytes messages us_per_message median_us >"$table"
  echo p99_us >>"$table"
}

# transfer TRANSPORT[-HOW] PEER_OF_B PEER_OF_A: guest 1 consumes what guest 2 produces.
transfer() {
  local transport=${1%%-*} pingpong=pingpong
  [[ $1 != *-spin ]] || pingpong="SIVC_MOUNT=/spin pingpong"
  start consumer in_domain 1 "$pingpong b $transport $2 $works"
  shows consumer ready
  in_domain 2 "$pingpong a $transport $3 $works" | sed -e 1d -e "s/^$transport/$1/" >>"$table"
  finish consumer
  echo "$output"
  same "$status" 0
  grep "^$1" "$table"
}

# take_turns PEER_OF_B PEER_OF_A TRANSPORT...: each of them carries it once a round.
take_turns() {
  local round transport
  for ((round = 0; round < rounds; round++)); do
    for transport in "${@:3}"; do transfer "$transport" "$1" "$2"; done
  done
}

@test "TCP over netfront carries it" {
  take_turns 9000 10.9.0.1:9000 tcp
}

@test "libxenvchan carries it, and libsivc, faster than TCP" {
  take_turns "$(id 2)" "$(id 1)" vchan libsivc batched
  beats 1 libsivc tcp oneway 1024
  beats 1 libsivc tcp roundtrip 1024
}

@test "plain and framed files carry it, and without spin= as fast as with the longest" {
  mount_both 1 2
  place=/spin mount_both 1 2 spin=10000,endpoint=spin
  take_turns "$(id 2)" "$(id 1)" file file-spin framed
  beats 1 framed tcp oneway 1024
  beats "$close" file tcp roundtrip 1024
  # One round on a busy machine says nothing.
  ((rounds == 1)) || beats 0.95 file file-spin roundtrip 1024
}

# What guest 2 receives is answers, and who does not spin is woken for each.  How long one takes depends on
# the machine (1 ms on one, 4 ms on another), and a spin that is shorter is given up: here it is the
# longest that there is.
@test "who spins for longer than an answer takes is seldom woken for it" {
  table=$BATS_TEST_TMPDIR/table works="roundtrip:1024:$trips roundtrip:1024:$trips"
  mount_both 1 2 spin=10000
  transfer file "$(id 2)" "$(id 1)"
  local woken
  woken=$(counter 2 sivc_receive_wakeups_total)
  echo "guest 2 was woken $woken times for $((2 * trips)) answers"
  ((woken < trips))
}

# framed_through RING: framed files carry it through rings of that size, faster than TCP.
framed_through() {
  mount_both 1 2 "ring=$1"
  take_turns "$(id 2)" "$(id 1)" "framed-$1"
  beats 1 "framed-$1" tcp oneway 1024
}

@test "framed files carry it through a ring of 256 KiB" {
  framed_through 256K
}

@test "framed files carry it through a ring of 2 MiB" {
  framed_through 2M
}
