/*
 * peer_test.c - agents in one process on one loop, over real sockets.
 *
 * The strangers are "raw": a TLS end of our own that does only what the test
 * tells it to.  Every wait is for a condition, with a deadline that only
 * turns a hang into a failure.
 */
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "tap.h"
#include "wire.h"

#define DEADLINE_MS	20000
#define DAY		(24L * 60 * 60)
#define BLOB		FRAME_MAX

static char dir[] = "/tmp/peer_test.XXXXXX";
static uv_loop_t loop;
static uv_timer_t heart;	/* makes UV_RUN_ONCE return */
static uint8_t blob[BLOB];

/*
 * Keys and certificates
 */

static void
must(bool good, const char *what, const char *errmsg)
{
	if (!good) {
		printf("Bail out! %s: %s\n", what, errmsg);
		exit(1);
	}
}

static const char *
at(const char *name, const char *suffix)
{
	static char paths[8][160];
	static int next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s%s", dir, name, suffix);
	return path;
}

static void
make_node(const char *ca, const char *node, const char *as)
{
	char csr[PEM_MAX], cert[PEM_MAX], errmsg[ERRMSG_MAX] = "";
	uint8_t hash[KEY_HASH_LEN];
	FILE *f;

	must(tls_make_request(node, at(as, ".key"), csr, errmsg) == 0 &&
	    tls_sign_request(at(ca, ".key"), at(ca, ".crt"), node, csr, cert,
	    hash, errmsg) == 0, "make_node", errmsg);
	f = fopen(at(as, ".crt"), "w");
	must(f != NULL && fputs(cert, f) >= 0 && fclose(f) == 0, "save", as);
}

static void *
load(const char *path, bool key)
{
	FILE *f = fopen(path, "r");
	void *loaded = NULL;

	if (f != NULL && key)
		loaded = PEM_read_PrivateKey(f, NULL, NULL, NULL);
	else if (f != NULL)
		loaded = PEM_read_X509(f, NULL, NULL, NULL);
	must(loaded != NULL, "load", path);
	fclose(f);
	return loaded;
}

/* The certificate of n2 once more, with a date long past. */
static void
make_expired(void)
{
	EVP_PKEY *ca_key = load(at("ca", ".key"), true);
	X509 *cert = load(at("n2", ".crt"), false);
	FILE *f = fopen(at("old", ".crt"), "w");

	X509_gmtime_adj(X509_getm_notAfter(cert), -DAY / 2);
	must(X509_sign(cert, ca_key, NULL) != 0 && f != NULL &&
	    PEM_write_X509(f, cert) == 1, "make_expired", "");
	fclose(f);
	X509_free(cert);
	EVP_PKEY_free(ca_key);
	must(link(at("n2", ".key"), at("old", ".key")) == 0, "link", "");
}

static SSL_CTX *
context(const char *ca, const char *as, const char *node)
{
	char errmsg[ERRMSG_MAX] = "";
	SSL_CTX *ctx = tls_context(at(ca, ".crt"), at(as, ".crt"),
	    at(as, ".key"), node, errmsg);

	must(ctx != NULL, "context", errmsg);
	return ctx;
}

/*
 * The loop
 */

static void
on_heart(uv_timer_t *timer)
{
	(void)timer;
}

static uint64_t
now_ms(void)
{
	return uv_hrtime() / 1000000;
}

static void	raw_steps(void);

#define until(condition) do {						\
	uint64_t until_end = now_ms() + DEADLINE_MS;			\
	while (!(condition) && now_ms() < until_end) {			\
		raw_steps();						\
		uv_run(&loop, UV_RUN_ONCE);				\
	}								\
} while (0)

static unsigned
free_port(int family)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6,
		.sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr_in four = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	bool is_six = family == AF_INET6;
	struct sockaddr *address = is_six ? (void *)&six : (void *)&four;
	socklen_t len = is_six ? sizeof(six) : sizeof(four);
	int fd = socket(family, SOCK_STREAM, 0);

	must(fd >= 0 && bind(fd, address, len) == 0 &&
	    getsockname(fd, address, &len) == 0, "free_port",
	    strerror(errno));
	close(fd);
	return ntohs(is_six ? six.sin6_port : four.sin_port);
}

/*
 * Agents
 */

struct agent {
	struct peers *peers;
	SSL_CTX *ctx;
	struct peer_hello hello;
	unsigned port;
	char listen[64];
	/* what it has seen */
	unsigned accepts, ups, downs, frames;
	unsigned frames_of[256];
	size_t last_len;
	uint8_t last_type;
	bool content_good;	/* every frame was a prefix of blob */
	bool order_good;	/* up and down in turn for each node */
	unsigned next_number;
	char last_node[NAME_MAX_LEN + 1];
	char reason[ERRMSG_MAX];	/* of the last down */
	struct peer_hello seen;
	uint8_t key_hash[KEY_HASH_LEN];
	/* what it does */
	bool refuses;
	bool refuses_expired;
	bool sending;		/* inside peers_send() */
	bool called_inside;
	bool up_now[4];		/* n0.. by the digit of the name */
};

static bool
on_accept(void *arg, const struct peer_hello *hello,
    const uint8_t key_hash[KEY_HASH_LEN], char *errmsg)
{
	struct agent *a = arg;

	a->accepts++;
	a->seen = *hello;
	memcpy(a->key_hash, key_hash, KEY_HASH_LEN);
	if (a->refuses || (a->refuses_expired && hello->expired)) {
		snprintf(errmsg, ERRMSG_MAX, "%s is no member here",
		    hello->node);
		return false;
	}
	return true;
}

