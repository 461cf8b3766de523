/*
 * message.h - JSON lines between agent, worker and target, and what went
 * wrong in words.
 *
 * Lines are at most PROVISION_LINE_MAX bytes; one that is longer, is no JSON
 * object or has a NUL in it ends the conversation.
 */
#ifndef FAILOVERD_PROVISION_MESSAGE_H
#define FAILOVERD_PROVISION_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "provision.h"

/* One sentence of what is the matter, one of what to do about it. */
struct problem {
	char text[1024];
	char hint[PROVISION_AUTHORIZED_MAX + 512];
};

/* Both return -1, so that a caller can return them. */
int	problem_set(struct problem *problem, const char *format, ...)
	    __attribute__((format(printf, 2, 3)));
int	problem_hint(struct problem *problem, const char *format, ...)
	    __attribute__((format(printf, 2, 3)));

/* Bytes that have arrived and are not yet a whole line. */
struct line_buffer {
	size_t start, len;
	char data[PROVISION_LINE_MAX + 1];
};

/* Where to put up to *room more bytes; *room 0 = the line is too long. */
char	*line_buffer_space(struct line_buffer *buffer, size_t *room);
void	line_buffer_added(struct line_buffer *buffer, size_t len);
/* The next whole line without its newline, valid until the next
 * line_buffer_space(); NULL when there is none yet. */
char	*line_buffer_take(struct line_buffer *buffer);

/* CLOCK_BOOTTIME; deadlines here are points on it. */
int64_t	message_now_ms(void);

/* 1 a line, 0 the other side has closed, -1 with problem. */
int	message_read_line(int fd, struct line_buffer *buffer,
	    int timeout_ms, char **line, struct problem *problem);

/* A JSON object out of a line; the caller's reference.  NULL with problem. */
json_t	*message_parse(const char *line, struct problem *problem);

/* Compact, with a newline; the caller frees it.  Takes the reference. */
char	*message_format(json_t *message);

/* Writes one message and takes the reference.  -1: nobody reads any more. */
int	message_write(int fd, json_t *message);

/* A member's text, or fallback when it is missing or of another type. */
const char *message_text(const json_t *message, const char *key,
	    const char *fallback);

/* Control characters become "?": text of another host, for a terminal. */
void	message_clean(char *text);

#endif
