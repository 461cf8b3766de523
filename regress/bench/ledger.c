/*
 * ledger.c - a client that commits rows at a steady rate and writes down
 * every commit that was acknowledged, and when.
 *
 * Usage: ledger FILE RATE CONNINFO...
 *
 * It connects as applications do, to whichever server is read-write, and
 * connects anew after every error.  Several connections at once, so that one
 * which hangs is not mistaken for an outage; they begin with different
 * conninfos, so that they do not all hang at the same host.
 *
 * A line of FILE is "NUMBER REALTIME MONOTONIC" in microseconds.  A number is
 * used once: whether a commit without an answer happened is unknown, and
 * nobody asks.  Must never say of a row that it was acknowledged before
 * PostgreSQL has said so.
 */
#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SLOTS		8
#define CONNECT_US	1000000		/* libpq's own is in whole seconds */
#define ANSWER_US	3000000
/* While nobody is connected, a new attempt this often, all slots together. */
#define ATTEMPT_US	20000
#define INSERT		"INSERT INTO ledger VALUES ($1)"

enum slot_state { DOWN, CONNECTING, IDLE, BUSY };

struct slot {
	PGconn *conn;
	enum slot_state state;
	short events;		/* what a connection attempt waits for */
	int64_t deadline;
	long number;
	unsigned attempts;
};

static struct slot slots[SLOTS];
static volatile sig_atomic_t stopped;

static void
on_signal(int signum)
{
	(void)signum;
	stopped = 1;
}

