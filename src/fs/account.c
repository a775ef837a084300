/* SPDX-License-Identifier: MIT */
#include "account.h"

#include <errno.h>
#include <stdlib.h>

#include "tree.h" /* uthash, as it is wanted here */

struct account {
	uid_t uid;
	size_t bytes;
	UT_hash_handle hh;
};

static struct account *account_of(const struct fs *fs, uid_t uid)
{
	struct account *account;

	HASH_FIND(hh, fs->accounts, &uid, sizeof(uid), account);
	return account;
}

static struct account *account_new(struct fs *fs, uid_t uid)
{
	struct account *account = calloc(1, sizeof(*account));

	if (!account)
		return NULL;
	account->uid = uid;
	HASH_ADD(hh, fs->accounts, uid, sizeof(account->uid), account);
	if (account->hh.tbl)
		return account;
	free(account);
	return NULL;
}

int account_take(struct fs *fs, uid_t uid, size_t bytes)
{
	struct account *account = account_of(fs, uid);

	if (uid == 0)
		return 0;
	if (account && (bytes > ACCOUNT_MAX || account->bytes > ACCOUNT_MAX - bytes))
		return -ENOBUFS;
	if (!account)
		account = account_new(fs, uid);
	if (!account)
		return -ENOMEM;
	account->bytes += bytes;
	return 0;
}

void account_give(struct fs *fs, uid_t uid, size_t bytes)
{
	struct account *account = account_of(fs, uid);

	if (!account)
		return;
	account->bytes -= bytes;
	if (account->bytes > 0)
		return;
	HASH_DEL(fs->accounts, account);
	free(account);
}