static void
on_up(void *arg, const struct peer_hello *hello)
{
	struct agent *a = arg;
	unsigned i = (unsigned)(hello->node[1] - '0') % 4;

	a->ups++;
	if (a->up_now[i])
		a->order_good = false;
	a->up_now[i] = true;
	a->called_inside |= a->sending;
	if (!peers_is_up(a->peers, hello->node))
		a->order_good = false;
}

static void
on_down(void *arg, const char *node, const char *reason)
{
	struct agent *a = arg;
	unsigned i = (unsigned)(node[1] - '0') % 4;

	a->downs++;
	if (!a->up_now[i])
		a->order_good = false;
	a->up_now[i] = false;
	a->called_inside |= a->sending;
	snprintf(a->reason, sizeof(a->reason), "%s", reason);
}

static void
on_frame(void *arg, const char *node, uint8_t type, const uint8_t *data,
    size_t len)
{
	struct agent *a = arg;

	a->frames++;
	a->frames_of[type]++;
	a->last_type = type;
	a->last_len = len;
	snprintf(a->last_node, sizeof(a->last_node), "%s", node);
	if (type == 200) {	/* numbered */
		if (len != 4 || memcmp(data, &a->next_number, 4) != 0)
			a->order_good = false;
		a->next_number++;
	} else if (len > 0 && memcmp(data, blob, len) != 0) {
		a->content_good = false;
	}
}

static const struct peer_callbacks callbacks = {
	.accept = on_accept, .up = on_up, .down = on_down, .frame = on_frame,
};

static void
agent_open(struct agent *a)
{
	char errmsg[ERRMSG_MAX] = "";

	a->peers = peers_start(&loop, a->ctx, a->listen, &a->hello,
	    &callbacks, a, errmsg);
	must(a->peers != NULL, "peers_start", errmsg);
}

static void
agent_start(struct agent *a, const char *node, const char *as,
    const char *host)
{
	static uint64_t start = 1000;

	memset(a, 0, sizeof(*a));
	a->ctx = context("ca", as, node);
	a->port = free_port(host[0] == '[' ? AF_INET6 : AF_INET);
	snprintf(a->listen, sizeof(a->listen), "%s:%u", host, a->port);
	snprintf(a->hello.node, sizeof(a->hello.node), "%s", node);
	snprintf(a->hello.cluster, sizeof(a->hello.cluster), "sales");
	memset(a->hello.cluster_id, 7, sizeof(a->hello.cluster_id));
	a->hello.generation = 1;
	a->hello.level = PEER_LEVEL;
	a->hello.member_id = 5;
	a->hello.agent_start = start++;
	snprintf(a->hello.advertise, sizeof(a->hello.advertise),
	    "db.example.org:7432");
	a->content_good = a->order_good = true;
	agent_open(a);
}

static void
agent_close(struct agent *a)
{
	unsigned seen = a->ups + a->downs + a->frames + a->accepts;

	peers_stop(a->peers);
	peers_stop(a->peers);	/* legal */
	until(peers_is_stopped(a->peers));
	must(peers_is_stopped(a->peers), "agent_close", "it does not stop");
	must(seen == a->ups + a->downs + a->frames + a->accepts,
	    "agent_close", "called back after peers_stop()");
	peers_free(a->peers);
	a->peers = NULL;
	memset(a->up_now, 0, sizeof(a->up_now));
}

static void
agent_end(struct agent *a)
{
	agent_close(a);
	SSL_CTX_free(a->ctx);
}

static void
dial(struct agent *a, const char *node, const char *host, unsigned port)
{
	struct peer_target target;

	memset(&target, 0, sizeof(target));
	snprintf(target.node, sizeof(target.node), "%s", node);
	snprintf(target.address, sizeof(target.address), "%s:%u", host, port);
	peers_set_targets(a->peers, &target, 1);
}

static bool
both_up(struct agent *a, struct agent *b)
{
	return peers_is_up(a->peers, b->hello.node) &&
	    peers_is_up(b->peers, a->hello.node);
}

static int
send_from(struct agent *a, const char *node, uint8_t type, size_t len)
{
	int rc;

	a->sending = true;
	rc = peers_send(a->peers, node, type, blob, len);
	a->sending = false;
	return rc;
}

/*
 * Strangers
 */

struct raw {
	int fd, listener;
	SSL *ssl;		/* NULL: plain bytes */
	bool connected, shaken, ended, paused;
	uint8_t got[8192];	/* what arrived, decrypted */
	size_t got_len, total;
	uint8_t first[2048];	/* sent as soon as TLS is up */
	size_t first_len;
	struct raw *next;
	char error[ERRMSG_MAX];
};

static struct raw *raws;

static void
raw_add(struct raw *r, SSL_CTX *ctx)
{
	memset(r, 0, sizeof(*r));
	r->fd = r->listener = -1;
	if (ctx != NULL)
		r->ssl = SSL_new(ctx);
	r->next = raws;
	raws = r;
}

static void
raw_connect(struct raw *r, SSL_CTX *ctx, unsigned port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)port) };

	raw_add(r, ctx);
	r->fd = socket(AF_INET, SOCK_STREAM, 0);
	/* On loopback the kernel alone completes a connection. */
	must(r->fd >= 0 && connect(r->fd, (struct sockaddr *)&address,
	    sizeof(address)) == 0 && fcntl(r->fd, F_SETFL, O_NONBLOCK) == 0,
	    "raw_connect", strerror(errno));
	r->connected = true;
	if (r->ssl != NULL) {
		SSL_set_fd(r->ssl, r->fd);
		SSL_set_connect_state(r->ssl);
	}
}

