# SPDX-License-Identifier: MIT
#
# report.awk: from the data of run.sh to medians and to the table of bars.
#
# Each time with quantile.awk before it, as in `awk -f quantile.awk -f report.awk ...`:
#
#   report.awk -v what=medians transfer.tsv
#       label, mode, size, ns, p99_ns, switches, syscalls, cpu_ns, interrupts: the medians of the
#       runs
#   report.awk -v what=growth transfer.tsv senders.tsv
#       what, how many, ns a message: many senders, and many endpoints
#   report.awk -v what=table -v spin=MICROSECONDS transfer.tsv
#       what each transport takes, as a table in Markdown; spin: of the mounts that spin
#   report.awk -v what=shell shell.tsv
#       what a person at a shell waits for, as a table in Markdown
#   report.awk -v what=streams -v stream_mb=MIB shell.tsv
#       `dd` to `dd`, as a table in Markdown; so much of it, and a sixteenth with blocks of 1 KiB
#   report.awk -v what=bars -v ring=BYTES transfer.tsv senders.tsv shell.tsv
#       the bars, as a table in Markdown; a ring is its data and its control page
#
# Run 0 of the transfers is the one in which system calls were counted: only that is taken from it.
# What was not measured counts as not reached.

BEGIN {
  FS = OFS = "\t"
}

