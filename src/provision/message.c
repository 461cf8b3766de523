/*
 * message.c - one JSON object per line, read and written with deadlines.
 *
 * Must never print a secret: it prints whole messages, so none is put in one.
 */
#include "message.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WRITE_TIMEOUT_MS	30000

int64_t
message_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int
problem_set(struct problem *problem, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(problem->text, sizeof(problem->text), format, ap);
	va_end(ap);
	problem->hint[0] = '\0';
	return -1;
}

int
problem_hint(struct problem *problem, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(problem->hint, sizeof(problem->hint), format, ap);
	va_end(ap);
	return -1;
}

char *
line_buffer_space(struct line_buffer *buffer, size_t *room)
{
	if (buffer->start > 0) {
		memmove(buffer->data, buffer->data + buffer->start,
		    buffer->len);
		buffer->start = 0;
	}
	*room = PROVISION_LINE_MAX - buffer->len;
	return buffer->data + buffer->len;
}

void
line_buffer_added(struct line_buffer *buffer, size_t len)
{
	buffer->len += len;
}

char *
line_buffer_take(struct line_buffer *buffer)
{
	char *line = buffer->data + buffer->start;
	char *end = memchr(line, '\n', buffer->len);

	if (end == NULL)
		return NULL;
	*end = '\0';
	buffer->len -= (size_t)(end + 1 - line);
	buffer->start += (size_t)(end + 1 - line);
	return line;
}

static int
wait_ready(int fd, short events, int64_t deadline)
{
	for (;;) {
		struct pollfd pfd = { .fd = fd, .events = events };
		int64_t left = deadline - message_now_ms();
		int rc = poll(&pfd, 1, left < 0 ? 0 : (int)left);

		if (rc > 0)
			return 1;
		if (rc == 0)
			return 0;
		if (errno != EINTR)
			return -1;
	}
}

int
message_read_line(int fd, struct line_buffer *buffer, int timeout_ms,
    char **line, struct problem *problem)
{
	const int64_t deadline = message_now_ms() + timeout_ms;
	char *space;
	size_t room;
	ssize_t n;

	for (;;) {
		*line = line_buffer_take(buffer);
		if (*line != NULL)
			return 1;
		space = line_buffer_space(buffer, &room);
		if (room == 0)
			return problem_set(problem, "a message is longer than "
			    "%d bytes", PROVISION_LINE_MAX);
		if (wait_ready(fd, POLLIN, deadline) == 0)
			return problem_set(problem, "no message arrived "
			    "within %d s", timeout_ms / 1000);
		n = read(fd, space, room);
		if (n == 0)
			return 0;
		if (n > 0)
			line_buffer_added(buffer, (size_t)n);
		else if (errno != EINTR && errno != EAGAIN)
			return problem_set(problem, "could not read a "
			    "message: %s", strerror(errno));
	}
}

json_t *
message_parse(const char *line, struct problem *problem)
{
	json_error_t error;
	json_t *message = json_loads(line, JSON_REJECT_DUPLICATES, &error);

	if (message == NULL) {
		problem_set(problem, "a message is not JSON: %s at position "
		    "%d", error.text, error.position);
		return NULL;
	}
	if (!json_is_object(message)) {
		json_decref(message);
		problem_set(problem, "a message is no JSON object");
		return NULL;
	}
	return message;
}

char *
message_format(json_t *message)
{
	char *text = json_dumps(message, JSON_COMPACT);
	char *line;
	size_t len;

	json_decref(message);
	if (text == NULL)
		return NULL;
	len = strlen(text);
	line = realloc(text, len + 2);
	if (line == NULL) {
		free(text);
		return NULL;
	}
	memcpy(line + len, "\n", 2);
	return line;
}

int
message_write(int fd, json_t *message)
{
	const int64_t deadline = message_now_ms() + WRITE_TIMEOUT_MS;
	char *line = message_format(message);
	size_t len, done = 0;
	ssize_t n;

	if (line == NULL)
		return -1;
	len = strlen(line);
	while (done < len && wait_ready(fd, POLLOUT, deadline) == 1) {
		n = write(fd, line + done, len - done);
		if (n > 0)
			done += (size_t)n;
		else if (errno != EINTR && errno != EAGAIN)
			break;
	}
	free(line);
	return done == len ? 0 : -1;
}

const char *
message_text(const json_t *message, const char *key, const char *fallback)
{
	const char *text = json_string_value(json_object_get(message, key));

	return text == NULL ? fallback : text;
}

void
message_clean(char *text)
{
	for (; *text != '\0'; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
	}
}