static unsigned
raw_listen(struct raw *r, SSL_CTX *ctx)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);

	raw_add(r, ctx);
	r->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	must(r->listener >= 0 && bind(r->listener,
	    (struct sockaddr *)&address, sizeof(address)) == 0 &&
	    listen(r->listener, 8) == 0 && getsockname(r->listener,
	    (struct sockaddr *)&address, &len) == 0, "raw_listen",
	    strerror(errno));
	return ntohs(address.sin_port);
}

static void
raw_close(struct raw *r)
{
	struct raw **p = &raws;

	while (*p != r)
		p = &(*p)->next;
	*p = r->next;
	SSL_free(r->ssl);
	if (r->fd >= 0)
		close(r->fd);
	if (r->listener >= 0)
		close(r->listener);
}

static void
raw_frame(uint8_t *to, size_t *to_len, uint8_t type, const void *data,
    size_t len, uint32_t claimed)
{
	to[0] = (uint8_t)(claimed >> 24);
	to[1] = (uint8_t)(claimed >> 16);
	to[2] = (uint8_t)(claimed >> 8);
	to[3] = (uint8_t)claimed;
	to[4] = type;
	if (len > 0)
		memcpy(to + 5, data, len);
	*to_len = len + 5;
}

static void
raw_send(struct raw *r, uint8_t type, const void *data, size_t len)
{
	static uint8_t bytes[4096];
	size_t n;

	raw_frame(bytes, &n, type, data, len, (uint32_t)len + 1);
	must(SSL_write(r->ssl, bytes, (int)n) == (int)n, "raw_send", "");
}

static void
raw_hello(struct raw *r, const struct peer_hello *hello)
{
	uint8_t bytes[1024];
	struct buf buf;

	buf_init(&buf, bytes, sizeof(bytes));
	wire_put_hello(&buf, hello);
	raw_frame(r->first, &r->first_len, FRAME_HELLO, bytes, buf.len,
	    (uint32_t)buf.len + 1);
}

static void
raw_read(struct raw *r)
{
	uint8_t bytes[4096];
	ssize_t n;
	int error;

	for (;;) {
		if (r->ssl != NULL) {
			n = SSL_read(r->ssl, bytes, sizeof(bytes));
			error = n > 0 ? 0 : SSL_get_error(r->ssl, (int)n);
			if (error == SSL_ERROR_WANT_READ)
				return;
		} else {
			n = read(r->fd, bytes, sizeof(bytes));
			if (n < 0 && errno == EAGAIN)
				return;
		}
		if (n <= 0) {
			if (r->ssl != NULL)
				tls_explain(r->ssl, r->error);
			r->ended = true;
			return;
		}
		r->total += (size_t)n;
		if (r->got_len + (size_t)n <= sizeof(r->got)) {
			memcpy(r->got + r->got_len, bytes, (size_t)n);
			r->got_len += (size_t)n;
		}
	}
}

static void
raw_step(struct raw *r)
{
	int rc, error;

	if (r->ended || r->paused)
		return;
	ERR_clear_error();
	if (!r->connected) {
		r->fd = accept4(r->listener, NULL, NULL, SOCK_NONBLOCK);
		if (r->fd < 0)
			return;
		r->connected = true;
		if (r->ssl != NULL) {
			SSL_set_fd(r->ssl, r->fd);
			SSL_set_accept_state(r->ssl);
		}
	}
	if (r->ssl != NULL && !r->shaken) {
		rc = SSL_do_handshake(r->ssl);
		if (rc != 1) {
			error = SSL_get_error(r->ssl, rc);
			if (error == SSL_ERROR_WANT_READ)
				return;
			tls_explain(r->ssl, r->error);
			r->ended = true;
			return;
		}
		r->shaken = true;
		if (r->first_len > 0)
			(void)SSL_write(r->ssl, r->first, (int)r->first_len);
	}
	raw_read(r);
}

static void
raw_steps(void)
{
	for (struct raw *r = raws; r != NULL; r = r->next)
		raw_step(r);
}

/* It got exactly one frame: REFUSED with this in its text. */
static bool
got_refused(const struct raw *r, const char *want)
{
	char reason[ERRMSG_MAX];
	struct reader reader;
	size_t len;

	if (r->got_len < 5 || r->got[4] != FRAME_REFUSED)
		return false;
	len = (size_t)r->got[2] << 8 | r->got[3];
	if (r->total != len + 4)
		return false;
	reader_init(&reader, r->got + 5, len - 1);
	if (wire_get_refused(&reader, reason) != 0)
		return false;
	if (strstr(reason, want) == NULL)
		printf("# refused with \"%s\"\n", reason);
	return strstr(reason, want) != NULL;
}

static struct peer_hello
hello_of(const char *node)
{
	struct peer_hello hello;

	memset(&hello, 0, sizeof(hello));
	snprintf(hello.node, sizeof(hello.node), "%s", node);
	snprintf(hello.cluster, sizeof(hello.cluster), "sales");
	memset(hello.cluster_id, 7, sizeof(hello.cluster_id));
	hello.generation = 1;
	hello.level = 1;
	hello.agent_start = 77;
	snprintf(hello.advertise, sizeof(hello.advertise), "h:1");
	return hello;
}

/*
 * Tests
 */

static void
exchange(struct agent *a, struct agent *b, const char *name)
{
	static const size_t sizes[] = { 0, 1, 5, 16379, 16380, 65536,
		FRAME_MAX };
	unsigned count = sizeof(sizes) / sizeof(sizes[0]);
	unsigned before_a = a->frames, before_b = b->frames;

	for (unsigned i = 0; i < count; i++) {
		if (send_from(a, b->hello.node, (uint8_t)(20 + i),
		    sizes[i]) != 0 || send_from(b, a->hello.node,
		    (uint8_t)(20 + i), sizes[i]) != 0)
			ok(false, "send %zu bytes", sizes[i]);
		until(a->frames == before_a + i + 1 &&
		    b->frames == before_b + i + 1);
		if (a->last_len != sizes[i] || b->last_len != sizes[i] ||
		    a->last_type != 20 + i || b->last_type != 20 + i)
			ok(false, "%zu bytes arrive as %zu and %zu",
			    sizes[i], a->last_len, b->last_len);
	}
	ok(a->frames == before_a + count && b->frames == before_b + count &&
	    a->content_good && b->content_good,
	    "%s: frames of 0 to FRAME_MAX bytes, both ways", name);
	is_text(b->last_node, a->hello.node, "from whom they are");
}

