/*
 * store.c - what this node must never forget, in one file per generation.
 *
 * Owns STATE_DIR/state.N and STATE_DIR/incarnation and decides one thing:
 * whether what is found there is whole.  It must never take a damaged file
 * for a whole one, never fall back to an older file, never mistake a node
 * that has lost its state for a new one, and never say that something is
 * stored before both the file and its name are on the disk.
 *
 * state.N, all numbers big-endian:
 *	8	"FOVDSTAT"
 *	4	CRC-32C of everything behind this field
 *	4	format version
 *	8	length of the whole file
 *	8	store generation, equal to N
 *	...	identity, then the body as u32 length and bytes
 * The first three fields stay where they are in every version, so that a
 * file of a newer program is told from a damaged one.
 */
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"

#define STORE_MAGIC	"FOVDSTAT"
#define MAGIC_LEN	8
#define CRC_END		12	/* the checksum covers what follows it */
#define FIXED_LEN	32	/* up to the identity */
#define STORE_VERSION	1
/* The most that stands before the body, its length included. */
#define HEAD_MAX	(FIXED_LEN + 16 + 8 + 4 + 8 + 2 * (2 + NAME_MAX_LEN) + 4)

#define WITNESS		"incarnation"
#define TMP_SUFFIX	".tmp"
#define FILE_NAME_MAX	48	/* "state.", 20 digits, ".tmp" */

__attribute__((format(printf, 2, 3)))
static int
fail(char *errmsg, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(errmsg, ERRMSG_MAX, format, ap);
	va_end(ap);
	return -1;
}

/* ---- CRC-32C ---- */

static uint32_t
crc_add(uint32_t crc, const void *bytes, size_t len)
{
	/* What four bits do to the reflected polynomial 0x1edc6f41. */
	static const uint32_t four_bits[16] = {
		0x00000000u, 0x105ec76fu, 0x20bd8edeu, 0x30e349b1u,
		0x417b1dbcu, 0x5125dad3u, 0x61c69362u, 0x7198540du,
		0x82f63b78u, 0x92a8fc17u, 0xa24bb5a6u, 0xb21572c9u,
		0xc38d26c4u, 0xd3d3e1abu, 0xe330a81au, 0xf36e6f75u,
	};
	const uint8_t *p = bytes;

	while (len-- > 0) {
		crc ^= *p++;
		crc = crc >> 4 ^ four_bits[crc & 15];
		crc = crc >> 4 ^ four_bits[crc & 15];
	}
	return crc;
}

uint32_t
store_crc(const void *bytes, size_t len)
{
	return ~crc_add(~0u, bytes, len);
}

/* ---- writing ---- */

/* Everything before the body; the checksum is put in afterwards. */
static void
put_head(struct buf *buf, const struct store_identity *identity,
    uint64_t store_generation, size_t body_len)
{
	uint8_t length[8];
	struct buf at;

	buf_put_bytes(buf, STORE_MAGIC, MAGIC_LEN);
	buf_put_u32(buf, 0);
	buf_put_u32(buf, STORE_VERSION);
	buf_put_u64(buf, 0);
	buf_put_u64(buf, store_generation);
	buf_put_bytes(buf, identity->cluster_id, sizeof(identity->cluster_id));
	buf_put_u64(buf, identity->generation);
	buf_put_u32(buf, identity->member_id);
	buf_put_u64(buf, identity->promise);
	buf_put_string(buf, identity->cluster);
	buf_put_string(buf, identity->node);
	buf_put_u32(buf, (uint32_t)body_len);
	if (buf->failed)
		return;
	buf_init(&at, length, sizeof(length));
	buf_put_u64(&at, buf->len + body_len);
	memcpy(buf->data + CRC_END + 4, length, sizeof(length));
}

static void
set_crc(uint8_t *head, size_t head_len, const void *body, size_t body_len)
{
	uint32_t crc;
	struct buf at;

	crc = crc_add(~0u, head + CRC_END, head_len - CRC_END);
	crc = ~crc_add(crc, body, body_len);
	buf_init(&at, head + MAGIC_LEN, sizeof(crc));
	buf_put_u32(&at, crc);
}