static int64_t
now_us(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void
ignore_notice(void *arg, const PGresult *result)
{
	(void)arg;
	(void)result;
}

static unsigned
count_connected(void)
{
	unsigned i, count = 0;

	for (i = 0; i < SLOTS; i++)
		count += slots[i].state == IDLE || slots[i].state == BUSY;
	return count;
}

static void
drop(struct slot *slot)
{
	PQfinish(slot->conn);
	slot->conn = NULL;
	slot->state = DOWN;
}

static void
go_on_connecting(struct slot *slot)
{
	switch (PQconnectPoll(slot->conn)) {
	case PGRES_POLLING_READING:
		slot->events = POLLIN;
		break;
	case PGRES_POLLING_WRITING:
		slot->events = POLLOUT;
		break;
	case PGRES_POLLING_OK:
		slot->state = IDLE;
		break;
	default:
		drop(slot);
		break;
	}
}

static void
begin_connecting(struct slot *slot, char **conninfos, unsigned count)
{
	unsigned which = (unsigned)(slot - slots) + slot->attempts++;

	slot->conn = PQconnectStart(conninfos[which % count]);
	slot->state = CONNECTING;
	slot->events = POLLOUT;
	slot->deadline = now_us(CLOCK_MONOTONIC) + CONNECT_US;
	if (slot->conn == NULL || PQstatus(slot->conn) == CONNECTION_BAD)
		drop(slot);
	else
		PQsetNoticeReceiver(slot->conn, ignore_notice, NULL);
}

static void
send_row(struct slot *slot, long number)
{
	char text[24];
	const char *values[1] = { text };

	snprintf(text, sizeof(text), "%ld", number);
	slot->number = number;
	slot->state = BUSY;
	slot->deadline = now_us(CLOCK_MONOTONIC) + ANSWER_US;
	if (PQsendQueryParams(slot->conn, INSERT, 1, NULL, values, NULL, NULL,
	    0) == 0)
		drop(slot);
}

static void
read_answer(struct slot *slot, int fd)
{
	PGresult *result;
	bool good;

	if (PQconsumeInput(slot->conn) == 0) {
		drop(slot);
		return;
	}
	while (!PQisBusy(slot->conn)) {
		result = PQgetResult(slot->conn);
		if (result == NULL) {
			slot->state = IDLE;
			return;
		}
		good = PQresultStatus(result) == PGRES_COMMAND_OK;
		PQclear(result);
		if (!good) {
			drop(slot);
			return;
		}
		if (dprintf(fd, "%ld %lld %lld\n", slot->number,
		    (long long)now_us(CLOCK_REALTIME),
		    (long long)now_us(CLOCK_MONOTONIC)) < 0)
			stopped = 1;
	}
}

/* Whatever can be read or written now. */
static void
serve(struct slot *slot, int fd)
{
	switch (slot->state) {
	case CONNECTING:
		go_on_connecting(slot);
		break;
	case BUSY:
		read_answer(slot, fd);
		break;
	case IDLE:
		/* Nothing was asked: this is the server's goodbye. */
		if (PQconsumeInput(slot->conn) == 0 ||
		    PQstatus(slot->conn) != CONNECTION_OK)
			drop(slot);
		break;
	case DOWN:
		break;
	}
}

static void
wait_and_serve(int64_t until, int fd)
{
	struct pollfd fds[SLOTS];
	struct timespec wait = { 0 };
	int64_t left = until - now_us(CLOCK_MONOTONIC);
	unsigned i;

	for (i = 0; i < SLOTS; i++) {
		fds[i].fd = slots[i].conn != NULL ?
		    PQsocket(slots[i].conn) : -1;
		fds[i].events = slots[i].state == CONNECTING ?
		    slots[i].events : POLLIN;
		fds[i].revents = 0;
	}
	if (left > 0)
		wait.tv_nsec = (left < 50000 ? left : 50000) * 1000;
	if (ppoll(fds, SLOTS, &wait, NULL) <= 0)
		return;
	for (i = 0; i < SLOTS; i++)
		if (fds[i].revents != 0)
			serve(&slots[i], fd);
}

static void
drop_late(void)
{
	int64_t now = now_us(CLOCK_MONOTONIC);
	unsigned i;

	for (i = 0; i < SLOTS; i++)
		if ((slots[i].state == CONNECTING || slots[i].state == BUSY) &&
		    now > slots[i].deadline)
			drop(&slots[i]);
}

static struct slot *
find_slot(enum slot_state state)
{
	unsigned i;

	for (i = 0; i < SLOTS; i++)
		if (slots[i].state == state)
			return &slots[i];
	return NULL;
}

static void
run(int fd, int64_t period, char **conninfos, unsigned count)
{
	int64_t now, next_row = 0, next_attempt = 0;
	pid_t parent = getppid();
	struct slot *slot;
	long number = 0;

	while (!stopped && getppid() == parent) {
		drop_late();
		now = now_us(CLOCK_MONOTONIC);
		slot = now >= next_attempt ? find_slot(DOWN) : NULL;
		if (slot != NULL) {
			begin_connecting(slot, conninfos, count);
			next_attempt = now +
			    (count_connected() > 0 ? 1000 : ATTEMPT_US);
		}
		slot = now >= next_row ? find_slot(IDLE) : NULL;
		if (slot != NULL) {
			send_row(slot, ++number);
			/* Rows that an outage prevented are not made up. */
			next_row = next_row + 2 * period < now ?
			    now + period : next_row + period;
		}
		wait_and_serve(next_row > now ? next_row : now + 1000, fd);
	}
}

int
main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_signal };
	long rate;
	int fd;

	rate = argc > 2 ? strtol(argv[2], NULL, 10) : 0;
	if (argc < 4 || rate < 1 || rate > 10000) {
		fprintf(stderr, "usage: ledger FILE RATE CONNINFO...\n");
		return 64;
	}
	fd = open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0) {
		fprintf(stderr, "ledger: could not open file \"%s\": %s\n",
		    argv[1], strerror(errno));
		return 1;
	}
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	run(fd, 1000000 / rate, argv + 3, (unsigned)argc - 3);
	for (unsigned i = 0; i < SLOTS; i++)
		drop(&slots[i]);
	close(fd);
	return 0;
}