static void
test_link(void)
{
	struct agent a, b;
	unsigned number = 0;

	agent_start(&a, "n1", "n1", "127.0.0.1");
	agent_start(&b, "n2", "n2", "127.0.0.1");
	is_int(peers_send(a.peers, "n2", 30, blob, 1), -1, "no link yet");
	dial(&a, "n2", "127.0.0.1", b.port);
	until(both_up(&a, &b));
	ok(both_up(&a, &b), "link up over IPv4");
	is_int(a.accepts + b.accepts, 2, "both were asked once");
	is_text(b.seen.node, "n1", "hello: node");
	is_text(b.seen.cluster, "sales", "hello: cluster");
	is_text(b.seen.advertise, "db.example.org:7432", "hello: address");
	is_int(b.seen.agent_start, a.hello.agent_start, "hello: start");
	is_int(b.seen.member_id, 5, "hello: member");
	ok(!a.seen.expired && !b.seen.expired, "nothing has expired");
	exchange(&a, &b, "IPv4");

	is_int(send_from(&a, "n2", 30, FRAME_MAX + 1), -1,
	    "more than FRAME_MAX is not sent");
	ok(both_up(&a, &b), "and the link stays");
	while (number < 2000 &&
	    peers_send(a.peers, "n2", 200, &number, sizeof(number)) == 0)
		number++;
	until(b.next_number == number);
	ok(number == 2000 && b.next_number == 2000 && b.order_good,
	    "2000 frames in order");

	peers_drop(a.peers, "n2", "n2 was removed from the cluster");
	ok(!peers_is_up(a.peers, "n2"), "dropped at once");
	is_int(a.downs, 0, "down is told later");
	until(a.downs == 1 && b.downs == 1);
	ok(strstr(b.reason, "n2 was removed from the cluster") != NULL,
	    "the peer learns why");
	agent_end(&a);
	agent_end(&b);
}

static void
test_families(void)
{
	struct agent a, b;

	agent_start(&a, "n1", "n1", "[::1]");
	agent_start(&b, "n2", "n2", "[::1]");
	dial(&a, "n2", "[::1]", b.port);
	until(both_up(&a, &b));
	ok(both_up(&a, &b), "link up over IPv6");
	exchange(&a, &b, "IPv6");
	agent_end(&b);

	/* Where localhost has two addresses, one of them does not answer. */
	agent_start(&b, "n2", "n2", "127.0.0.1");
	dial(&a, "", "localhost", b.port);
	until(both_up(&a, &b));
	ok(both_up(&a, &b), "link up by host name");
	agent_end(&b);
	agent_start(&b, "n2", "n2", "localhost");
	dial(&a, "", "127.0.0.1", b.port);
	until(both_up(&a, &b));
	ok(both_up(&a, &b), "listening by host name");
	agent_end(&b);

	agent_start(&b, "n2", "n2", "[::]");
	dial(&a, "", "127.0.0.1", b.port);
	until(both_up(&a, &b));
	ok(both_up(&a, &b), "[::] listens on both families");
	/* Stop with a name being resolved. */
	dial(&a, "", "localhost", b.port + 1);
	uv_run(&loop, UV_RUN_NOWAIT);
	agent_end(&a);
	agent_end(&b);
}

static void
test_start_fails(void)
{
	struct agent a;
	char errmsg[ERRMSG_MAX] = "";
	struct peers *second;

	agent_start(&a, "n1", "n1", "127.0.0.1");
	second = peers_start(&loop, a.ctx, a.listen, &a.hello, &callbacks, &a,
	    errmsg);
	ok(second == NULL && strstr(errmsg, "could not listen on") != NULL &&
	    strstr(errmsg, "in use") != NULL, "an address in use");
	second = peers_start(&loop, a.ctx, "nonsense:port", &a.hello,
	    &callbacks, &a, errmsg);
	ok(second == NULL && strstr(errmsg, "no valid port") != NULL,
	    "an address that is none");
	agent_end(&a);
}

/* Sends `first` to a new agent n1 as n3 and expects a refusal. */
static void
refused(const char *name, const char *as, const struct peer_hello *hello,
    const char *want)
{
	struct agent a;
	struct raw r;
	SSL_CTX *ctx = context("ca", as, "n3");

	agent_start(&a, "n1", "n1", "127.0.0.1");
	raw_connect(&r, ctx, a.port);
	raw_hello(&r, hello);
	until(r.ended);
	ok(r.ended && got_refused(&r, want), "refused: %s", name);
	ok(a.ups == 0 && a.frames == 0 && a.accepts == 0,
	    "nobody heard of it");
	raw_close(&r);
	agent_end(&a);
	SSL_CTX_free(ctx);
}

