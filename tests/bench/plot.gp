# SPDX-License-Identifier: MIT
#
# plot.gp: the plots of the benchmark.  run.sh sets `medians` and `growth` (files), `directory`, and `apart`,
# the end of the labels of what was measured with a processor for each side.

set terminal svg size 820,480 font 'sans-serif,14' background '#ffffff'
set datafile separator tab
set datafile missing NaN
set logscale xy
set grid ytics lc rgb '#dddddd'
set border 3
set tics nomirror
set key outside right samplen 2 noenhanced

# The rows of one label and mode.
is(label, mode) = stringcolumn('label') eq label && stringcolumn('mode') eq mode
us(label, mode) = is(label, mode) ? column('ns') / 1000.0 : NaN
rate(label, mode) = is(label, mode) ? column('size') / column('ns') : NaN

# sivcfs and libsivc with thick lines, their floors dashed in the same colours, the others thin.
labels = sprintf("file%s null%s framed%s libsivc%s memcpy seqpacket%s pipe veth%s", \
	apart, apart, apart, apart, apart, apart)
titles = "'sivcfs, files' 'their floor: null FUSE' 'sivcfs, framed' 'libsivc' 'its floor: memcpy' \
	'SOCK_SEQPACKET' 'pipe' 'TCP, veth'"
array color[8] = [0xd55e00, 0xd55e00, 0xe69f00, 0x0072b2, 0x0072b2, 0xcc79a7, 0x009e73, 0x5d4037]
array width[8] = [3, 2, 3, 3, 2, 1.5, 1.5, 1.5]
array dashes[8] = [1, 2, 1, 1, 2, 1, 1, 1]

set xlabel 'bytes a message'
set xtics ('64' 64, '1 Ki' 1024, '4 Ki' 4096, '32 Ki' 32768, '128 Ki' 131072, '512 Ki' 524288)
set xrange [48:700000]

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

set output directory.'/bulk.svg'
set title 'Bulk, one way'
set ylabel 'GB a second'
unset logscale y
set yrange [0:*]
set xrange [3000:700000]
plot for [i = 1:words(labels)] medians using 'size':(rate(word(labels, i), 'oneway')) \
	with linespoints lc rgb color[i] lw width[i] dt dashes[i] pt 7 ps 0.5 title word(titles, i)

set output directory.'/growth.svg'
set title '1 KB, one way, among many'
set xlabel 'how many there are, one of which is used'
set ylabel 'microseconds a message'
set xtics ('1' 1, '10' 10, '100' 100, '1000' 1000)
set xrange [0.8:1250]
names = "'senders, files' 'senders, framed' 'endpoints' 'endpoints, round trip'"
plot for [i = 1:words(names)] growth \
	using 'count':(stringcolumn('what') eq word(names, i) ? column('ns') / 1000.0 : NaN) \
	with linespoints lc rgb color[2 * i - 1] lw 2 pt 7 ps 0.5 title word(names, i)
