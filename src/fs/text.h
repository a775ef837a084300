/* SPDX-License-Identifier: MIT */
/*
 * text.h: files whose text is made when they are opened.
 *
 * self says who this domain is, `KEY VALUE` a line; stats has libsivc's counters.  A reader sees
 * one moment, however it reads.
 */
#ifndef SIVCFS_TEXT_H
#define SIVCFS_TEXT_H

#include "file.h"

/* What self, stats or acl says now, for the caller to free(); its length, or a negative errno. */
ssize_t text_of(const struct branch *branch, enum node_kind kind, char **text);

void reply_part(fuse_req_t request, const char *text, size_t length, size_t size, off_t offset);

#endif