static void
test_identity(void)
{
	struct peer_hello hello = hello_of("n2");

	refused("name is not the certificate's", "n3", &hello,
	    "it calls itself \"n2\", but its certificate is that of \"n3\"");
	hello = hello_of("n3");
	snprintf(hello.cluster, sizeof(hello.cluster), "other");
	refused("another cluster", "n3", &hello, "belongs to cluster \"other\"");
	hello = hello_of("n3");
	hello.cluster_id[3] = 8;
	refused("another cluster of that name", "n3", &hello,
	    "another cluster that is also named \"sales\"");
	hello = hello_of("n3");
	hello.generation = 2;
	refused("another generation", "n3", &hello, "is of generation 2");
	hello = hello_of("N 3");
	refused("no name", "n3", &hello, "no valid names");
	hello = hello_of("n3");
	snprintf(hello.advertise, sizeof(hello.advertise), "a b:c");
	refused("no address", "n3", &hello, "address \"a b:c\"");
}

static void
test_first_frame(void)
{
	struct agent a;
	struct raw r;
	SSL_CTX *ctx = context("ca", "n3", "n3");
	struct peer_hello hello = hello_of("n3");

	agent_start(&a, "n1", "n1", "127.0.0.1");
	raw_connect(&r, ctx, a.port);
	raw_frame(r.first, &r.first_len, FRAME_RAFT, "x", 1, 2);
	until(r.ended);
	ok(got_refused(&r, "first frame is not a hello") && a.frames == 0,
	    "another frame before the hello");
	raw_close(&r);

	raw_connect(&r, ctx, a.port);
	raw_frame(r.first, &r.first_len, FRAME_HELLO, "garbage", 7, 8);
	until(r.ended);
	ok(got_refused(&r, "its hello is not one"), "garbage as hello");
	raw_close(&r);

	raw_connect(&r, ctx, a.port);
	raw_frame(r.first, &r.first_len, FRAME_HELLO, "x", 1, 100000);
	until(r.ended);
	ok(r.ended && r.total == 0, "a hello of 100000 bytes gets nothing");
	raw_close(&r);

	raw_connect(&r, ctx, a.port);
	raw_frame(r.first, &r.first_len, FRAME_HELLO, NULL, 0, 0);
	until(r.ended);
	ok(r.ended && r.total == 0, "a frame without a type gets nothing");
	raw_close(&r);

	a.refuses = true;
	raw_connect(&r, ctx, a.port);
	raw_hello(&r, &hello);
	until(r.ended);
	ok(got_refused(&r, "n3 is no member here"),
	    "refused by the accept callback");
	is_int(a.accepts, 1, "which was asked once");
	ok(a.ups == 0 && a.frames == 0, "and nothing else");
	raw_close(&r);
	agent_end(&a);
	SSL_CTX_free(ctx);
}

static void
test_long_frame(void)
{
	struct agent a;
	struct raw r;
	SSL_CTX *ctx = context("ca", "n3", "n3");
	struct peer_hello hello = hello_of("n3");
	uint8_t bytes[16];
	size_t n;

	agent_start(&a, "n1", "n1", "127.0.0.1");
	raw_connect(&r, ctx, a.port);
	raw_hello(&r, &hello);
	until(peers_is_up(a.peers, "n3"));
	ok(peers_is_up(a.peers, "n3"), "n3 is up");
	raw_frame(bytes, &n, 99, "x", 1, FRAME_MAX + 2);
	SSL_write(r.ssl, bytes, (int)n);
	until(a.downs == 1 && r.ended);
	ok(a.downs == 1 && strstr(a.reason, "the limit is 131072") != NULL &&
	    a.frames == 0, "an over-long frame ends the link");
	raw_close(&r);

	raw_connect(&r, ctx, a.port);
	raw_hello(&r, &hello);
	until(peers_is_up(a.peers, "n3"));
	raw_send(&r, FRAME_HELLO, "x", 1);
	until(a.downs == 2);
	ok(strstr(a.reason, "second hello") != NULL, "so does a second hello");
	raw_close(&r);
	agent_end(&a);
	SSL_CTX_free(ctx);
}

/* Not one byte of ours for who has not shown a certificate of the CA. */
static void
test_strangers(void)
{
	struct agent a;
	struct raw r;
	SSL_CTX *foreign = SSL_CTX_new(TLS_method());
	SSL_CTX *naked = SSL_CTX_new(TLS_method());
	SSL_CTX *old = SSL_CTX_new(TLS_method());
	struct peer_hello hello = hello_of("n2");

	must(SSL_CTX_use_certificate_file(foreign, at("f2", ".crt"),
	    SSL_FILETYPE_PEM) == 1 && SSL_CTX_use_PrivateKey_file(foreign,
	    at("f2", ".key"), SSL_FILETYPE_PEM) == 1, "foreign", "");
	SSL_CTX_set_max_proto_version(old, TLS1_2_VERSION);
	agent_start(&a, "n1", "n1", "127.0.0.1");
	for (int i = 0; i < 3; i++) {
		raw_connect(&r, foreign, a.port);
		raw_hello(&r, &hello);
		until(r.ended);
		ok(r.shaken, "foreign CA: the handshake looks fine");
		ok(r.ended && r.total == 0, "but there is no hello");
		if (!ok(strstr(r.error, "not issued by the CA") != NULL,
		    "it learns why"))
			printf("# %s\n", r.error);
		raw_close(&r);
	}
	raw_connect(&r, naked, a.port);
	raw_hello(&r, &hello);
	until(r.ended);
	ok(r.ended && r.total == 0, "no certificate: nothing");
	if (!ok(strstr(r.error, "it got no certificate from us") != NULL,
	    "it learns why"))
		printf("# %s\n", r.error);
	raw_close(&r);
	raw_connect(&r, old, a.port);
	until(r.ended);
	ok(r.ended && r.total == 0 && !r.shaken, "TLS 1.2: nothing");
	raw_close(&r);
	raw_connect(&r, NULL, a.port);
	must(write(r.fd, "GET / HTTP/1.0\r\n\r\n", 18) == 18, "write", "");
	until(r.ended);
	ok(r.ended && r.total == 0, "plain text: not even a TLS alert");
	raw_close(&r);
	raw_connect(&r, NULL, a.port);
	must(write(r.fd, "\0\0\0\10\4\322\26/", 8) == 8, "write", "");
	until(r.ended);
	ok(r.ended && r.total == 0, "nor for a client of PostgreSQL");
	raw_close(&r);
	raw_connect(&r, NULL, a.port);
	must(write(r.fd, "\27\3\3\0\5hello", 10) == 10, "write", "");
	until(r.ended);
	ok(r.ended && r.total == 0, "nor for TLS data without a handshake");
	raw_close(&r);
	ok(a.accepts == 0 && a.ups == 0 && a.frames == 0 && a.downs == 0,
	    "nobody heard of them");
	agent_end(&a);
	SSL_CTX_free(foreign);
	SSL_CTX_free(naked);
	SSL_CTX_free(old);
}

