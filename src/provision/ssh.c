/*
 * ssh.c - the worker's SSH session (libssh2, non-blocking, deadlines).
 *
 * Must never send the user key's signature to a host whose key is not known,
 * never write a known_hosts file and never ask a human anything.
 */
#include "ssh.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libssh2.h>

#define RESOLVE_MS	15000
#define CONNECT_MS	10000	/* for each address */
#define HANDSHAKE_MS	20000
#define LOGIN_MS	20000
#define CLOSE_MS	2000
#define DEAD_LINK_MS	15000	/* bytes unacknowledged for so long */
#define ACCEPT_TRIES	4	/* one for each usable type of host key */
#define STDERR_MAX	1024

struct ssh {
	const struct ssh_destination *to;
	int fd;
	LIBSSH2_SESSION *session;
	LIBSSH2_CHANNEL *channel;
	struct hostkey_list known;
	char line[HOSTKEY_LINE_MAX];
	char fingerprint[HOSTKEY_FINGERPRINT_MAX];
	char type[HOSTKEY_TYPE_MAX];
	char warning[512];
	char said[STDERR_MAX];	/* by the program on stderr */
	size_t said_len;
	struct line_buffer buffer;
};

const char *
ssh_host_line(const struct ssh *ssh)
{
	return ssh->line;
}

const char *
ssh_host_fingerprint(const struct ssh *ssh)
{
	return ssh->fingerprint;
}

const char *
ssh_warning(const struct ssh *ssh)
{
	return ssh->warning;
}

/* getaddrinfo() has no deadline of its own; its thread may outlive ours. */
static struct addrinfo *
resolve(const struct ssh_destination *to, struct problem *problem)
{
	static struct addrinfo hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM
	};
	static struct gaicb request;
	static char port[16], host[ADDRESS_MAX_LEN + 1];
	struct gaicb *list[] = { &request };
	struct timespec timeout = { .tv_sec = RESOLVE_MS / 1000 };
	int rc;

	snprintf(port, sizeof(port), "%d", to->port);
	snprintf(host, sizeof(host), "%s", to->host);
	memset(&request, 0, sizeof(request));
	request.ar_name = host;
	request.ar_service = port;
	request.ar_request = &hints;
	rc = getaddrinfo_a(GAI_NOWAIT, list, 1, NULL);
	if (rc == 0) {
		gai_suspend((const struct gaicb *const *)list, 1, &timeout);
		rc = gai_error(&request);
	}
	if (rc == 0)
		return request.ar_result;
	problem_set(problem, "could not resolve host name \"%s\": %s",
	    to->host, rc == EAI_INPROGRESS ? "no answer in time" :
	    gai_strerror(rc));
	problem_hint(problem, "Check it with \"getent hosts %s\" on this "
	    "node, or give the address of the host.", to->host);
	return NULL;
}

