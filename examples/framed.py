#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""framed.py: many messages a system call, from Python; and an asyncio reader.

framed.py MOUNTPOINT                    prints each message that comes: DOMID BYTES
framed.py MOUNTPOINT PEER < LINES       sends each line as one message
"""
import asyncio
import fcntl
import os
import struct
import sys

SIVC_IOC_FRAMED = 0x4004B505  # _IOW(0xB5, 5, uint32_t)
HEADER = struct.Struct("=II")  # length, domain
ROOM = 1 << 20

def open_framed(path, flags):
    fd = os.open(path, flags | os.O_NONBLOCK)
    fcntl.ioctl(fd, SIVC_IOC_FRAMED, struct.pack("=I", 1))
    return fd

def messages(data):
    """What one read has brought: (sender, bytes) of each message."""
    at = 0
    while at < len(data):
        length, domain = HEADER.unpack_from(data, at)
        at += HEADER.size
        yield domain, data[at : at + length]
        at += length

async def receive(mountpoint):
    loop = asyncio.get_running_loop()
    inbox = open_framed(mountpoint + "/inbox", os.O_RDONLY)

    def readable():
        try:
            data = os.read(inbox, ROOM)
        except BlockingIOError:
            return
        for sender, message in messages(data):
            print(sender, message, flush=True)

    loop.add_reader(inbox, readable)
    await loop.create_future()  # for ever

def send(mountpoint, peer, lines):
    domain = int(os.path.basename(os.path.realpath(f"{mountpoint}/peers/{peer}")))
    fd = open_framed(f"{mountpoint}/peers/{domain}", os.O_WRONLY)
    os.set_blocking(fd, True)
    data = b"".join(HEADER.pack(len(line), domain) + line for line in lines)
    while data:  # a write takes whole frames, as many as there is room for
        data = data[os.write(fd, data[:ROOM]) :]

if len(sys.argv) == 2:
    asyncio.run(receive(sys.argv[1]))
else:
    send(sys.argv[1], sys.argv[2], sys.stdin.buffer.readlines())
