# SPDX-License-Identifier: MIT
#
# transfer.gp: transfer.tsv as bars, one group for each kind of work.  Started where that is, with
# our own directory as argument.

set terminal svg size 820,460 font 'sans-serif,14' background '#ffffff'
set output 'transfer.svg'
set datafile separator tab
set title 'Between two guests: microseconds a message (less is better)'
set logscale y
set style data histograms
set style histogram clustered gap 1
set style fill solid
set border 3
set tics nomirror
set grid ytics lc rgb '#dddddd'
set key outside bottom center horizontal
transports = "tcp vchan libsivc batched file file-spin framed framed-256K framed-2M"
titles = "'TCP over netfront' libvchan libsivc 'libsivc, batched' 'sivcfs, files' 'files, spin=10000' \
	'sivcfs, framed' 'framed, ring=256K' 'framed, ring=2M'"
array color[9] = [0x8d6e63, 0x009e73, 0x0072b2, 0x56b4e9, 0xd55e00, 0xf28e5c, 0xe69f00, 0xf0e442, 0xb8b000]
rows(transport) = "< ".ARG1."/medians.sh transfer.tsv | awk -F '\t' '$1 == \"".transport."\" { print $2 \" \" $3 \"\\t\" $4 }'"
label(text) = text eq 'oneway 1024' ? '1 KB, one way' : text eq 'roundtrip 1024' ? '1 KB, round trip' : \
	text eq 'oneway 131072' ? '128 KiB' : '512 KiB'
plot for [i = 1:words(transports)] rows(word(transports, i)) \
	using 2:xticlabels(label(strcol(1))) lc rgb color[i] title word(titles, i)