static int
write_all(int fd, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			if (n == 0)
				errno = ENOSPC;
			return -1;
		}
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/*
 * Puts two pieces into `name` by way of a temporary name: afterwards there is
 * the whole of it, on the disk, or what was there before.
 */
static int
put_file(int dir, const char *state_dir, const char *name, const void *head,
    size_t head_len, const void *body, size_t body_len, char *errmsg)
{
	char tmp[FILE_NAME_MAX];
	int fd, saved;

	snprintf(tmp, sizeof(tmp), "%s" TMP_SUFFIX, name);
	if (unlinkat(dir, tmp, 0) != 0 && errno != ENOENT)
		return fail(errmsg, "could not remove file \"%s/%s\": %s",
		    state_dir, tmp, strerror(errno));
	fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW |
	    O_CLOEXEC, 0600);
	if (fd < 0)
		return fail(errmsg, "could not create file \"%s/%s\": %s",
		    state_dir, tmp, strerror(errno));
	if (fchmod(fd, 0600) != 0 || write_all(fd, head, head_len) != 0 ||
	    write_all(fd, body, body_len) != 0) {
		fail(errmsg, "could not write file \"%s/%s\": %s",
		    state_dir, tmp, strerror(errno));
		goto failed;
	}
	if (fdatasync(fd) != 0) {
		fail(errmsg, "could not fsync file \"%s/%s\": %s",
		    state_dir, tmp, strerror(errno));
		goto failed;
	}
	saved = fd;
	fd = -1;
	if (close(saved) != 0) {
		fail(errmsg, "could not close file \"%s/%s\": %s",
		    state_dir, tmp, strerror(errno));
		goto failed;
	}
	if (renameat(dir, tmp, dir, name) != 0) {
		fail(errmsg, "could not rename file \"%s/%s\" to \"%s\": %s",
		    state_dir, tmp, name, strerror(errno));
		goto failed;
	}
	if (fsync(dir) != 0)
		return fail(errmsg, "could not fsync directory \"%s\": %s",
		    state_dir, strerror(errno));
	return 0;
failed:
	if (fd >= 0)
		close(fd);
	unlinkat(dir, tmp, 0);
	return -1;
}

