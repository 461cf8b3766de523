/*
 * wal.c - all WAL that was ever written, as one tree.
 *
 * A node's WAL is the chain behind the record where it ends, so "does this
 * node hold that commit" is a question about ancestors.  Skew-binary jump
 * pointers make it logarithmic.
 */
#include "sim.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct {
	struct wal_record *records;
	uint32_t count, room;
} wal;

void
wal_reset(void)
{
	wal.count = 1;		/* 0 is no record */
	(void)wal_append(0, 1, 0x1000000, 0, 0);
}

const struct wal_record *
wal_get(uint32_t record)
{
	assert(record > 0 && record < wal.count);
	return &wal.records[record];
}

uint32_t
wal_append(uint32_t parent, uint32_t timeline, uint64_t bytes,
    uint32_t commit, uint64_t epoch)
{
	struct wal_record *r;

	if (wal.count + 1 >= wal.room) {
		wal.room = wal.room * 2 + 4096;
		wal.records = realloc(wal.records,
		    wal.room * sizeof(*wal.records));
		if (wal.records == NULL)
			abort();
	}
	r = &wal.records[wal.count];
	memset(r, 0, sizeof(*r));
	r->parent = parent;
	r->timeline = timeline;
	r->commit = commit;
	r->epoch = epoch;
	r->lsn = bytes;
	r->jump = wal.count;
	if (parent > 0) {
		const struct wal_record *p = &wal.records[parent];
		const struct wal_record *j = &wal.records[p->jump];

		r->lsn += p->lsn;
		r->depth = p->depth + 1;
		r->jump = p->depth - j->depth == j->depth -
		    wal.records[j->jump].depth ? j->jump : parent;
	}
	return wal.count++;
}

uint32_t
wal_at(uint32_t tip, uint64_t lsn)
{
	const struct wal_record *r = wal_get(tip);

	while (r->lsn > lsn && r->parent != 0) {
		if (wal.records[r->jump].lsn > lsn)
			tip = r->jump == tip ? r->parent : r->jump;
		else if (wal.records[r->jump].lsn == lsn)
			return r->jump;
		else
			tip = r->parent;
		r = wal_get(tip);
	}
	return tip;
}

bool
wal_contains(uint32_t tip, uint32_t older)
{
	return older == 0 || (wal_lsn(tip) >= wal_lsn(older) &&
	    wal_at(tip, wal_lsn(older)) == older);
}

uint32_t
wal_common(uint32_t a, uint32_t b)
{
	while (a != b) {
		if (wal_get(a)->depth >= wal_get(b)->depth)
			a = wal_get(a)->parent;
		else
			b = wal_get(b)->parent;
	}
	return a;
}
