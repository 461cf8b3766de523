/*
 * join.c - welcome and secrets for a new member, and the files behind them.
 *
 * Secrets travel only inside a link to the pinned key of a member, never on a
 * command line, in an environment, in the replicated state or in a log.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"
#include "log.h"

#define WELCOME_EVERY_MS 1000

void
join_path(const struct agent *agent, char *path, size_t size,
    const char *below_state_dir)
{
	snprintf(path, size, "%s/%s", agent->conf.state_dir,
	    below_state_dir);
}

int
join_read_file(const char *path, char *text, size_t size, char *errmsg)
{
	ssize_t got = -1;
	int fd;

	text[0] = '\0';
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		got = read(fd, text, size - 1);
	if (got < 0)
		snprintf(errmsg, ERRMSG_MAX, "could not read file \"%s\": %s",
		    path, strerror(errno));
	else
		text[got] = '\0';
	if (fd >= 0)
		close(fd);
	return got < 0 ? -1 : 0;
}

static int
write_whole(int fd, const char *text)
{
	size_t len = strlen(text);
	ssize_t put;

	while (len > 0) {
		put = write(fd, text, len);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return -1;
		text += put;
		len -= (size_t)put;
	}
	return fsync(fd);
}

int
join_write_file(const char *path, const char *text, char *errmsg)
{
	char temporary[CONF_PATH_MAX + 96], directory[CONF_PATH_MAX + 64];
	int fd, dir_fd = -1, result = -1;
	char *slash;

	snprintf(temporary, sizeof(temporary), "%s.tmp", path);
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write_whole(fd, text) != 0)
		goto out;
	if (rename(temporary, path) != 0)
		goto out;
	snprintf(directory, sizeof(directory), "%s", path);
	slash = strrchr(directory, '/');
	if (slash != NULL)
		*slash = '\0';
	dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0 || fsync(dir_fd) != 0)
		goto out;
	result = 0;
out:
	if (result != 0) {
		snprintf(errmsg, ERRMSG_MAX, "could not write file \"%s\": "
		    "%s", path, strerror(errno));
		unlink(temporary);
	}
	if (fd >= 0)
		close(fd);
	if (dir_fd >= 0)
		close(dir_fd);
	return result;
}

int
join_read_password(const struct agent *agent, char *password, size_t size,
    char *errmsg)
{
	char path[CONF_PATH_MAX + 64];
	size_t len;

	join_path(agent, path, sizeof(path), "secrets/replication_password");
	if (join_read_file(path, password, size, errmsg) != 0)
		return -1;
	len = strcspn(password, "\r\n");
	password[len] = '\0';
	if (len == 0) {
		snprintf(errmsg, ERRMSG_MAX, "file \"%s\" is empty", path);
		return -1;
	}
	return 0;
}

/* ---- the coordinator's half ---- */

static void
send_welcome(struct agent *agent, const struct member *member)
{
	const struct store_identity *identity =
	    raftio_identity(agent->raftio);
	struct wire_welcome welcome;
	uint8_t memory[128];
	struct buf buf;

	memset(&welcome, 0, sizeof(welcome));
	memcpy(welcome.cluster_id, identity->cluster_id,
	    sizeof(welcome.cluster_id));
	welcome.generation = identity->generation;
	welcome.member_id = member->id;
	buf_init(&buf, memory, sizeof(memory));
	wire_put_welcome(&buf, &welcome);
	if (!buf.failed)
		(void)agent_send(agent, member->id, FRAME_WELCOME, buf.data,
		    buf.len);
}

static void
read_secret(struct agent *agent, const char *name, char *text, size_t size)
{
	char path[CONF_PATH_MAX + 64], errmsg[ERRMSG_MAX];

	join_path(agent, path, sizeof(path), name);
	if (join_read_file(path, text, size, errmsg) != 0)
		log_warning("join", "%s", errmsg);
}

static void
send_secrets(struct agent *agent, const struct member *member)
{
	static uint8_t memory[FRAME_MAX];
	static struct wire_secrets secrets;
	char errmsg[ERRMSG_MAX];
	struct buf buf;

	memset(&secrets, 0, sizeof(secrets));
	if (join_read_password(agent, secrets.replication_password,
	    sizeof(secrets.replication_password), errmsg) != 0) {
		log_error("join", "%s", errmsg);
		return;
	}
	/* Any member may become a voter, and any voter coordinator. */
	secrets.has_voter_secrets = true;
	read_secret(agent, "secrets/ca.key", secrets.ca_key,
	    sizeof(secrets.ca_key));
	read_secret(agent, "secrets/ssh_key", secrets.ssh_key,
	    sizeof(secrets.ssh_key));
	read_secret(agent, "secrets/ssh_key.pub", secrets.ssh_public_key,
	    sizeof(secrets.ssh_public_key));
	buf_init(&buf, memory, sizeof(memory));
	wire_put_secrets(&buf, &secrets);
	if (!buf.failed)
		(void)agent_send(agent, member->id, FRAME_SECRETS, buf.data,
		    buf.len);
	explicit_bzero(memory, sizeof(memory));
	explicit_bzero(&secrets, sizeof(secrets));
}

