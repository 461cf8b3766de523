/*
 * log.c - one line per fact, on stderr.
 *
 * Owns the form of a line and what happens when nobody reads it: the line is
 * lost and counted, never waited for.  Must never block, never allocate,
 * never change errno, and is never given a secret.
 */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "limits.h"

#define LINE_SIZE	2048	/* below PIPE_BUF: a line is written whole */

static const struct {
	const char *name;	/* as configured */
	const char *label;	/* as printed */
	int priority;		/* as syslog(3) counts */
} levels[] = {
	[LOG_LEVEL_ERROR] = { "error", "ERROR", 3 },
	[LOG_LEVEL_WARNING] = { "warning", "WARN", 4 },
	[LOG_LEVEL_INFO] = { "info", "INFO", 6 },
	[LOG_LEVEL_DEBUG] = { "debug", "DEBUG", 7 },
};

static char log_who[NAME_MAX_LEN + 33] = "failoverd";
static enum log_level log_limit = LOG_LEVEL_INFO;
static bool log_to_journal;
static unsigned long log_lost;	/* lines nobody could take */

/*
 * systemd names the device and inode of the stream it connected: a program
 * started by a service with its stderr somewhere else must not believe it.
 */
static bool
is_journal(void)
{
	const char *text = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	if (text == NULL || sscanf(text, "%llu:%llu", &device, &inode) != 2)
		return false;
	return fstat(STDERR_FILENO, &st) == 0 &&
	    (unsigned long long)st.st_dev == device &&
	    (unsigned long long)st.st_ino == inode;
}

void
log_init(const char *who, enum log_level level)
{
	struct stat st;
	int flags;

	snprintf(log_who, sizeof(log_who), "%s", who);
	log_limit = level;
	log_to_journal = is_journal();

	/* Not for a terminal: the shell shares its flags with us. */
	if (fstat(STDERR_FILENO, &st) == 0 &&
	    (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode))) {
		flags = fcntl(STDERR_FILENO, F_GETFL);
		if (flags >= 0)
			(void)fcntl(STDERR_FILENO, F_SETFL,
			    flags | O_NONBLOCK);
	}
}

int
log_level_parse(const char *text, enum log_level *level)
{
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (strcmp(text, levels[i].name) == 0) {
			*level = (enum log_level)i;
			return 0;
		}
	}
	return -1;
}

void
log_set_level(enum log_level level)
{
	log_limit = level;
}

bool
log_is_enabled(enum log_level level)
{
	return level <= log_limit;
}

/* The beginning of a line, up to and with the tag. */
static size_t
line_head(char *line, size_t size, enum log_level level, const char *tag)
{
	char date[64] = "";
	struct timespec now;
	struct tm tm;
	int len;

	if (log_to_journal) {
		len = snprintf(line, size, "<%d>%s [%ld] %-5s %s: ",
		    levels[level].priority, log_who, (long)getpid(),
		    levels[level].label, tag);
	} else {
		clock_gettime(CLOCK_REALTIME, &now);
		if (localtime_r(&now.tv_sec, &tm) != NULL)
			strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
		len = snprintf(line, size, "%s.%03ld %s [%ld] %-5s %s: ",
		    date, now.tv_nsec / 1000000, log_who, (long)getpid(),
		    levels[level].label, tag);
	}
	if (len < 0)
		return 0;
	return (size_t)len < size ? (size_t)len : size - 1;
}

/*
 * True when the line went out.  poll() first: a pipe without a reader would
 * answer a write with SIGPIPE, a stopped terminal would not answer at all.
 */
static bool
line_write(const char *line, size_t len)
{
	struct pollfd pfd = { .fd = STDERR_FILENO, .events = POLLOUT };
	ssize_t n;

	if (poll(&pfd, 1, 0) != 1 || (pfd.revents & POLLOUT) == 0 ||
	    (pfd.revents & (POLLERR | POLLNVAL)) != 0)
		return false;
	do {
		n = write(STDERR_FILENO, line, len);
	} while (n < 0 && errno == EINTR);
	return n == (ssize_t)len;
}

/* Whoever sent us this text must not be able to write lines of our log. */
static size_t
one_line(char *text, size_t len)
{
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == ' '))
		len--;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c < 0x20 || c == 0x7f)
			text[i] = ' ';
	}
	return len;
}

__attribute__((format(printf, 3, 0)))
static void
log_line(enum log_level level, const char *tag, const char *format, va_list ap)
{
	int saved_errno = errno;
	char line[LINE_SIZE];
	size_t head, len;
	unsigned long lost;
	int n;

	if (!log_is_enabled(level))
		return;

	/* A worker may log too: whoever takes the count says it. */
	lost = __atomic_exchange_n(&log_lost, 0, __ATOMIC_RELAXED);
	if (lost > 0) {
		head = line_head(line, sizeof(line), LOG_LEVEL_WARNING, "log");
		n = snprintf(line + head, sizeof(line) - head,
		    "%lu lines were lost because nobody read them\n", lost);
		if (n < 0 || !line_write(line, head + (size_t)n)) {
			__atomic_add_fetch(&log_lost, lost + 1,
			    __ATOMIC_RELAXED);
			goto out;
		}
	}

	head = line_head(line, sizeof(line), level, tag);
	errno = saved_errno;	/* for %m */
	n = vsnprintf(line + head, sizeof(line) - head - 1, format, ap);
	if (n < 0)
		goto out;
	len = (size_t)n;
	if (len > sizeof(line) - head - 2) {
		len = sizeof(line) - head - 2;
		memcpy(line + head + len - 3, "...", 3);
	}
	len = head + one_line(line + head, len);
	line[len++] = '\n';
	if (!line_write(line, len))
		__atomic_add_fetch(&log_lost, 1, __ATOMIC_RELAXED);
out:
	errno = saved_errno;
}

#define LOG_FUNCTION(name, level)			\
void							\
name(const char *tag, const char *format, ...)		\
{							\
	va_list ap;					\
							\
	va_start(ap, format);				\
	log_line(level, tag, format, ap);		\
	va_end(ap);					\
}

LOG_FUNCTION(log_error, LOG_LEVEL_ERROR)
LOG_FUNCTION(log_warning, LOG_LEVEL_WARNING)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO)
LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG)