/* Without it a lost state.N would look like a node that never was anybody. */
static int
put_witness(int dir, const char *state_dir,
    const struct store_identity *identity, char *errmsg)
{
	char text[512];
	struct stat st;
	int len;

	if (fstatat(dir, WITNESS, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	if (errno != ENOENT)
		return fail(errmsg, "could not stat file \"%s/%s\": %s",
		    state_dir, WITNESS, strerror(errno));
	len = snprintf(text, sizeof(text),
	    "Node %s has been a member of cluster %s.\n"
	    "If the file state.N beside this one is gone or damaged, this "
	    "tells that\nsomething was forgotten: the node does not vote and "
	    "comes back as a new\nmember.  Do not remove this file.\n",
	    identity->node, identity->cluster);
	return put_file(dir, state_dir, WITNESS, text, (size_t)len, "", 0,
	    errmsg);
}

static int
open_dir(const char *state_dir, char *errmsg)
{
	int dir = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir >= 0)
		return dir;
	if (errno == ENOENT)
		return fail(errmsg, "state directory \"%s\" does not exist. "
		    "Create it with: install -d -m 700 %s", state_dir,
		    state_dir);
	return fail(errmsg, "could not open directory \"%s\": %s", state_dir,
	    strerror(errno));
}

static void
file_name(char name[FILE_NAME_MAX], uint64_t store_generation)
{
	snprintf(name, FILE_NAME_MAX, "state.%llu",
	    (unsigned long long)store_generation);
}

int
store_save(const char *state_dir, const struct store_identity *identity,
    uint64_t store_generation, const void *body, size_t body_len,
    char *errmsg)
{
	uint8_t head[HEAD_MAX];
	char name[FILE_NAME_MAX];
	struct buf buf;
	int dir, rc;

	errmsg[0] = '\0';
	buf_init(&buf, head, sizeof(head));
	if (body_len <= STORE_MAX)
		put_head(&buf, identity, store_generation, body_len);
	if (store_generation == 0 || body_len > STORE_MAX || buf.failed ||
	    buf.len + body_len > STORE_MAX)
		return fail(errmsg, "state of %zu bytes in generation %llu "
		    "cannot be stored in \"%s\"", body_len,
		    (unsigned long long)store_generation, state_dir);
	set_crc(head, buf.len, body, body_len);
	dir = open_dir(state_dir, errmsg);
	if (dir < 0)
		return -1;
	file_name(name, store_generation);
	rc = put_file(dir, state_dir, name, head, buf.len, body, body_len,
	    errmsg);
	/*
	 * After the file: in the other order a crash between the two would
	 * make a new node look like one that has lost its state.
	 */
	if (rc == 0 && identity->member_id != 0)
		rc = put_witness(dir, state_dir, identity, errmsg);
	if (rc == 0 && store_generation > 1) {
		/* Left behind it does no harm: the newest counts. */
		file_name(name, store_generation - 1);
		unlinkat(dir, name, 0);
	}
	close(dir);
	return rc;
}

/* ---- reading ---- */

/* "state.17" -> 17; 0 for every other name. */
static uint64_t
generation_of(const char *name)
{
	uint64_t value = 0;

	if (strncmp(name, "state.", 6) != 0 || name[6] < '1' || name[6] > '9')
		return 0;
	for (name += 6; *name >= '0' && *name <= '9'; name++) {
		uint64_t digit = (uint64_t)(*name - '0');

		if (value > (UINT64_MAX - digit) / 10)
			return 0;
		value = value * 10 + digit;
	}
	return *name == '\0' ? value : 0;
}

/* A write that never got its name: "state.17.tmp", "incarnation.tmp". */
static bool
is_leftover(const char *name)
{
	static const char suffix[] = TMP_SUFFIX;
	char stem[FILE_NAME_MAX];
	size_t len = strlen(name);

	if (len < sizeof(suffix) || len >= sizeof(stem) ||
	    strcmp(name + len - (sizeof(suffix) - 1), suffix) != 0)
		return false;
	memcpy(stem, name, len);
	stem[len - (sizeof(suffix) - 1)] = '\0';
	return generation_of(stem) != 0 || strcmp(stem, WITNESS) == 0;
}

enum sweep { SWEEP_LEFTOVERS, SWEEP_OLDER };

/*
 * One pass over the directory.  Finds the newest generation (0 = none) and
 * removes leftovers, or all generations older than *newest.
 */
static int
scan_dir(int dir, const char *state_dir, enum sweep sweep, uint64_t *newest,
    char *errmsg)
{
	struct dirent *entry;
	DIR *stream;
	int fd, rc = 0;

	/* A stream owns its descriptor and its position. */
	fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	stream = fd < 0 ? NULL : fdopendir(fd);
	if (stream == NULL) {
		rc = fail(errmsg, "could not open directory \"%s\": %s",
		    state_dir, strerror(errno));
		if (fd >= 0)
			close(fd);
		return rc;
	}
	while (rc == 0 && (errno = 0, entry = readdir(stream)) != NULL) {
		uint64_t generation = generation_of(entry->d_name);
		bool remove;

		if (sweep == SWEEP_OLDER) {
			remove = generation != 0 && generation < *newest;
		} else {
			remove = is_leftover(entry->d_name);
			if (generation > *newest)
				*newest = generation;
		}
		if (remove && unlinkat(dir, entry->d_name, 0) != 0 &&
		    errno != ENOENT)
			rc = fail(errmsg, "could not remove file \"%s/%s\": "
			    "%s", state_dir, entry->d_name, strerror(errno));
	}
	if (rc == 0 && errno != 0)
		rc = fail(errmsg, "could not read directory \"%s\": %s",
		    state_dir, strerror(errno));
	closedir(stream);
	return rc;
}

static int
check_mode(const struct stat *st, const char *path, mode_t widest,
    char *errmsg)
{
	if ((st->st_mode & 07777 & ~widest) == 0)
		return 0;
	return fail(errmsg, "\"%s\" has mode %04o, which is wider than %04o. "
	    "Correct it with: chmod %04o %s", path,
	    (unsigned int)(st->st_mode & 07777), (unsigned int)widest,
	    (unsigned int)widest, path);
}

/*
 * The whole file into body.  0; -1 when it cannot be read; 1 when it cannot
 * be a whole one, both with errmsg.
 */
static int
read_file(int dir, const char *name, const char *path, void *body,
    size_t *len, char *errmsg)
{
	uint8_t *p = body;
	struct stat st;
	int fd, rc = -1;

	*len = 0;
	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && errno == ELOOP) {
		fail(errmsg, "\"%s\" is damaged: it is a symbolic link", path);
		return 1;
	}
	if (fd < 0)
		return fail(errmsg, "could not open file \"%s\": %s", path,
		    strerror(errno));
	if (fstat(fd, &st) != 0) {
		fail(errmsg, "could not stat file \"%s\": %s", path,
		    strerror(errno));
		goto out;
	}
	if (!S_ISREG(st.st_mode) || st.st_size < FIXED_LEN ||
	    st.st_size > STORE_MAX) {
		fail(errmsg, "\"%s\" is damaged: it is not a file of %d to %u "
		    "bytes", path, FIXED_LEN, STORE_MAX);
		rc = 1;
		goto out;
	}
	if (check_mode(&st, path, 0600, errmsg) != 0)
		goto out;
	while (*len < (size_t)st.st_size) {
		ssize_t n = read(fd, p + *len, (size_t)st.st_size - *len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			fail(errmsg, "could not read file \"%s\": %s", path,
			    strerror(errno));
			goto out;
		}
		if (n == 0) {
			fail(errmsg, "\"%s\" is damaged: it ends after %zu of "
			    "%lld bytes", path, *len, (long long)st.st_size);
			rc = 1;
			goto out;
		}
		*len += (size_t)n;
	}
	rc = 0;
out:
	close(fd);
	return rc;
}