/*
 * A member whose state is gone: a new identity is committed first.  True when
 * there is nothing (more) to welcome on that link now.
 */
static bool
renew_lost(struct agent *agent, struct agent_link *link,
    const struct member *member)
{
	struct command command;

	if (!link->lost)
		return link->member_id != 0 ||
		    view_of(&agent->view, member->id) != NULL;
	if (link->lost_id != 0)
		return member->id == link->lost_id;
	/* A link made before it was given one goes away at once. */
	if (monotime_diff_ms(agent->now, link->up_since) <
	    WELCOME_EVERY_MS)
		return true;
	link->lost_id = member->id;
	memset(&command, 0, sizeof(command));
	command.type = CMD_MEMBER_RENEW;
	command.time_us = agent_wall_us();
	command.u.member_id = member->id;
	snprintf(command.why, sizeof(command.why), "%s has lost the state of "
	    "its agent and becomes a new member", member->name);
	raftio_propose(agent->raftio, &command, NULL, NULL);
	return true;
}

void
join_welcome_members(struct agent *agent)
{
	const struct member *member;
	unsigned i;

	for (i = 0; i < agent->link_count; i++) {
		struct agent_link *link = &agent->links[i];

		member = state_member_named(&agent->state, link->node);
		if (member == NULL || renew_lost(agent, link, member))
			continue;
		if (!monotime_is_never(link->welcomed) && monotime_diff_ms(
		    agent->now, link->welcomed) < WELCOME_EVERY_MS)
			continue;
		link->welcomed = agent->now;
		log_info("join", "welcoming %s as member %u", member->name,
		    member->id);
		send_welcome(agent, member);
		send_secrets(agent, member);
	}
}

/* ---- the new member's half ---- */

static void
take_welcome(struct agent *agent, const char *from,
    const struct wire_welcome *welcome)
{
	struct store_identity identity;
	char errmsg[ERRMSG_MAX];
	unsigned i;

	if (agent_self(agent) != 0)
		return;		/* told before */
	identity = *raftio_identity(agent->raftio);
	memcpy(identity.cluster_id, welcome->cluster_id,
	    sizeof(identity.cluster_id));
	identity.generation = welcome->generation;
	identity.member_id = welcome->member_id;
	memcpy(identity.cluster, agent->conf.cluster,
	    sizeof(identity.cluster));
	memcpy(identity.node, agent->conf.node, sizeof(identity.node));
	if (raftio_join(agent->raftio, &identity, errmsg) != 0) {
		log_error("join", "%s", errmsg);
		return;
	}
	log_info("join", "welcomed by %s as member %u", from,
	    welcome->member_id);
	agent_set_targets(agent);
	if (agent->lost_state) {
		/* Links that still say "lost" must not be believed later. */
		agent->lost_state = false;
		agent_set_targets(agent);
		for (i = agent->link_count; i > 0; i--)
			peers_drop(agent->peers, agent->links[i - 1].node,
			    "a new identity was given");
	}
}

static void
write_secret(struct agent *agent, const char *name, const char *text)
{
	char path[CONF_PATH_MAX + 64], errmsg[ERRMSG_MAX];

	if (text[0] == '\0')
		return;
	join_path(agent, path, sizeof(path), name);
	if (join_write_file(path, text, errmsg) != 0)
		log_error("join", "%s", errmsg);
}

static void
take_secrets(struct agent *agent, const struct wire_secrets *secrets)
{
	char path[CONF_PATH_MAX + 64];

	join_path(agent, path, sizeof(path), "secrets");
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		log_error("join", "could not create directory \"%s\": %s",
		    path, strerror(errno));
	write_secret(agent, "secrets/replication_password",
	    secrets->replication_password);
	if (secrets->has_voter_secrets) {
		write_secret(agent, "secrets/ca.key", secrets->ca_key);
		write_secret(agent, "secrets/ssh_key", secrets->ssh_key);
		write_secret(agent, "secrets/ssh_key.pub",
		    secrets->ssh_public_key);
	}
	log_info("join", "secrets received");
	agent_wake(agent);
}

void
join_frame(struct agent *agent, const char *from, uint8_t type,
    const uint8_t *data, size_t len)
{
	static struct wire_secrets secrets;
	struct wire_welcome welcome;
	struct reader reader;

	reader_init(&reader, data, len);
	switch (type) {
	case FRAME_WELCOME:
		if (wire_get_welcome(&reader, &welcome) == 0)
			take_welcome(agent, from, &welcome);
		break;
	case FRAME_SECRETS:
		/* Only while it has none: nobody overwrites secrets. */
		if (wire_get_secrets(&reader, &secrets) == 0)
			take_secrets(agent, &secrets);
		explicit_bzero(&secrets, sizeof(secrets));
		break;
	default:
		log_debug("join", "frame of type %u from %s", type, from);
		break;
	}
}
