/* SPDX-License-Identifier: MIT */
/*
 * dir.h: directories: what is in them, and endpoints that are made and removed.
 *
 * A listing is made when the directory is opened, and read by offset: it does not change under its
 * reader.
 */
#ifndef SIVCFS_DIR_H
#define SIVCFS_DIR_H

#include "file.h"

void dir_read(
	fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi);
void dir_mkdir(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode);
void dir_rmdir(fuse_req_t request, fuse_ino_t parent, const char *name);

#endif