static int
check_head(struct reader *reader, const char *path, uint64_t generation,
    char *errmsg)
{
	uint64_t length, written_as;
	uint32_t crc, found, version;
	uint8_t magic[MAGIC_LEN];

	reader_get_bytes(reader, magic, sizeof(magic));
	crc = reader_get_u32(reader);
	found = store_crc(reader->data + CRC_END, reader->size - CRC_END);
	version = reader_get_u32(reader);
	length = reader_get_u64(reader);
	written_as = reader_get_u64(reader);
	if (memcmp(magic, STORE_MAGIC, MAGIC_LEN) != 0) {
		fail(errmsg, "\"%s\" is damaged: it does not begin with its "
		    "mark", path);
		return 1;
	}
	if (crc != found) {
		fail(errmsg, "\"%s\" is damaged: its checksum is %08x, its "
		    "contents have %08x", path, crc, found);
		return 1;
	}
	if (version != STORE_VERSION)
		return fail(errmsg, "\"%s\" has format version %u, this "
		    "failoverd reads version %d. Install the failoverd that "
		    "wrote it, or a newer one.", path, version,
		    STORE_VERSION);
	if (length != reader->size) {
		fail(errmsg, "\"%s\" is damaged: it was written with %llu "
		    "bytes and has %zu", path, (unsigned long long)length,
		    reader->size);
		return 1;
	}
	if (written_as != generation) {
		fail(errmsg, "\"%s\" is damaged: it was written as "
		    "generation %llu", path, (unsigned long long)written_as);
		return 1;
	}
	return 0;
}

