# SPDX-License-Identifier: MIT
#
# plot.gp: the two plots of the benchmark.  run.sh sets `medians` (a file) and `directory`.

set terminal svg size 820,560 font 'sans-serif,14' background '#ffffff'
set datafile separator tab
set datafile missing NaN
set logscale xy
set xlabel 'bytes a message'
set xtics ('64' 64, '1 Ki' 1024, '4 Ki' 4096, '128 Ki' 131072, '512 Ki' 524288)
set xrange [48:700000]
set grid ytics lc rgb '#dddddd'
set border 3
set tics nomirror
set key outside right samplen 2 noenhanced

# The rows of one label and mode.
us(label, mode) = \
	stringcolumn('label') eq label && stringcolumn('mode') eq mode ? column('ns') / 1000.0 : NaN

# sivcfs and libsivc with thick lines, the floors and limits dashed, the others thin.
labels = "file framed libsivc batched null relay memcpy pipe seqpacket tcp veth mqueue"
titles = "'sivcfs, files' 'sivcfs, framed' 'libsivc' 'libsivc, batched' 'null FUSE' 'relay FUSE' \
	'memcpy' 'pipe' 'SOCK_SEQPACKET' 'TCP, loopback' 'TCP, veth' 'POSIX mq'"
array color[12] = [0xd55e00, 0xe69f00, 0x0072b2, 0x56b4e9, 0x888888, 0x888888, 0x000000, 0x009e73, \
	0xcc79a7, 0x5d4037, 0x8d6e63, 0x9ccc65]
array width[12] = [3, 3, 3, 3, 2, 2, 2, 1.5, 1.5, 1.5, 1.5, 1.5]
array dashes[12] = [1, 1, 1, 1, 2, 3, 2, 1, 1, 1, 1, 1]

set output directory.'/oneway.svg'
set title 'One way in a row'
set ylabel 'microseconds a message'
plot for [i = 1:words(labels)] medians using 'size':(us(word(labels, i), 'oneway')) \
	with linespoints lc rgb color[i] lw width[i] dt dashes[i] pt 7 ps 0.5 title word(titles, i)

set output directory.'/roundtrip.svg'
set title 'Round trips (median)'
set ylabel 'microseconds a round trip'
plot for [i = 1:words(labels)] medians using 'size':(us(word(labels, i), 'roundtrip')) \
	with linespoints lc rgb color[i] lw width[i] dt dashes[i] pt 7 ps 0.5 title word(titles, i)
