#!/usr/bin/env bats
# The gauges of stats that say how much waits.

load helpers

# gauges DIRECTORY: the values of the gauges of what is queued, by their labels.
gauges() {
  grep -E '^sivc_(endpoint_)?queued_bytes' "$1/stats"
}

@test "how much waits is in stats, by peer and in all" {
  start_domain 1
  start_domain 2
  start_domain 3
  permit 1 2 3
  same "$(gauges 1 | grep -v ' 0$' || :)" ""
  op 2/peers/1 w write=12345678 write=1
  printf 1234567890123456 > 3/peers/1
  # 8 bytes more for each, and multiples of 8.
  same "$(gauges 1)" 'sivc_queued_bytes{endpoint="default",peer="2"} 32
sivc_queued_bytes{endpoint="default",peer="3"} 24
sivc_endpoint_queued_bytes{endpoint="default"} 56'
  same "$(op 1/peers/2 r read)" "read 8 12345678"
  same "$(gauges 1)" 'sivc_queued_bytes{endpoint="default",peer="2"} 16
sivc_queued_bytes{endpoint="default",peer="3"} 24
sivc_endpoint_queued_bytes{endpoint="default"} 40'
  op 1/inbox r+nonblock drain
  same "$(gauges 1 | grep -v ' 0$' || :)" ""
}

@test "a message that was put back and one longer than the ring count as their length" {
  pair ring=4096
  printf 12345678 > 2/peers/1
  op 1/inbox r read=3
  same "$(gauges 1 | head -n 1)" 'sivc_queued_bytes{endpoint="default",peer="2"} 5'
  op 1/inbox r+nonblock drain
  start_op writer 2/peers/1 w fill=100000
  op 1/inbox r read=1
  finish writer
  same "$(gauges 1 | head -n 1)" 'sivc_queued_bytes{endpoint="default",peer="2"} 99999'
  same "$(op 1/inbox r queued)" "queued 99999"
  start_op reader 1/inbox r read=9 pause
  shows reader pause
  same "$(gauges 1 | head -n 1)" 'sivc_queued_bytes{endpoint="default",peer="2"} 0'
  next reader
  finish reader
}

@test "what a sender has left that is refused now counts, too" {
  pair
  printf 12345678 > 2/peers/1
  echo "deny 2" > 1/acl
  same "$(gauges 1 | tail -n 1)" 'sivc_endpoint_queued_bytes{endpoint="default"} 16'
}

# What promtool check metrics looks for.
@test "each family has one HELP and one TYPE, and a name that says its type" {
  pair
  printf hello > 2/peers/1
  same "$(awk '
    $1 == "#" && $2 == "HELP" { if (seen[$3]++) print "twice: " $3; help = $3; next }
    $1 == "#" && $2 == "TYPE" {
      if ($3 != help) print "no HELP: " $3
      if (($4 == "counter") != ($3 ~ /_total$/)) print "not named as " $4 ": " $3
      family = $3
      next
    }
    { sub(/[{ ].*/, "") }
    $0 != family { print "no TYPE: " $0 }' 1/stats)" ""
}