/* The contents of a file; results as of read_file(). */
static int
parse_file(const char *path, uint64_t generation, void *body, size_t len,
    struct store_identity *identity, size_t *body_len, char *errmsg)
{
	struct reader reader;
	const uint8_t *bytes;
	int rc;

	reader_init(&reader, body, len);
	rc = check_head(&reader, path, generation, errmsg);
	if (rc != 0)
		return rc;
	reader_get_bytes(&reader, identity->cluster_id,
	    sizeof(identity->cluster_id));
	identity->generation = reader_get_u64(&reader);
	identity->member_id = reader_get_u32(&reader);
	identity->promise = reader_get_u64(&reader);
	reader_get_string(&reader, identity->cluster,
	    sizeof(identity->cluster));
	reader_get_string(&reader, identity->node, sizeof(identity->node));
	bytes = reader_get_blob(&reader, body_len);
	if (!reader_is_done(&reader)) {
		fail(errmsg, "\"%s\" is damaged: its identity cannot be read",
		    path);
		return 1;
	}
	memmove(body, bytes, *body_len);
	return 0;
}

/* Nothing of the name state.N is there. */
static int
judge_absence(int dir, const char *state_dir, enum store_found *found,
    char *errmsg)
{
	struct stat st;

	if (fstatat(dir, WITNESS, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		*found = STORE_DAMAGED;
		fail(errmsg, "\"%s/%s\" says that this node has been a "
		    "member, but there is no state file beside it",
		    state_dir, WITNESS);
		return 0;
	}
	if (errno != ENOENT)
		return fail(errmsg, "could not stat file \"%s/%s\": %s",
		    state_dir, WITNESS, strerror(errno));
	*found = STORE_EMPTY;
	return 0;
}

static int
load_newest(int dir, const char *state_dir, uint64_t generation,
    struct store_identity *identity, enum store_found *found, void *body,
    size_t *body_len, char *errmsg)
{
	char name[FILE_NAME_MAX], path[ERRMSG_MAX / 2];
	size_t len;
	int rc;

	file_name(name, generation);
	snprintf(path, sizeof(path), "%s/%s", state_dir, name);
	rc = read_file(dir, name, path, body, &len, errmsg);
	if (rc == 0)
		rc = parse_file(path, generation, body, len, identity,
		    body_len, errmsg);
	if (rc != 0) {
		memset(identity, 0, sizeof(*identity));
		*body_len = 0;
		*found = STORE_DAMAGED;
		return rc < 0 ? -1 : 0;
	}
	*found = STORE_WHOLE;
	if (scan_dir(dir, state_dir, SWEEP_OLDER, &generation, errmsg) != 0)
		return -1;
	return identity->member_id == 0 ? 0 :
	    put_witness(dir, state_dir, identity, errmsg);
}

int
store_load(const char *state_dir, struct store_identity *identity,
    uint64_t *store_generation, enum store_found *found, void *body,
    size_t *body_len, char *errmsg)
{
	struct stat st;
	int dir, rc = -1;

	memset(identity, 0, sizeof(*identity));
	*store_generation = 0;
	*found = STORE_DAMAGED;
	*body_len = 0;
	errmsg[0] = '\0';
	dir = open_dir(state_dir, errmsg);
	if (dir < 0)
		return -1;
	if (fstat(dir, &st) != 0)
		fail(errmsg, "could not stat directory \"%s\": %s", state_dir,
		    strerror(errno));
	else if (check_mode(&st, state_dir, 0700, errmsg) == 0 &&
	    scan_dir(dir, state_dir, SWEEP_LEFTOVERS, store_generation,
	    errmsg) == 0)
		rc = *store_generation == 0 ?
		    judge_absence(dir, state_dir, found, errmsg) :
		    load_newest(dir, state_dir, *store_generation, identity,
		    found, body, body_len, errmsg);
	close(dir);
	return rc;
}
