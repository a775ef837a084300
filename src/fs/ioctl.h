/* SPDX-License-Identifier: MIT */
#ifndef SIVCFS_IOCTL_H
#define SIVCFS_IOCTL_H

#include "file.h"

void file_ioctl(fuse_req_t request, fuse_ino_t ino, unsigned int command, void *argument,
	struct fuse_file_info *fi, unsigned int flags, const void *in, size_t in_size,
	size_t out_size);

#endif