static int
connect_one(const struct addrinfo *ai)
{
	struct pollfd pfd = { .events = POLLOUT };
	int error = 0, on = 1, dead_ms = DEAD_LINK_MS, idle_s = 5;
	socklen_t len = sizeof(error);

	pfd.fd = socket(ai->ai_family,
	    ai->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, ai->ai_protocol);
	if (pfd.fd < 0)
		return -1;
	if (connect(pfd.fd, ai->ai_addr, ai->ai_addrlen) != 0) {
		if (errno == EINPROGRESS) {
			error = poll(&pfd, 1, CONNECT_MS) == 1 ? 0 : ETIMEDOUT;
			if (error == 0)
				getsockopt(pfd.fd, SOL_SOCKET, SO_ERROR,
				    &error, &len);
		} else {
			error = errno;
		}
		if (error != 0) {
			close(pfd.fd);
			errno = error;
			return -1;
		}
	}
	setsockopt(pfd.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(pfd.fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(pfd.fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	setsockopt(pfd.fd, IPPROTO_TCP, TCP_KEEPINTVL, &idle_s,
	    sizeof(idle_s));
	setsockopt(pfd.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead_ms,
	    sizeof(dead_ms));
	return pfd.fd;
}

static int
connect_host(const struct ssh_destination *to, struct problem *problem)
{
	struct addrinfo *list = resolve(to, problem);
	int fd = -1, error = 0;

	if (list == NULL)
		return -1;
	for (struct addrinfo *ai = list; ai != NULL && fd < 0;
	    ai = ai->ai_next) {
		fd = connect_one(ai);
		if (fd < 0)
			error = errno;
	}
	freeaddrinfo(list);
	if (fd >= 0)
		return fd;
	problem_set(problem, "could not connect to host \"%s\", port %d: %s",
	    to->host, to->port, strerror(error));
	if (error == ECONNREFUSED)
		problem_hint(problem, "No sshd listens there: start it on the "
		    "host, or give the right port.");
	else
		problem_hint(problem, "Check that the host is up and that no "
		    "firewall drops port %d between it and this node.",
		    to->port);
	return -1;
}

/* Until libssh2 can go on; -1 when the deadline has passed. */
static int
wait_socket(struct ssh *ssh, int64_t deadline)
{
	int directions = libssh2_session_block_directions(ssh->session);
	struct pollfd pfd = { .fd = ssh->fd };
	int64_t left = deadline - message_now_ms();
	int rc;

	if ((directions & LIBSSH2_SESSION_BLOCK_OUTBOUND) != 0)
		pfd.events |= POLLOUT;
	if ((directions & LIBSSH2_SESSION_BLOCK_INBOUND) != 0 ||
	    directions == 0)
		pfd.events |= POLLIN;
	if (left <= 0)
		return -1;
	rc = poll(&pfd, 1, (int)left);
	return rc > 0 || (rc < 0 && errno == EINTR) ? 0 : -1;
}

/* Repeats a call of libssh2 until it no longer has to wait. */
#define WAITING(ssh, rc, deadline, call)				\
	do {								\
		(rc) = (call);						\
	} while ((rc) == LIBSSH2_ERROR_EAGAIN &&			\
	    (wait_socket((ssh), (deadline)) == 0 ||			\
	    ((rc) = LIBSSH2_ERROR_TIMEOUT, false)))

static const char *
session_error(struct ssh *ssh, long rc)
{
	char *text = NULL;

	if (rc == LIBSSH2_ERROR_TIMEOUT)
		return "no answer in time";
	libssh2_session_last_error(ssh->session, &text, NULL, 0);
	return text == NULL || text[0] == '\0' ? "connection lost" : text;
}

static int
read_exactly(int fd, unsigned char *data, size_t size, int64_t deadline)
{
	size_t done = 0;

	while (done < size) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		int64_t left = deadline - message_now_ms();
		ssize_t n;

		if (left <= 0 || poll(&pfd, 1, (int)left) <= 0)
			return -1;
		n = read(fd, data + done, size - done);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return -1;
		if (n > 0)
			done += (size_t)n;
	}
	return 0;
}

static size_t
get_u32(const unsigned char *p)
{
	return (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 |
	    p[3];
}

/*
 * The host key algorithms a server offers, from its first packet (RFC 4253,
 * 7.1: u32 length, u8 padding, u8 20, cookie[16], name-lists), which comes
 * before any encryption.  libssh2 does not tell them when it agreed on none.
 */
static int
offered_algorithms(const struct ssh_destination *to, char *list, size_t size)
{
	static const char ours[] = "SSH-2.0-failoverd\r\n";
	const int64_t deadline = message_now_ms() + HANDSHAKE_MS;
	unsigned char packet[8192], *p = packet + 18;
	struct problem ignored;
	int fd = connect_host(to, &ignored), rc = -1;
	size_t len = 0, n;

	list[0] = '\0';
	if (fd < 0)
		return -1;
	do {			/* the banner, after any lines before it */
		len = 0;
		do {
			if (read_exactly(fd, packet + len, 1, deadline) != 0)
				goto out;
		} while (packet[len++] != '\n' && len < 512);
	} while (memcmp(packet, "SSH-", 4) != 0);
	if (write(fd, ours, sizeof(ours) - 1) != (ssize_t)sizeof(ours) - 1 ||
	    read_exactly(fd, packet, 5, deadline) != 0)
		goto out;
	len = get_u32(packet) - 1;
	if (len < 32 || len > sizeof(packet) ||
	    read_exactly(fd, packet, len, deadline) != 0 || packet[0] != 20)
		goto out;
	p = packet + 17;
	n = get_u32(p);		/* key exchange methods: skipped */
	if (n > len - 25)
		goto out;
	p += 4 + n;
	n = get_u32(p);
	if (n >= size || n > len - (size_t)(p + 4 - packet))
		goto out;
	memcpy(list, p + 4, n);
	list[n] = '\0';
	message_clean(list);
	rc = 0;
out:
	close(fd);
	return rc;
}

static bool
offers_usable(const char *list)
{
	return strstr(list, "ssh-ed25519") != NULL ||
	    strstr(list, "ecdsa-sha2-nistp") != NULL;
}

static int
handshake_problem(struct ssh *ssh, int rc, struct problem *problem)
{
	const struct ssh_destination *to = ssh->to;
	char offered[1024], reason[256];

	snprintf(reason, sizeof(reason), "%s", session_error(ssh, rc));
	if (rc == LIBSSH2_ERROR_BANNER_RECV) {
		problem_set(problem, "what listens on port %d of host \"%s\" "
		    "does not speak SSH", to->port, to->host);
		return problem_hint(problem, "Give the port of its sshd.");
	}
	if ((rc == LIBSSH2_ERROR_KEX_FAILURE ||
	    rc == LIBSSH2_ERROR_KEY_EXCHANGE_FAILURE ||
	    rc == LIBSSH2_ERROR_SOCKET_DISCONNECT) &&
	    offered_algorithms(to, offered, sizeof(offered)) == 0 &&
	    !offers_usable(offered)) {
		problem_set(problem, "host \"%s\" has only RSA host keys "
		    "(%.200s), and libssh2 1.10 cannot use RSA host keys",
		    to->host, offered);
		return problem_hint(problem, "As root on the host run "
		    "\"ssh-keygen -A\", which makes the missing Ed25519 host "
		    "key, see that no HostKey line of sshd_config leaves it "
		    "out, restart sshd, then try again.");
	}
	problem_set(problem, "no SSH session with host \"%s\", port %d: %s",
	    to->host, to->port, reason);
	return problem_hint(problem, "Look into the log of sshd on the host; "
	    "\"ssh -v -p %d %s@%s\" on this node shows how far it gets.",
	    to->port, to->user, to->host);
}

static void
drop_session(struct ssh *ssh)
{
	const int64_t deadline = message_now_ms() + CLOSE_MS;
	int rc;

	if (ssh->session != NULL) {
		WAITING(ssh, rc, deadline, libssh2_session_disconnect(
		    ssh->session, "done"));
		WAITING(ssh, rc, deadline,
		    libssh2_session_free(ssh->session));
	}
	if (ssh->fd >= 0)
		close(ssh->fd);
	ssh->session = NULL;
	ssh->fd = -1;
}

/* Connects and agrees on keys, asking for one of these host key types. */
static int
start_session(struct ssh *ssh, const char *algorithms,
    struct problem *problem)
{
	const int64_t deadline = message_now_ms() + HANDSHAKE_MS;
	const char *blob;
	size_t len = 0;
	int rc, type = 0;

	ssh->fd = connect_host(ssh->to, problem);
	if (ssh->fd < 0)
		return -1;
	ssh->session = libssh2_session_init();
	if (ssh->session == NULL)
		return problem_set(problem, "out of memory");
	libssh2_session_set_blocking(ssh->session, 0);
	rc = libssh2_session_method_pref(ssh->session, LIBSSH2_METHOD_HOSTKEY,
	    algorithms);
	if (rc == 0)
		WAITING(ssh, rc, deadline,
		    libssh2_session_handshake(ssh->session, ssh->fd));
	if (rc != 0)
		return handshake_problem(ssh, rc, problem);
	blob = libssh2_session_hostkey(ssh->session, &len, &type);
	if (blob == NULL || hostkey_format_line(ssh->to->host, ssh->to->port,
	    (const unsigned char *)blob, len, ssh->line,
	    sizeof(ssh->line)) != 0)
		return problem_set(problem, "host \"%s\" showed a host key "
		    "that is too long or has no type", ssh->to->host);
	hostkey_type((const unsigned char *)blob, len, ssh->type);
	hostkey_fingerprint((const unsigned char *)blob, len,
	    ssh->fingerprint);
	return 0;
}

/* "/etc/ssh/ssh_host_ed25519_key.pub", as every sshd has it. */
static void
host_key_file(const char *type, char *path, size_t size)
{
	snprintf(path, size, "/etc/ssh/ssh_host_%s_key.pub",
	    strncmp(type, "ecdsa", 5) == 0 ? "ecdsa" : "ed25519");
}

static int
refuse_unknown(const struct ssh *ssh, enum hostkey_verdict verdict,
    const struct hostkey_entry *which, struct problem *problem)
{
	const struct ssh_destination *to = ssh->to;
	char path[64], port[32] = "", note[512] = "";

	host_key_file(ssh->type, path, sizeof(path));
	if (to->port != 22)
		snprintf(port, sizeof(port), ", port %d", to->port);
	if (to->accept_host_key[0] != '\0')
		snprintf(note, sizeof(note), " (it is not the accepted %s)",
		    to->accept_host_key);
	else if (verdict == HOSTKEY_OTHER_TYPE && hostkey_only_rsa(&ssh->known))
		snprintf(note, sizeof(note), " (%s line %u knows it only by "
		    "an RSA key, and libssh2 1.10 cannot use RSA host keys)",
		    which->file, which->line);
	else if (verdict == HOSTKEY_OTHER_TYPE)
		snprintf(note, sizeof(note), " (%s line %u knows it only by "
		    "a key of another type, %s)", which->file, which->line,
		    which->type);
	/* Short enough for what the cluster remembers of a job. */
	problem_set(problem, "unknown host \"%s\"%s: it shows the %s key %s; "
	    "if that is its own, run \"%s --accept-host-key %s\"%s", to->host,
	    port, ssh->type, ssh->fingerprint, to->command, ssh->fingerprint,
	    note);
	return problem_hint(problem, "Compare the fingerprint first: "
	    "\"ssh-keygen -lf %s\" on the host, or \"ssh-keyscan -p %d %s | "
	    "ssh-keygen -lf -\" from a machine whose way to it you trust.",
	    path, to->port, to->host);
}

static int
refuse_changed(const struct ssh *ssh, const struct hostkey_entry *which,
    struct problem *problem)
{
	const struct ssh_destination *to = ssh->to;
	char old[HOSTKEY_FINGERPRINT_MAX], name[ADDRESS_MAX_LEN + 16];

	hostkey_fingerprint(which->blob, which->blob_len, old);
	if (to->port == 22)
		snprintf(name, sizeof(name), "%s", to->host);
	else
		snprintf(name, sizeof(name), "[%s]:%d", to->host, to->port);
	problem_set(problem, "THE HOST KEY OF \"%s\", PORT %d, HAS CHANGED: it "
	    "shows the %s key %s, but %s line %u holds %s; somebody may be "
	    "intercepting this connection, so nothing was sent", to->host,
	    to->port, ssh->type, ssh->fingerprint, which->file, which->line,
	    old);
	return problem_hint(problem, "Only if the host was installed anew: "
	    "compare with \"ssh-keygen -lf\" on its console, remove the old "
	    "line with \"ssh-keygen -f %s -R '%s'\", then run \"%s "
	    "--accept-host-key %s\".", which->file, name, to->command,
	    ssh->fingerprint);
}

/* 0 known or accepted, 1 not this key but maybe one of another type. */
static int
judge_host_key(struct ssh *ssh, struct problem *problem)
{
	const struct ssh_destination *to = ssh->to;
	const struct hostkey_entry *which;
	enum hostkey_verdict verdict;
	const char *blob;
	size_t len = 0;
	bool accepted;
	int type;

	blob = libssh2_session_hostkey(ssh->session, &len, &type);
	verdict = hostkey_judge(&ssh->known, (const unsigned char *)blob, len,
	    &which);
	accepted = to->accept_host_key[0] != '\0' &&
	    hostkey_fingerprint_equal(to->accept_host_key, ssh->fingerprint);
	if (verdict == HOSTKEY_REVOKED) {
		problem_set(problem, "host \"%s\" shows the %s key %s, which "
		    "%s line %u marks as revoked", to->host, ssh->type,
		    ssh->fingerprint, which->file, which->line);
		return problem_hint(problem, "Make a new host key on the host "
		    "with \"ssh-keygen\"; a revoked one is never accepted.");
	}
	if (verdict == HOSTKEY_KNOWN) {
		if (to->accept_host_key[0] != '\0' && !accepted)
			snprintf(ssh->warning, sizeof(ssh->warning),
			    "--accept-host-key is not the key the host shows "
			    "(%s), but %s line %u knows that one",
			    ssh->fingerprint, which->file, which->line);
		return 0;
	}
	if (accepted) {
		if (verdict == HOSTKEY_CHANGED)
			snprintf(ssh->warning, sizeof(ssh->warning),
			    "%s line %u holds another key for this host; "
			    "accepted because --accept-host-key names the new "
			    "one", which->file, which->line);
		return 0;
	}
	if (verdict == HOSTKEY_CHANGED) {
		refuse_changed(ssh, which, problem);
		return to->accept_host_key[0] != '\0' ? 1 : -1;
	}
	refuse_unknown(ssh, verdict, which, problem);
	return to->accept_host_key[0] != '\0' ? 1 : -1;
}

static int
read_known_hosts(struct ssh *ssh, struct problem *problem)
{
	const struct ssh_destination *to = ssh->to;
	char errmsg[ERRMSG_MAX];

	hostkey_list_init(&ssh->known, to->host, to->port);
	if (to->known_host_line[0] != '\0')
		hostkey_list_add(&ssh->known, to->known_host_line,
		    "the accepted key of this job,", 1);
	for (unsigned i = 0; i < to->known_hosts_count; i++) {
		if (hostkey_list_read(&ssh->known, to->known_hosts[i],
		    errmsg) != 0) {
			problem_set(problem, "%s", errmsg);
			return problem_hint(problem, "Make \"%s\" readable "
			    "for this user; a host key must not be judged "
			    "without it.", to->known_hosts[i]);
		}
	}
	return 0;
}

/*
 * A fingerprint that was typed does not say which type of key it is of: on a
 * mismatch the other types are asked for, and the first problem stays.
 */
static int
meet_host(struct ssh *ssh, struct problem *problem)
{
	char tried[ACCEPT_TRIES][HOSTKEY_TYPE_MAX];
	const char *without[ACCEPT_TRIES];
	char algorithms[HOSTKEY_ALGORITHMS_MAX];
	struct problem later;
	int rc;

	for (size_t i = 0; i < ACCEPT_TRIES; i++) {
		if (hostkey_algorithms(&ssh->known, without, i,
		    algorithms) != 0)
			return -1;
		if (start_session(ssh, algorithms,
		    i == 0 ? problem : &later) != 0)
			return -1;
		rc = judge_host_key(ssh, i == 0 ? problem : &later);
		if (rc <= 0)
			return rc;
		snprintf(tried[i], sizeof(tried[i]), "%s", ssh->type);
		without[i] = tried[i];
		drop_session(ssh);
	}
	return -1;
}

/* The type of a private key; "" when it is none we know. */
static void
private_key_type(const char *text, char type[HOSTKEY_TYPE_MAX],
    bool *encrypted)
{
	static const char begin[] = "-----BEGIN OPENSSH PRIVATE KEY-----";
	static const char magic[] = "openssh-key-v1";
	unsigned char data[8192];
	char digits[12288];
	size_t len = 0, pos = sizeof(magic), n;
	int size;

	type[0] = '\0';
	*encrypted = strstr(text, "ENCRYPTED") != NULL;
	if (strstr(text, "BEGIN RSA PRIVATE KEY") != NULL)
		snprintf(type, HOSTKEY_TYPE_MAX, "ssh-rsa");
	else if (strstr(text, "BEGIN EC PRIVATE KEY") != NULL)
		snprintf(type, HOSTKEY_TYPE_MAX, "ecdsa");
	text = strstr(text, begin);
	if (text == NULL)
		return;
	for (text += sizeof(begin) - 1; *text != '\0' && *text != '-'; text++) {
		if (*text > ' ' && len < sizeof(digits))
			digits[len++] = *text;
	}
	size = hostkey_decode_base64(digits, len, data, sizeof(data));
	if (size < 64 || memcmp(data, magic, sizeof(magic)) != 0)
		return;
	/* cipher, kdf, kdf options, u32 number of keys, public key */
	for (int i = 0; i < 3; i++) {
		n = get_u32(data + pos);
		if (n > (size_t)size - pos - 12)
			return;
		if (i == 0)
			*encrypted = n != 4 ||
			    memcmp(data + pos + 4, "none", 4) != 0;
		pos += 4 + n;
	}
	n = get_u32(data + pos + 4);
	if (n <= (size_t)size - pos - 8)
		hostkey_type(data + pos + 8, n, type);
}

static int
refuse_key(const struct ssh_destination *to, const char *what,
    struct problem *problem)
{
	problem_set(problem, "the SSH key \"%s\" %s", to->key_file, what);
	return problem_hint(problem, "Make an Ed25519 key with "
	    "\"failover-provision --make-key %s failoverd:%s\" after moving "
	    "the old one away.", to->key_file, to->cluster);
}

/* Before any connection: a key that cannot work is said plainly. */
static int
check_user_key(const struct ssh_destination *to, struct problem *problem)
{
	char text[16384], type[HOSTKEY_TYPE_MAX];
	int fd = open(to->key_file, O_RDONLY | O_CLOEXEC);
	struct stat st;
	bool encrypted;
	ssize_t n;

	if (fd < 0) {
		problem_set(problem, "could not open the SSH key \"%s\": %s",
		    to->key_file, strerror(errno));
		return problem_hint(problem, "\"failoverctl init\" makes it; "
		    "the job has to run on a voter.");
	}
	n = fstat(fd, &st) == 0 ? read(fd, text, sizeof(text) - 1) : -1;
	close(fd);
	text[n < 0 ? 0 : n] = '\0';
	private_key_type(text, type, &encrypted);
	explicit_bzero(text, sizeof(text));
	if (n >= 0 && (st.st_mode & 077) != 0) {
		problem_set(problem, "the SSH key \"%s\" may be read by "
		    "others (mode %03o)", to->key_file, st.st_mode & 0777);
		return problem_hint(problem, "Run \"chmod 600 %s\".",
		    to->key_file);
	}
	if (strcmp(type, "ssh-rsa") == 0)
		return refuse_key(to, "is an RSA key, and libssh2 1.10 cannot "
		    "use RSA user keys", problem);
	if (encrypted)
		return refuse_key(to, "is protected by a passphrase, which "
		    "nobody is there to type", problem);
	if (type[0] == '\0')
		return refuse_key(to, "is no private key in OpenSSH format",
		    problem);
	return 0;
}

static int
login_problem(struct ssh *ssh, int rc, struct problem *problem)
{
	const struct ssh_destination *to = ssh->to;
	char line[PROVISION_AUTHORIZED_MAX], public_file[CONF_PATH_MAX + 8];
	char errmsg[ERRMSG_MAX];

	if (rc != LIBSSH2_ERROR_AUTHENTICATION_FAILED &&
	    rc != LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED) {
		problem_set(problem, "could not log in to host \"%s\" as "
		    "\"%s\": %s", to->host, to->user, session_error(ssh, rc));
		return problem_hint(problem, "Look into the log of sshd on "
		    "the host.");
	}
	problem_set(problem, "host \"%s\" refused the cluster's SSH key for "
	    "user \"%s\"", to->host, to->user);
	snprintf(public_file, sizeof(public_file), "%s.pub", to->key_file);
	if (provision_authorized_keys_line(public_file, to->cluster, line,
	    sizeof(line), errmsg) != 0)
		return problem_hint(problem, "The key must stand in "
		    "~%s/.ssh/authorized_keys on the host (the line cannot be "
		    "shown: %s).", to->user, errmsg);
	return problem_hint(problem, "Append this line to "
	    "~%s/.ssh/authorized_keys on the host, and see that only that "
	    "user can write to it and its directory: %s", to->user, line);
}

static int
log_in(struct ssh *ssh, struct problem *problem)
{
	const struct ssh_destination *to = ssh->to;
	const int64_t deadline = message_now_ms() + LOGIN_MS;
	int rc;

	WAITING(ssh, rc, deadline, libssh2_userauth_publickey_fromfile_ex(
	    ssh->session, to->user, (unsigned)strlen(to->user), NULL,
	    to->key_file, NULL));
	return rc == 0 ? 0 : login_problem(ssh, rc, problem);
}

struct ssh *
ssh_open(const struct ssh_destination *destination, struct problem *problem)
{
	struct ssh *ssh;

	if (check_user_key(destination, problem) != 0)
		return NULL;
	ssh = calloc(1, sizeof(*ssh));
	if (ssh == NULL || libssh2_init(0) != 0) {
		free(ssh);
		problem_set(problem, "out of memory");
		return NULL;
	}
	ssh->to = destination;
	ssh->fd = -1;
	if (read_known_hosts(ssh, problem) == 0 &&
	    meet_host(ssh, problem) == 0 && log_in(ssh, problem) == 0)
		return ssh;
	ssh_close(ssh);
	return NULL;
}

void
ssh_close(struct ssh *ssh)
{
	const int64_t deadline = message_now_ms() + CLOSE_MS;
	int rc;

	if (ssh == NULL)
		return;
	if (ssh->channel != NULL)
		WAITING(ssh, rc, deadline,
		    libssh2_channel_free(ssh->channel));
	drop_session(ssh);
	libssh2_exit();
	free(ssh);
}

int
ssh_exec(struct ssh *ssh, const char *command, int timeout_ms,
    struct problem *problem)
{
	const int64_t deadline = message_now_ms() + timeout_ms;
	int rc = 0;

	while (ssh->channel == NULL && rc == 0) {
		ssh->channel = libssh2_channel_open_session(ssh->session);
		if (ssh->channel != NULL)
			break;
		rc = libssh2_session_last_errno(ssh->session);
		if (rc == LIBSSH2_ERROR_EAGAIN)
			rc = wait_socket(ssh, deadline) == 0 ? 0 :
			    LIBSSH2_ERROR_TIMEOUT;
		else if (rc == 0)
			rc = LIBSSH2_ERROR_CHANNEL_FAILURE;
	}
	if (rc == 0)
		WAITING(ssh, rc, deadline,
		    libssh2_channel_exec(ssh->channel, command));
	if (rc == 0)
		return 0;
	return problem_set(problem, "host \"%s\" did not start a program for "
	    "us: %s", ssh->to->host, session_error(ssh, rc));
}

static int
lost(struct ssh *ssh, long rc, struct problem *problem)
{
	return problem_set(problem, "the SSH connection to host \"%s\" was "
	    "lost: %s", ssh->to->host, session_error(ssh, rc));
}

int
ssh_write(struct ssh *ssh, const char *text, size_t len, int timeout_ms,
    struct problem *problem)
{
	const int64_t deadline = message_now_ms() + timeout_ms;
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		WAITING(ssh, n, deadline, libssh2_channel_write(ssh->channel,
		    text + done, len - done));
		if (n < 0)
			return lost(ssh, n, problem);
		done += (size_t)n;
	}
	return 0;
}

/* Keeps the beginning of stderr, and drains the rest so it cannot block. */
static void
read_stderr(struct ssh *ssh)
{
	char rest[512];
	ssize_t n;

	for (;;) {
		bool full = ssh->said_len + 1 >= sizeof(ssh->said);

		n = libssh2_channel_read_stderr(ssh->channel,
		    full ? rest : ssh->said + ssh->said_len,
		    full ? sizeof(rest) :
		    sizeof(ssh->said) - 1 - ssh->said_len);
		if (n <= 0)
			return;
		if (!full)
			ssh->said_len += (size_t)n;
	}
}

int
ssh_read_line(struct ssh *ssh, int timeout_ms, char **line,
    struct problem *problem)
{
	const int64_t deadline = message_now_ms() + timeout_ms;
	char *space;
	size_t room;
	ssize_t n;

	for (;;) {
		*line = line_buffer_take(&ssh->buffer);
		if (*line != NULL)
			return 1;
		space = line_buffer_space(&ssh->buffer, &room);
		if (room == 0)
			return problem_set(problem, "host \"%s\" sent a line "
			    "longer than %d bytes", ssh->to->host,
			    PROVISION_LINE_MAX);
		read_stderr(ssh);
		n = libssh2_channel_read(ssh->channel, space, room);
		if (n > 0)
			line_buffer_added(&ssh->buffer, (size_t)n);
		else if (n == 0 && libssh2_channel_eof(ssh->channel))
			return 0;
		else if (n < 0 && n != LIBSSH2_ERROR_EAGAIN)
			return lost(ssh, n, problem);
		else if (wait_socket(ssh, deadline) != 0)
			return lost(ssh, LIBSSH2_ERROR_TIMEOUT, problem);
	}
}

int
ssh_exit_status(struct ssh *ssh, char *said, size_t size)
{
	const int64_t deadline = message_now_ms() + CLOSE_MS;
	int rc;

	read_stderr(ssh);
	WAITING(ssh, rc, deadline, libssh2_channel_close(ssh->channel));
	if (rc == 0)
		WAITING(ssh, rc, deadline,
		    libssh2_channel_wait_closed(ssh->channel));
	ssh->said[ssh->said_len] = '\0';
	ssh->said[strcspn(ssh->said, "\r\n")] = '\0';
	message_clean(ssh->said);
	snprintf(said, size, "%s", ssh->said);
	return rc == 0 ? libssh2_channel_get_exit_status(ssh->channel) : -1;
}
