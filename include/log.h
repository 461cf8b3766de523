/*
 * log.h - one line per fact, on stderr, with a stable tag.
 *
 * "2026-01-02 03:04:05.678 n1 [pid] INFO  seal: ..." ; under systemd (when
 * JOURNAL_STREAM is set) without the date and with <N> priority prefixes.
 * Never blocks on a full pipe: stderr is made non-blocking and lost lines
 * are counted and said once it flows again.  Never given a secret.
 */
#ifndef FAILOVERD_LOG_H
#define FAILOVERD_LOG_H

#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG };

/* who: node name or program, copied.  May be called again. */
void	log_init(const char *who, enum log_level level);
/* "error", "warning", "info", "debug"; -1 if it is none of these. */
int	log_level_parse(const char *text, enum log_level *level);
void	log_set_level(enum log_level level);
bool	log_is_enabled(enum log_level level);

void	log_error(const char *tag, const char *format, ...)
	    __attribute__((format(printf, 2, 3)));
void	log_warning(const char *tag, const char *format, ...)
	    __attribute__((format(printf, 2, 3)));
void	log_info(const char *tag, const char *format, ...)
	    __attribute__((format(printf, 2, 3)));
void	log_debug(const char *tag, const char *format, ...)
	    __attribute__((format(printf, 2, 3)));

#endif
