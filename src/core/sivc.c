/* SPDX-License-Identifier: MIT */
/* sivc.c: opening and closing, and the loop. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "connection.h"
#include "container_of.h"
#include "core.h"
#include "fork.h"
#include "restore.h"

static void log_nothing(void *data, int priority, const char *message)
{
	(void)data;
	(void)priority;
	(void)message;
}

/* Opening. */

static bool ring_valid(uint32_t ring)
{
	return ring >= SIVC_RING_MIN && ring <= SIVC_RING_MAX && (ring & (ring - 1)) == 0;
}

static int check_config(const struct sivc_config *config)
{
	const char *why = NULL;

	if (config->ring != 0 && !ring_valid(config->ring))
		why = "ring: a power of two from 4096 to 2097152 bytes";
	else if (config->max_msg > SIVC_MAX_MSG_MAX)
		why = "max_msg: from 1 to 917504 bytes";
	else if (config->spin > SIVC_SPIN_MAX && config->spin != SIVC_SPIN_NONE)
		why = "spin: from 1 to 10000 microseconds, or none";
	if (!why)
		return 0;
	if (config->log)
		config->log(config->log_data, LOG_ERR, why);
	return -EINVAL;
}

static char *copy_string(const char *string, bool *failed)
{
	char *copy = string ? strdup(string) : NULL;

	*failed = *failed || (string && !copy);
	return copy;
}

static int copy_config(struct sivc *sivc, const struct sivc_config *config)
{
	bool failed = false;

	sivc->ring = config->ring ? config->ring : SIVC_RING_DEFAULT;
	sivc->ring_many = config->ring ? config->ring : SIVC_RING_MANY;
	sivc->max_msg = config->max_msg ? config->max_msg : SIVC_MAX_MSG_DEFAULT;
	sivc->config = (struct hv_config){
		.backend = copy_string(config->backend, &failed),
		.dir = copy_string(config->dir, &failed),
		.domid = config->domid,
		.name = copy_string(config->name, &failed),
		.mountpoint = copy_string(config->mountpoint, &failed),
		.log = config->log ? config->log : log_nothing,
		.log_data = config->log_data,
	};
	return failed ? -ENOMEM : 0;
}

static int connect_first(struct sivc *sivc)
{
	struct hv *hv;
	int r = hv_open(&sivc->config, &hv);

	return r == 0 ? connection_take(sivc, hv) : r;
}

int sivc_open(const struct sivc_config *config, struct sivc **result)
{
	struct sivc *sivc;
	int r = check_config(config);

	if (r < 0)
		return r;
	sivc = calloc(1, sizeof(*sivc));
	if (!sivc)
		return -ENOMEM;
	sivc->pid = getpid();
	LIST_INIT(&sivc->endpoints);
	spin_init(&sivc->spin, &sivc->loop, config->spin);
	restore_init(sivc);
	r = fork_init();
	if (r == 0)
		r = loop_init(&sivc->loop);
	if (r < 0) {
		free(sivc);
		return r;
	}
	r = copy_config(sivc, config);
	if (r == 0)
		r = connect_first(sivc);
	if (r < 0) {
		sivc_close(sivc);
		return r;
	}
	*result = sivc;
	return 0;
}

static void sivc_free(struct loop_object *object)
{
	struct sivc *sivc = container_of(object, struct sivc, object);

	loop_deinit(&sivc->loop);
	/* Copied by copy_config. */
	free((void *)(uintptr_t)sivc->config.backend);
	free((void *)(uintptr_t)sivc->config.dir);
	free((void *)(uintptr_t)sivc->config.name);
	free((void *)(uintptr_t)sivc->config.mountpoint);
	free(sivc);
}

void sivc_close(struct sivc *sivc)
{
	if (!sivc || sivc->pid != getpid())
		return;
	while (!LIST_EMPTY(&sivc->endpoints))
		sivc_endpoint_close(LIST_FIRST(&sivc->endpoints));
	restore_deinit(sivc);
	connection_close(sivc);
	loop_stop(&sivc->loop);
	sivc->closed = true;
	loop_dispose(&sivc->loop, &sivc->object, sivc_free);
}

/* The loop. */

/* The program waits elsewhere and cannot poll: from now on all channels are armed. */
int sivc_fd(struct sivc *sivc)
{
	loop_watch(&sivc->loop);
	spin_allow(&sivc->spin, false);
	return sivc->loop.epoll;
}

int sivc_wait(struct sivc *sivc, int timeout_ms)
{
	int r;

	loop_enter(&sivc->loop);
	r = spin_wait(&sivc->spin, timeout_ms);
	if (sivc->closed)
		r = -ESHUTDOWN;
	loop_leave(&sivc->loop);
	return r > 0 ? 0 : r;
}

int sivc_dispatch(struct sivc *sivc)
{
	int r = sivc_wait(sivc, 0);

	return r == -EINTR ? 0 : r;
}

int sivc_add_fd(struct sivc *sivc, int fd, uint32_t events, void (*fn)(void *data), void *data)
{
	struct loop_fd *handle;

	return loop_add(&sivc->loop, fd, events, fn, data, &handle);
}

void sivc_remove_fd(struct sivc *sivc, int fd)
{
	loop_remove(&sivc->loop, loop_find(&sivc->loop, fd));
}

/* What it is. */

const char *sivc_backend(const struct sivc *sivc)
{
	return hv_backend(sivc->hv);
}

uint16_t sivc_domid(const struct sivc *sivc)
{
	return hv_domid(sivc->hv);
}

const char *sivc_name(const struct sivc *sivc)
{
	return sivc->name;
}

uint32_t sivc_ring(const struct sivc *sivc)
{
	return sivc->ring;
}

uint32_t sivc_max_msg(const struct sivc *sivc)
{
	return sivc->max_msg;
}

uint32_t sivc_spin(const struct sivc *sivc)
{
	return sivc->spin.allowed ? sivc->spin.most : 0;
}