/* The other direction: what a caller tells whom it has called. */
static void
test_servers(void)
{
	struct agent a;
	struct raw r;
	SSL_CTX *foreign = context("foreign", "f2", "n2");
	SSL_CTX *good = context("ca", "n3", "n3");
	unsigned port;

	agent_start(&a, "n1", "n1", "127.0.0.1");
	port = raw_listen(&r, foreign);
	dial(&a, "n2", "127.0.0.1", port);
	until(r.ended);
	ok(r.ended && r.total == 0, "a server of a foreign CA gets nothing");
	raw_close(&r);

	port = raw_listen(&r, good);
	dial(&a, "n2", "127.0.0.1", port);
	until(r.ended);
	ok(r.shaken && got_refused(&r, "the certificate there is that of "
	    "\"n3\""), "a server of another name is refused, without hello");
	raw_close(&r);

	port = raw_listen(&r, NULL);
	dial(&a, "n2", "127.0.0.1", port);
	until(r.total > 0);
	must(write(r.fd, "SSH-2.0-x\r\n", 11) == 11, "write", "");
	until(r.ended);
	ok(r.ended, "a server that is not TLS is left");
	raw_close(&r);
	ok(a.accepts == 0 && a.ups == 0 && a.frames == 0,
	    "nobody heard of them");

	/* It calls back until it is told not to. */
	port = raw_listen(&r, good);
	dial(&a, "", "127.0.0.1", port);
	until(r.got_len > 5);
	ok(r.got_len > 5 && r.got[4] == FRAME_HELLO,
	    "a seed gets the hello first");
	raw_send(&r, FRAME_REFUSED, "\1\0\5go on", 8);
	until(r.ended);
	ok(r.ended && a.ups == 0, "and may refuse us");
	raw_close(&r);
	agent_end(&a);
	SSL_CTX_free(foreign);
	SSL_CTX_free(good);
}

static void
test_queue(void)
{
	struct agent a;
	struct raw r;
	SSL_CTX *ctx = context("ca", "n3", "n3");
	struct peer_hello hello = hello_of("n3");
	unsigned sent = 0;

	agent_start(&a, "n1", "n1", "127.0.0.1");
	raw_connect(&r, ctx, a.port);
	raw_hello(&r, &hello);
	until(peers_is_up(a.peers, "n3"));
	r.paused = true;
	/* The kernel takes a few megabytes, then it is our queue. */
	while (sent < 1000 && send_from(&a, "n3", 40, FRAME_MAX) == 0)
		sent++;
	ok(sent < 1000, "a peer that does not read costs a bounded queue");
	ok(!peers_is_up(a.peers, "n3"), "its link is closed");
	is_int(a.downs, 0, "no callback from inside peers_send()");
	is_int(send_from(&a, "n3", 40, 1), -1, "nothing more is sent");
	until(a.downs == 1);
	ok(a.downs == 1 && strstr(a.reason, "does not read") != NULL &&
	    !a.called_inside, "down, with the reason");
	raw_close(&r);
	agent_end(&a);
	SSL_CTX_free(ctx);
}

static void
test_restart(void)
{
	struct agent a, b;
	char errmsg[ERRMSG_MAX];

	agent_start(&a, "n1", "n1", "127.0.0.1");
	agent_start(&b, "n2", "n2", "127.0.0.1");
	dial(&a, "n2", "127.0.0.1", b.port);
	until(both_up(&a, &b));
	for (int i = 1; i <= 3; i++) {
		agent_close(&b);
		until(a.downs == (unsigned)i);
		ok(!peers_is_up(a.peers, "n2"), "down after a stop");
		b.hello.agent_start++;
		agent_open(&b);
		until(both_up(&a, &b));
		ok(both_up(&a, &b) && a.order_good, "up after a start");
		ok(a.seen.agent_start == b.hello.agent_start,
		    "as another agent");
	}
	exchange(&a, &b, "after restarts");

	/* A renewed certificate serves new links, the old one those that are. */
	SSL_CTX_free(b.ctx);
	b.ctx = context("ca", "n2b", "n2");
	peers_set_context(b.peers, b.ctx);
	ok(both_up(&a, &b), "a new context leaves the link alone");
	peers_drop(b.peers, "n1", "test");
	until(a.downs == 4 && both_up(&a, &b));
	uint8_t hash[KEY_HASH_LEN];
	tls_key_hash(at("n2b", ".crt"), hash, errmsg);
	ok(memcmp(hash, a.key_hash, sizeof(hash)) == 0,
	    "the next link shows the new certificate");
	agent_end(&a);
	agent_end(&b);
}