FNR == 1 {
  split("", column)
  for (i = 1; i <= NF; i++)
    column[$i] = i
  file = FILENAME
  sub(/.*\//, "", file)
  next
}

function get(name) {
  return $(column[name])
}

# Values are kept as text, in the order in which they came.
function add(key, value) {
  values[key] = values[key] " " value
}

file == "transfer.tsv" {
  key = get("transport") SUBSEP get("mode") SUBSEP get("size")
  if (!(key in seen)) {
    seen[key] = 1
    order[++keys] = key
  }
  if (get("run") == 0) {
    add(key SUBSEP "syscalls", get("syscalls"))
    next
  }
  add(key SUBSEP "ns", get("median_ns"))
  add(key SUBSEP "p99", get("p99_ns"))
  add(key SUBSEP "switches", get("switches"))
  add(key SUBSEP "cpu", get("cpu_ns"))
  add(key SUBSEP "interrupts", get("interrupts"))
}

file == "senders.tsv" {
  key = "senders" SUBSEP get("receiver") SUBSEP get("active") SUBSEP get("senders")
  add(key SUBSEP "ns", get("ns"))
  add(key SUBSEP "memory", get("memory"))
  add("idle" SUBSEP get("receiver") SUBSEP "switches", get("idle_switches"))
  add("idle" SUBSEP get("receiver") SUBSEP "cpu", get("idle_cpu_ns"))
  if (get("senders") + 0 > most)
    most = get("senders") + 0
}

file == "shell.tsv" {
  add("shell" SUBSEP get("what"), get("us"))
  add("shell" SUBSEP get("what") SUBSEP "switches", get("switches"))
}

# "" if there are no values.
function quantile(key, fraction) {
  return values[key] ~ /^ -/ ? "" : quantile_of(values[key], fraction)
}

function median(key) {
  return quantile(key, 0.5)
}

function ns(label, mode, size) {
  return median(label SUBSEP mode SUBSEP size SUBSEP "ns")
}

function dash(value) {
  return value == "" ? "-" : value
}

function print_medians(i, k) {
  print "label", "mode", "size", "ns", "p99_ns", "switches", "syscalls", "cpu_ns", "interrupts"
  for (i = 1; i <= keys; i++) {
    k = order[i]
    split(k, part, SUBSEP)
    print part[1], part[2], part[3], dash(median(k SUBSEP "ns")), dash(median(k SUBSEP "p99")),
      dash(median(k SUBSEP "switches")), dash(median(k SUBSEP "syscalls")),
      dash(median(k SUBSEP "cpu")), dash(median(k SUBSEP "interrupts"))
  }
}

function growth(name, count, value) {
  if (value != "")
    print name, count, value
}

# All of them apart.
function print_growth(i, n, counts, count) {
  print "what", "count", "ns"
  n = split("1 10 100 1000", counts, " ")
  for (i = 1; i <= n; i++) {
    count = counts[i]
    growth("senders, files", count, sender_ns("file-apart", "one", count))
    growth("senders, framed", count, sender_ns("framed-apart", "one", count))
    growth("endpoints", count, ns("file-endpoints-" count, "oneway", 1024))
    growth("endpoints, round trip", count, ns("file-endpoints-" count, "roundtrip", 1024))
  }
}

# NAME is what people call the transport with that label.
function row(label, name, one, trip, p99, bulk) {
  one = ns(label, "oneway", 1024)
  trip = ns(label, "roundtrip", 1024)
  p99 = median(label SUBSEP "roundtrip" SUBSEP 1024 SUBSEP "p99")
  bulk = ns(label, "oneway", 524288)
  if (one == "" && trip == "" && bulk == "")
    return
  printf "| %s | %s | %s | %s | %s | %s | %s | %s |\n", name, in_us(one), in_us(trip), in_us(p99),
    bulk == "" ? "" : sprintf("%.2f", 524288 / bulk),
    dash(median(label SUBSEP "roundtrip" SUBSEP 1024 SUBSEP "switches")),
    dash(median(label SUBSEP "roundtrip" SUBSEP 1024 SUBSEP "syscalls")),
    dash(median(label SUBSEP "roundtrip" SUBSEP 1024 SUBSEP "interrupts"))
}

function in_us(value) {
  return value == "" ? "" : sprintf(value < 100000 ? "%.1f" : "%.0f", value / 1000)
}

# What most of the other figures follow from.
function print_machine(trip, bulk) {
  trip = ns("futex", "roundtrip", 1024)
  bulk = ns("memcpy", "oneway", 524288)
  if (trip == "" || bulk == "")
    return
  printf "A wake-up of another processor takes %.0f us here (half a round trip by a futex), and memcpy from one process to another " \
    "moves %.1f GB/s.\n\n", trip / 2000, 524288 / bulk
}

function print_table() {
  print_machine()
  print "| | 1 KB one way, us | 1 KB round trip, us | its 99th percentile | 512 KiB, GB/s " \
    "| switches a round trip | system calls | interrupts between processors |"
  print "|---|--:|--:|--:|--:|--:|--:|--:|"
  row("file", "**sivcfs, plain files**")
  row("cat", "sivcfs, plain files, read as cat does, into 128 KiB")
  row("framed", "**sivcfs, framed files**")
  row("file-large-ring", "sivcfs, plain files, ring=2M")
  row("file-spin", "sivcfs, plain files, spin=" spin)
  row("libsivc", "**libsivc**")
  row("libsivc-nospin", "libsivc that does not spin")
  row("batched", "libsivc, batched")
  row("null", "*null FUSE file system*")
  row("relay", "*relay FUSE file system*")
  row("memcpy", "*memcpy, both sides busy*")
  row("futex", "*memcpy and futex*")
  row("pipe", "pipe")
  row("seqpacket", "Unix socket, SOCK_SEQPACKET")
  row("mqueue", "POSIX message queue")
  row("tcp", "TCP, loopback")
  row("veth", "TCP, veth")
  row("file-apart", "sivcfs, plain files, apart")
  row("cat-apart", "sivcfs, plain files, read as cat does, apart")
  row("file-spin-apart", "sivcfs, plain files, spin=" spin ", apart")
  row("framed-apart", "sivcfs, framed files, apart")
  row("null-apart", "*null FUSE file system, apart*")
  row("relay-apart", "*relay FUSE file system, apart*")
  row("libsivc-apart", "libsivc, apart")
  row("seqpacket-apart", "Unix socket, apart")
  row("veth-apart", "TCP, veth, apart")
}

function in_ms(what, value) {
  value = median("shell" SUBSEP what)
  return value == "" ? "" : sprintf(value < 100000 ? "%.1f" : "%.0f", value / 1000)
}

function shell_row(name, file, tcp, unix) {
  printf "| %s | %s | %s | %s |\n", name, in_ms(file), in_ms(tcp), unix ? in_ms(unix) : ""
}

function print_shell() {
  print "\n| at a shell, ms | sivcfs | socat, TCP | socat, Unix socket |"
  print "|---|--:|--:|--:|"
  shell_row("`echo > peers/7` until `read` has it", "echo-file", "echo-socat")
  shell_row("1,000 echos in a row", "loop-file", "loop-tcp", "loop-unix")
  shell_row("`cat` of 100 KB, 1,000 times", "cats-file", "cats-tcp", "cats-unix")
  shell_row("`tar` of 5,000 files, as a stream", "tar-stream", "tar-socat")
  shell_row("from `mount` to the first message", "mount")
}

function stream_row(name, label, i, n, blocks, what, us, mib) {
  n = split("1024 65536 131072", blocks, " ")
  printf "| %s |", name
  for (i = 1; i <= n; i++) {
    what = "shell" SUBSEP label "-" blocks[i]
    mib = blocks[i] == 1024 ? stream_mb / 16 : stream_mb
    us = median(what)
    printf us == "" ? " | |" : " %.0f | %.0f |", mib * 1048576 / us, median(what SUBSEP "switches") / mib
  }
  print ""
}

function print_streams() {
  print "\n| `dd` to `dd`, by | 1 KiB, MB/s | switches a MiB | 64 KiB, MB/s | switches a MiB | 128 KiB, MB/s | switches a MiB |"
  print "|---|--:|--:|--:|--:|--:|--:|"
  stream_row("sivcfs, a stream", "dd-stream")
  stream_row("*null FUSE file systems*", "dd-null")
  stream_row("a pipe", "dd-pipe")
  stream_row("TCP, veth", "dd-veth")
}

# sign: "<=" or ">=".  beside: what was seen meanwhile.
function bar(what, sign, limit, value, unit, beside, reached) {
  if (value == "") {
    printf "| %s | %s %s%s | not measured | no | |\n", what, sign, limit, unit
    return
  }
  reached = sign == "<=" ? value <= limit : value >= limit
  printf "| %s | %s %s%s | %.*f%s | %s | %s |\n", what, sign, limit, unit, value < 10 ? 2 : 1, value,
    unit, reached ? "yes" : "**no**", beside
}

function ratio(a, b) {
  return a == "" || b == "" ? "" : a / b
}

function interrupts(label, mode, size) {
  return dash(median(label SUBSEP mode SUBSEP size SUBSEP "interrupts"))
}

# LABEL in relation to OTHER: the time that it takes ("<="), or how many times as fast it is (">=").
function compare(what, sign, limit, mode, size, label, other, ours, theirs) {
  ours = ns(label, mode, size)
  theirs = ns(other, mode, size)
  bar(what, sign, limit, sign == "<=" ? ratio(ours, theirs) : ratio(theirs, ours), "x",
    interrupts(label, mode, size) ", " interrupts(other, mode, size))
}

# The same wherever the scheduler puts them, and each side on a processor of its own.
function compare_placed(what, sign, limit, mode, size, label, other) {
  compare(what, sign, limit, mode, size, label, other)
  compare("the same, apart", sign, limit, mode, size, label "-apart", other "-apart")
}

function bars_files() {
  compare_placed("file, 1 KB one way: time to that of the null file system", "<=", 1.25,
    "oneway", 1024, "file", "null")
  compare_placed("file, 1 KB round trip: time to that of the relay file system", "<=", 1.6,
    "roundtrip", 1024, "file", "relay")
  compare_placed("file, 1 KB round trip: time to that of TCP over veth", "<=", 1,
    "roundtrip", 1024, "file", "veth")
  compare_placed("file, 1 KB round trip: time to that with a longer spin=", "<=", 1.05,
    "roundtrip", 1024, "file", "file-spin")
  compare_placed("for comparison: a write and a read of the null file system, to TCP over veth", "<=", 1,
    "roundtrip", 1024, "null", "veth")
  compare_placed("framed file, 1 KB one way: speed to that of TCP over veth", ">=", 5,
    "oneway", 1024, "framed", "veth")
  compare_placed("file, 512 KiB one way: rate to that of the null file system", ">=", 0.4,
    "oneway", 524288, "file", "null")
  compare_placed("file, 512 KiB one way: rate to that of TCP over veth", ">=", 1,
    "oneway", 524288, "file", "veth")
  compare("the two above with a ring of 2 MiB: null", ">=", 0.4,
    "oneway", 524288, "file-large-ring", "null")
  compare("the two above with a ring of 2 MiB: veth", ">=", 1,
    "oneway", 524288, "file-large-ring", "veth")
}

function bars_library() {
  compare("libsivc, 1 KB one way: speed to that of TCP over veth", ">=", 10,
    "oneway", 1024, "libsivc", "veth")
  compare("libsivc, 1 KB one way: speed to that of SOCK_SEQPACKET", ">=", 3,
    "oneway", 1024, "libsivc", "seqpacket")
  compare("libsivc, 4 KB one way: speed to that of the memcpy limit", ">=", 0.5,
    "oneway", 4096, "libsivc", "memcpy")
  compare("libsivc, 1 KB round trip: time to that of a Unix socket", "<=", 1,
    "roundtrip", 1024, "libsivc", "seqpacket")
  compare("the same as speed: both sides spin, as they do by default", ">=", 3,
    "roundtrip", 1024, "libsivc", "seqpacket")
  compare("libsivc that is told not to spin: time to that of a Unix socket", "<=", 1,
    "roundtrip", 1024, "libsivc-nospin", "seqpacket")
}

function best_echo(socat, nc) {
  socat = median("shell" SUBSEP "echo-socat")
  nc = median("shell" SUBSEP "echo-nc")
  return nc == "" || (socat != "" && socat + 0 < nc + 0) ? socat : nc
}

# How many times as fast as the other.
function stream_ratio(ours, theirs) {
  return ratio(median("shell" SUBSEP theirs), median("shell" SUBSEP ours))
}

function bars_streams() {
  bar("stream, dd bs=64k to dd bs=64k: rate to that of TCP over veth", ">=", 1,
    stream_ratio("dd-stream-65536", "dd-veth-65536"), "x")
  bar("the same to that of two null file systems", ">=", 0.6,
    stream_ratio("dd-stream-65536", "dd-null-65536"), "x")
  bar("stream, dd bs=128k: rate to that of TCP over veth", ">=", 1,
    stream_ratio("dd-stream-131072", "dd-veth-131072"), "x")
  bar("stream, dd bs=1k: time to that of two null file systems", "<=", 1.25,
    stream_ratio("dd-null-1024", "dd-stream-1024"), "x")
  bar("stream, tar of 5,000 files: speed to that of socat and TCP over veth", ">=", 1,
    stream_ratio("tar-stream", "tar-socat"), "x")
}

function sender_ns(form, active, count) {
  return median("senders" SUBSEP form SUBSEP active SUBSEP count SUBSEP "ns")
}

# What a message takes if all of them send, without what it takes longer in memory alone because so many
# processes make them in as many rings, and not one in one.
function without_crowd(form, place, all, crowd, one) {
  all = sender_ns(form place, "all", most)
  crowd = sender_ns("null" place, "all", most)
  one = sender_ns("null" place, "all", 1)
  return all == "" || crowd == "" || one == "" ? "" : all - (crowd - one)
}

# place: "" or "-apart".
function bars_senders_in(form, place, where, count, counts, n) {
  where = (place ? "apart, " : "") form
  n = split("10 100 " most, counts, " ")
  for (count = 1; count <= n; count++)
    bar(counts[count] " permitted senders, one active, " where ": time a message to that of one", "<=", 1.2,
      ratio(sender_ns(form place, "one", counts[count]), sender_ns(form place, "one", 1)), "x")
  bar(most " senders, all active, " where ": throughput to that of one", ">=", 0.8,
    ratio(sender_ns(form place, "one", 1), sender_ns(form place, "all", most)), "x")
  bar("the same without what so many processes and rings take in memory alone, " where, ">=", 0.8,
    ratio(sender_ns(form place, "one", 1), without_crowd(form, place)), "x")
}

function bars_senders(form) {
  bars_senders_in(form, "")
  bars_senders_in(form, "-apart")
  bar("nobody sends, " form ": context switches of the receiver in a second", "<=", 0,
    quantile("idle" SUBSEP form SUBSEP "switches", 1), "")
  bar("nobody sends, " form ": CPU time of the receiver in a second, ns", "<=", 0,
    quantile("idle" SUBSEP form SUBSEP "cpu", 1), "")
  bar("memory a permitted sender beyond the ring (data and control page), " form ", bytes", "<=", 8192,
    beyond_ring(form), "")
}

function beyond_ring(form, memory) {
  memory = median("senders" SUBSEP form SUBSEP "one" SUBSEP most SUBSEP "memory")
  return memory == "" ? "" : memory - ring
}

function print_bars(mount) {
  print "| what | bar | measured | reached | interrupts between processors a message: ours, the other's |"
  print "|---|---|---|---|---|"
  bars_files()
  bars_library()
  bar("echo until `read` has it: speed to that of the better of socat and nc", ">=", 5,
    ratio(best_echo(), median("shell" SUBSEP "echo-file")), "x")
  bars_streams()
  bars_senders("file")
  bars_senders("framed")
  mount = median("shell" SUBSEP "mount")
  bar("mount to first message", "<=", 50, mount == "" ? "" : mount / 1000, " ms")
}

END {
  if (what == "medians")
    print_medians()
  else if (what == "growth")
    print_growth()
  else if (what == "table")
    print_table()
  else if (what == "streams")
    print_streams()
  else if (what == "shell")
    print_shell()
  else
    print_bars()
}
