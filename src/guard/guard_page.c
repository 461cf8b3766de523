/*
 * guard_page.c - the page that agent and guard share.
 *
 * Owns how a half of the page is written and read.  It must never wait for
 * the other side: each half is kept twice, the writer fills the copy that
 * does not count and then raises the sequence number, so whoever is stopped
 * or killed in the middle leaves the last whole value standing.
 *
 * Linked by the guard and by the agent.
 */
#include "guard.h"

#include <stddef.h>
#include <string.h>

#define READ_ATTEMPTS 4096

static void
latch_write(uint32_t *sequence, void *copies, const void *half, size_t size)
{
	uint32_t next;

	next = __atomic_load_n(sequence, __ATOMIC_RELAXED) + 1;
	/* The copy that the previous write took out of use. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	memcpy((char *)copies + (next % 2) * size, half, size);
	__atomic_store_n(sequence, next, __ATOMIC_RELEASE);
}

/* half must be no part of the page; it is touched only on success. */
static bool
latch_read(const uint32_t *sequence, const void *copies, void *half,
    void *scratch, size_t size)
{
	uint32_t before;
	int i;

	for (i = 0; i < READ_ATTEMPTS; i++) {
		before = __atomic_load_n(sequence, __ATOMIC_ACQUIRE);
		memcpy(scratch, (const char *)copies + (before % 2) * size,
		    size);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__atomic_load_n(sequence, __ATOMIC_RELAXED) == before) {
			memcpy(half, scratch, size);
			return true;
		}
	}
	return false;
}

void
guard_page_write_agent(struct guard_page *page,
    const struct guard_page_agent *half)
{
	latch_write(&page->agent.sequence, page->agent.copy, half,
	    sizeof(*half));
}

bool
guard_page_read_agent(const struct guard_page *page,
    struct guard_page_agent *half)
{
	struct guard_page_agent scratch;

	return latch_read(&page->agent.sequence, page->agent.copy, half,
	    &scratch, sizeof(scratch));
}

void
guard_page_write_guard(struct guard_page *page,
    const struct guard_page_guard *half)
{
	latch_write(&page->guard.sequence, page->guard.copy, half,
	    sizeof(*half));
}

bool
guard_page_read_guard(const struct guard_page *page,
    struct guard_page_guard *half)
{
	struct guard_page_guard scratch;

	return latch_read(&page->guard.sequence, page->guard.copy, half,
	    &scratch, sizeof(scratch));
}

#define NAME_CASE(symbol, value, name) case symbol: return name;

const char *
guard_state_name(unsigned state)
{
	switch (state) {
	GUARD_STATES(NAME_CASE)
	default:
		return "unknown";
	}
}

const char *
guard_reason_name(unsigned reason)
{
	switch (reason) {
	GUARD_REASONS(NAME_CASE)
	default:
		return "unknown";
	}
}

int64_t
guard_kill_time_ns(const struct guard_page_agent *half)
{
	int64_t margin_ns = (int64_t)half->margin_ms * 1000000;

	if (!half->armed)
		return INT64_MAX;
	if (half->deadline_ns <= margin_ns)
		return 0;
	return half->deadline_ns - margin_ns;
}