static void
test_newer_wins(void)
{
	struct agent a;
	struct raw first, second;
	SSL_CTX *ctx = context("ca", "n3", "n3");
	struct peer_hello hello = hello_of("n3");

	agent_start(&a, "n1", "n1", "127.0.0.1");
	raw_connect(&first, ctx, a.port);
	raw_hello(&first, &hello);
	until(a.ups == 1 && first.got_len > 0);
	raw_connect(&second, ctx, a.port);
	raw_hello(&second, &hello);
	until(a.ups == 2 && first.ended && second.got_len > 0);
	ok(first.ended && !second.ended, "of two links the newer wins");
	ok(a.downs == 1 && a.order_good &&
	    strstr(a.reason, "newer link") != NULL, "down, then up");
	second.got_len = second.total = 0;
	is_int(send_from(&a, "n3", 50, 1), 0, "send");
	until(second.total == 6);
	ok(second.total == 6 && second.got[4] == 50, "over the newer one");
	raw_send(&second, 51, blob, 3);
	until(a.frames == 1);
	ok(a.last_type == 51 && a.last_len == 3, "and back");
	raw_close(&first);
	raw_close(&second);
	agent_end(&a);
	SSL_CTX_free(ctx);
}

/* Both call at once, many times: they must agree on one link each time. */
static void
test_collision(void)
{
	struct agent a, b;
	unsigned good = 0;

	for (int i = 0; i < 20; i++) {
		agent_start(&a, "n1", "n1", "127.0.0.1");
		agent_start(&b, "n2", "n2", "127.0.0.1");
		dial(&a, i % 2 ? "n2" : "", "127.0.0.1", b.port);
		dial(&b, i % 3 ? "n1" : "", "127.0.0.1", a.port);
		/*
		 * What is sent before they agree may be lost with its link;
		 * once a frame has come each way, the link is the same.
		 */
		until((a.frames > 0 && b.frames > 0) ||
		    (send_from(&a, "n2", 60, 1) == 0 &&
		    send_from(&b, "n1", 60, 1) == 0 && false));
		if (both_up(&a, &b) && a.frames > 0 && b.frames > 0 &&
		    a.order_good && b.order_good && a.ups <= 2 && b.ups <= 2)
			good++;
		agent_end(&a);
		agent_end(&b);
	}
	is_int(good, 20, "two nodes that call each other agree");
}

/*
 * The agent `own` has called the stranger `other`; then that one calls too.
 * True when the agent stays with its own call.
 */
static bool
keeps_own_call(const char *own, const char *other, uint64_t second_start)
{
	struct agent a;
	struct raw called, calling;
	SSL_CTX *ctx = context("ca", other, other);
	struct peer_hello hello = hello_of(other);
	bool kept;

	agent_start(&a, own, own, "127.0.0.1");
	dial(&a, other, "127.0.0.1", raw_listen(&called, ctx));
	raw_hello(&called, &hello);
	until(peers_is_up(a.peers, other));
	hello.agent_start = second_start;
	raw_connect(&calling, ctx, a.port);
	raw_hello(&calling, &hello);
	until(called.ended || calling.ended);
	kept = calling.ended && !called.ended;
	ok(called.ended != calling.ended && peers_is_up(a.peers, other) &&
	    a.ups == (kept ? 1 : 2) && a.order_good, "%s keeps one link of "
	    "two with %s", own, other);
	raw_close(&called);
	raw_close(&calling);
	agent_end(&a);
	SSL_CTX_free(ctx);
	return kept;
}

static void
test_simultaneous(void)
{
	ok(keeps_own_call("n1", "n3", 77), "the call of the smaller name");
	ok(!keeps_own_call("n3", "n1", 77), "and not that of the greater");
	ok(!keeps_own_call("n1", "n3", 78), "but a restarted agent is new");
}

static void
test_targets(void)
{
	struct agent a, b;
	struct peer_target targets[3];

	agent_start(&a, "n1", "n1", "127.0.0.1");
	agent_start(&b, "n2", "n2", "127.0.0.1");
	memset(targets, 0, sizeof(targets));
	snprintf(targets[0].address, sizeof(targets[0].address),
	    "127.0.0.1:%u", a.port);	/* ourselves */
	snprintf(targets[1].address, sizeof(targets[1].address),
	    "127.0.0.1:%u", b.port);
	snprintf(targets[2].address, sizeof(targets[2].address),
	    "127.0.0.1:%u", b.port);	/* the same again */
	peers_set_targets(a.peers, targets, 3);
	until(both_up(&a, &b));
	ok(both_up(&a, &b), "seeds, one of them ourselves");
	is_int(b.accepts, 1, "a seed given twice is called once");
	is_int(a.accepts, 1, "we did not ask ourselves");

	dial(&a, "n2", "localhost", b.port);
	until(peers_is_up(b.peers, "n1"));
	ok(both_up(&a, &b) && a.downs == 0,
	    "the same node under another address keeps the link");
	peers_set_targets(a.peers, NULL, 0);
	ok(both_up(&a, &b), "no longer wanted keeps it too");
	is_int(send_from(&a, "n2", 70, 1), 0, "and it works");
	until(b.frames == 1);
	is_int(b.frames, 1, "indeed");
	peers_drop(a.peers, "n2", "test");
	until(a.downs == 1 && b.downs == 1);
	ok(!peers_is_up(a.peers, "n2"), "until it is dropped");
	dial(&b, "n1", "127.0.0.1", a.port);
	until(both_up(&a, &b));
	ok(both_up(&a, &b), "then the other may call");
	agent_end(&a);
	agent_end(&b);
}

