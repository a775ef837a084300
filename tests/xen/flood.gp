# SPDX-License-Identifier: MIT
#
# flood.gp: flood.tsv as bars.  Started where it is.

set terminal svg size 760,420 font 'sans-serif,14' background '#ffffff'
set output 'flood.svg'
set datafile separator tab
set title 'A guest sends 4 KB as fast as it can to one that refuses it'
set ylabel 'CPU time of the receiving guest, %'
set style fill solid
set boxwidth 0.6
set yrange [0:]
set border 3
set tics nomirror
set grid ytics lc rgb '#dddddd'
unset key
plot 'flood.tsv' every ::1 using 0:3:($0 == 1 ? 0xd55e00 : 0x888888):xticlabels(1) \
	with boxes lc rgb variable, \
	'' every ::1 using 0:3:(sprintf('%.1f', column(3))) with labels offset 0,0.7
