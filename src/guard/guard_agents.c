/*
 * guard_agents.c - the guard's side of guard.sock.
 *
 * Owns the connections.  Must never block: an agent that does not read is
 * owed a status and gets the newest one when it can take it.  An agent that
 * disconnects changes nothing.
 */
#include "guardrun.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#define ACCEPT_PAUSE_NS 500000000

static void
peer_close(struct guard_peer *peer)
{
	close(peer->fd);
	memset(peer, 0, sizeof(*peer));
	peer->fd = -1;
}

/*
 * A free place, else the place of whoever connected first: an agent that
 * hangs must not keep its successor out.
 */
static struct guard_peer *
peer_place(struct guard *guard)
{
	struct guard_peer *oldest = &guard->peers[0];
	int i;

	for (i = 0; i < GUARD_AGENTS_MAX; i++) {
		if (guard->peers[i].fd == -1)
			return &guard->peers[i];
		if (guard->peers[i].number < oldest->number)
			oldest = &guard->peers[i];
	}
	peer_close(oldest);
	return oldest;
}

static bool
peer_allowed(int fd)
{
	struct ucred credentials;
	socklen_t len = sizeof(credentials);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len) == -1)
		return false;
	return credentials.uid == geteuid() || credentials.uid == 0;
}

void
guard_agents_accept(struct guard *guard)
{
	struct guard_peer *peer;
	int fd;

	if (guard_now_ns() < guard->accept_again_ns)
		return;
	for (;;) {
		fd = accept4(guard->listen_fd, NULL, NULL,
		    SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd == -1 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd == -1) {
			/* Else a real-time process would spin on it. */
			if (errno != EAGAIN)
				guard->accept_again_ns = guard_now_ns() +
				    ACCEPT_PAUSE_NS;
			return;
		}
		if (!peer_allowed(fd)) {
			close(fd);
			continue;
		}
		peer = peer_place(guard);
		peer->fd = fd;
		peer->number = ++guard->connections;
	}
}

/* The page's descriptor goes along with the answer to GUARD_ATTACH only. */
static void
peer_send(struct guard *guard, struct guard_peer *peer, bool with_page)
{
	struct guard_message message;
	struct iovec iov = { &message, sizeof(message) };
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr msg;
	struct cmsghdr *cmsg;
	ssize_t n;

	memset(&message, 0, sizeof(message));
	message.version = GUARD_VERSION;
	message.type = GUARD_STATUS;
	message.status = guard->half;
	memset(&msg, 0, sizeof(msg));
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	if (with_page) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control.space);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &guard->page_fd, sizeof(int));
	}
	n = sendmsg(peer->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	peer->behind = n == -1 && (errno == EAGAIN || errno == EINTR ||
	    errno == ENOBUFS);
	if (n == -1 && (!peer->behind || with_page))
		peer_close(peer);
}

void
guard_agent_tell(struct guard *guard, struct guard_peer *peer)
{
	if (peer->fd != -1 && peer->attached)
		peer_send(guard, peer, false);
}

bool
guard_agents_attached(const struct guard *guard, bool behind)
{
	int i;

	for (i = 0; i < GUARD_AGENTS_MAX; i++) {
		if (guard->peers[i].fd != -1 && guard->peers[i].attached &&
		    (!behind || guard->peers[i].behind))
			return true;
	}
	return false;
}

void
guard_agents_tell(struct guard *guard)
{
	int i;

	for (i = 0; i < GUARD_AGENTS_MAX; i++)
		guard_agent_tell(guard, &guard->peers[i]);
}

unsigned
guard_agent_read(struct guard *guard, struct guard_peer *peer)
{
	struct guard_message request;
	ssize_t n;

	memset(&request, 0, sizeof(request));
	n = recv(peer->fd, &request, sizeof(request), MSG_DONTWAIT);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		peer_close(peer);
		return 0;
	}
	if ((size_t)n < offsetof(struct guard_message, status))
		return 0;
	switch (request.type) {
	case GUARD_ATTACH:
		peer->attached = true;
		peer_send(guard, peer, true);
		return 0;
	case GUARD_STOP:
	case GUARD_KILL:
	case GUARD_POKE:
		return request.type;
	default:
		return 0;
	}
}