static void
test_copied_host(void)
{
	struct agent a, b;

	agent_start(&a, "n1", "n1", "127.0.0.1");
	agent_start(&b, "n1", "n1", "127.0.0.1");	/* the same key */
	struct raw r;
	SSL_CTX *ctx = context("ca", "n1", "n1");
	struct peer_hello hello = hello_of("n1");

	raw_connect(&r, ctx, a.port);
	raw_hello(&r, &hello);
	until(r.ended);
	ok(got_refused(&r, "another agent already runs as node \"n1\""),
	    "a copy of this host is refused");
	raw_close(&r);
	ok(a.accepts == 0, "without asking");
	agent_end(&a);
	agent_end(&b);
	SSL_CTX_free(ctx);
}

static void
test_expired(void)
{
	struct agent a, b;

	agent_start(&a, "n1", "n1", "127.0.0.1");
	agent_start(&b, "n2", "old", "127.0.0.1");
	dial(&a, "n2", "127.0.0.1", b.port);
	until(both_up(&a, &b));
	ok(both_up(&a, &b), "an expired certificate can be accepted");
	ok(a.seen.expired && !b.seen.expired, "by who is told of it");
	a.refuses_expired = true;
	peers_drop(b.peers, "n1", "test");
	until(a.downs == 1 && a.accepts >= 2);
	ok(a.ups == 1 && !peers_is_up(a.peers, "n2"), "or refused");
	agent_end(&a);
	agent_end(&b);
}

static void
test_flood(void)
{
	static struct raw many[100];
	struct agent a, b;
	unsigned ended = 0;

	agent_start(&a, "n1", "n1", "127.0.0.1");
	agent_start(&b, "n2", "n2", "127.0.0.1");
	for (int i = 0; i < 100; i++)
		raw_connect(&many[i], NULL, a.port);
	dial(&b, "n1", "127.0.0.1", a.port);
	until(both_up(&a, &b));
	ok(both_up(&a, &b), "100 silent callers do not keep a peer out");
	until(many[0].ended && many[30].ended);
	for (int i = 0; i < 100; i++)
		ended += many[i].ended;
	ok(ended >= 36 && many[0].ended && many[30].ended &&
	    !many[99].ended, "the oldest of them are closed (%u)", ended);
	/* The rest lives until the deadline for introductions. */
	until(many[99].ended);
	ok(many[99].ended && many[99].total == 0,
	    "who never introduces himself is closed without a byte");
	ok(both_up(&a, &b), "and the peer stays");
	for (int i = 0; i < 100; i++)
		raw_close(&many[i]);
	agent_end(&a);
	agent_end(&b);
}

static unsigned
count_lines(const char *path, const char *text)
{
	char line[4096];
	unsigned count = 0;
	FILE *f = fopen(path, "r");

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		count += strstr(line, text) != NULL;
	if (f != NULL)
		fclose(f);
	return count;
}

static void
setup(void)
{
	char errmsg[ERRMSG_MAX] = "";

	must(mkdtemp(dir) != NULL, "mkdtemp", dir);
	must(tls_make_ca("sales", at("ca", ".key"), at("ca", ".crt"),
	    errmsg) == 0 && tls_make_ca("sales", at("foreign", ".key"),
	    at("foreign", ".crt"), errmsg) == 0, "CA", errmsg);
	make_node("ca", "n1", "n1");
	make_node("ca", "n2", "n2");
	make_node("ca", "n2", "n2b");
	make_node("ca", "n3", "n3");
	make_node("foreign", "n2", "f2");
	make_expired();
	for (size_t i = 0; i < sizeof(blob); i++)
		blob[i] = (uint8_t)(i * 7 + i / 251);
	signal(SIGPIPE, SIG_IGN);
	uv_loop_init(&loop);
	uv_timer_init(&loop, &heart);
	uv_timer_start(&heart, on_heart, 5, 5);
}

static void
cleanup(void)
{
	static const char *const names[] = { "ca", "foreign", "n1", "n2",
		"n2b", "n3", "f2", "old" };

	uv_close((uv_handle_t *)&heart, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	is_int(uv_loop_close(&loop), 0, "no handle is left");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		unlink(at(names[i], ".key"));
		unlink(at(names[i], ".crt"));
	}
	unlink(at("log", ""));
	rmdir(dir);
}

int
main(void)
{
	char log_file[160];
	int saved = dup(STDERR_FILENO), fd;

	setup();
	snprintf(log_file, sizeof(log_file), "%s", at("log", ""));
	fd = open(log_file, O_WRONLY | O_CREAT | O_APPEND, 0600);
	must(fd >= 0 && dup2(fd, STDERR_FILENO) >= 0, "log", "");
	close(fd);
	log_init("test", LOG_LEVEL_INFO);

	test_link();
	test_families();
	test_start_fails();
	test_identity();
	test_first_frame();
	test_long_frame();
	test_strangers();
	test_servers();
	test_queue();
	test_restart();
	test_newer_wins();
	test_collision();
	test_simultaneous();
	test_targets();
	test_copied_host();
	test_expired();
	test_flood();

	is_int(count_lines(log_file, "could not set up the link with "
	    "127.0.0.1:"), 5, "five kinds of strangers, a line each");
	is_int(count_lines(log_file, "subject \"/CN=n2\", issuer "
	    "\"/CN=failoverd CA sales\") was not issued by the CA"), 2,
	    "a foreign certificate is named, called and calling");
	is_int(count_lines(log_file, "another agent already runs as"), 1,
	    "our own address among the seeds is no copy of this host");
	is_int(count_lines(log_file, "PRIVATE"), 0, "no key in the log");
	dup2(saved, STDERR_FILENO);
	close(saved);
	if (getenv("SHOW_LOG") != NULL) {
		char line[4096];
		FILE *f = fopen(log_file, "r");

		while (f != NULL && fgets(line, sizeof(line), f) != NULL)
			printf("# %s", line);
		if (f != NULL)
			fclose(f);
	}
	cleanup();
	return done_testing();
}
