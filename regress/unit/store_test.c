/*
 * store_test.c - what is found again after every kind of damage.
 *
 * The rule that everything here asserts: a file is whole with exactly the
 * content that was stored, or it is damaged; never whole with another.
 */
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tap.h"

static char dir[64];
static char errmsg[ERRMSG_MAX];
static uint8_t body[STORE_MAX];

static const struct store_identity someone = {
	.cluster_id = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 },
	.generation = 3,
	.member_id = 7,
	.promise = 42,
	.cluster = "sales",
	.node = "n1",
};
static const char text[] = "what the consensus must not forget";

/* What store_load() gave. */
static struct {
	int rc;
	struct store_identity identity;
	uint64_t generation;
	enum store_found found;
	size_t len;
} got;

/*
 * In the place of the C library's: they note the order of calls, and fail
 * when told to.
 */
static char calls[64];
static char failing_call;

static bool
note_call(char call)
{
	size_t len = strlen(calls);

	if (len + 1 < sizeof(calls))
		calls[len] = call;
	if (call != failing_call)
		return true;
	errno = EIO;
	return false;
}

int
fdatasync(int fd)
{
	return note_call('d') ? (int)syscall(SYS_fdatasync, fd) : -1;
}

int
fsync(int fd)
{
	return note_call('f') ? (int)syscall(SYS_fsync, fd) : -1;
}

int
renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	return note_call('r') ? (int)syscall(SYS_renameat2, from_dir, from,
	    to_dir, to, 0) : -1;
}

int
unlinkat(int at, const char *name, int flags)
{
	if (strstr(name, ".tmp") == NULL)
		note_call('u');
	return (int)syscall(SYS_unlinkat, at, name, flags);
}

static void
bail_out(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
fresh_dir(void)
{
	snprintf(dir, sizeof(dir), "/tmp/store_test.XXXXXX");
	if (mkdtemp(dir) == NULL)
		bail_out("mkdtemp");
}

static const char *
path_of(const char *name)
{
	static char paths[2][128];
	static unsigned int turn;
	char *path = paths[turn++ % 2];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

static void
remove_dir(void)
{
	struct dirent *entry;
	DIR *stream;

	stream = opendir(dir);
	if (stream == NULL)
		bail_out(dir);
	while ((entry = readdir(stream)) != NULL)
		unlinkat(dirfd(stream), entry->d_name, 0);
	closedir(stream);
	if (rmdir(dir) != 0)
		bail_out("rmdir");
}

static bool
exists(const char *name)
{
	struct stat st;

	return lstat(path_of(name), &st) == 0;
}

static void
put(const char *name, const void *bytes, size_t len)
{
	int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, bytes, len) != (ssize_t)len || close(fd) != 0)
		bail_out(name);
}

static size_t
get(const char *name, uint8_t *bytes, size_t size)
{
	int fd = open(path_of(name), O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, bytes, size);

	if (n < 0)
		bail_out(name);
	close(fd);
	return (size_t)n;
}

static void
load(void)
{
	memset(&got, 0xee, sizeof(got));
	got.rc = store_load(dir, &got.identity, &got.generation, &got.found,
	    body, &got.len, errmsg);
}

static int
save(uint64_t generation)
{
	return store_save(dir, &someone, generation, text, sizeof(text),
	    errmsg);
}

static bool
is_as_stored(void)
{
	return got.rc == 0 && got.found == STORE_WHOLE &&
	    memcmp(got.identity.cluster_id, someone.cluster_id, 16) == 0 &&
	    got.identity.generation == someone.generation &&
	    got.identity.member_id == someone.member_id &&
	    got.identity.promise == someone.promise &&
	    strcmp(got.identity.cluster, someone.cluster) == 0 &&
	    strcmp(got.identity.node, someone.node) == 0 &&
	    got.len == sizeof(text) && memcmp(body, text, got.len) == 0;
}

static bool
is_damaged(void)
{
	return got.rc == 0 && got.found == STORE_DAMAGED &&
	    got.identity.member_id == 0 && got.len == 0 &&
	    errmsg[0] != '\0';
}

/* RFC 3720, B.4 */
static void
test_crc(void)
{
	uint8_t bytes[32];
	int i;

	is_int(store_crc("123456789", 9), 0xe3069283, "CRC of 123456789");
	memset(bytes, 0, sizeof(bytes));
	is_int(store_crc(bytes, 32), 0x8a9136aa, "CRC of zeroes");
	memset(bytes, 0xff, sizeof(bytes));
	is_int(store_crc(bytes, 32), 0x62a8ab43, "CRC of ones");
	for (i = 0; i < 32; i++)
		bytes[i] = (uint8_t)i;
	is_int(store_crc(bytes, 32), 0x46dd794e, "CRC of 0 to 31");
	is_int(store_crc(bytes, 0), 0, "CRC of nothing");
}

static void
test_round_trip(void)
{
	struct store_identity nobody = { .cluster = "sales", .node = "n1" };
	struct stat st;

	fresh_dir();
	load();
	ok(got.rc == 0 && got.found == STORE_EMPTY && got.generation == 0,
	    "an empty directory is that of a node that was never a member");

	ok(store_save(dir, &nobody, 1, "", 0, errmsg) == 0 &&
	    !exists("incarnation"), "who is nobody leaves no witness");
	load();
	ok(got.rc == 0 && got.found == STORE_WHOLE && got.len == 0 &&
	    got.identity.member_id == 0, "an empty body is whole");

	ok(save(2) == 0, "stored: %s", errmsg);
	load();
	ok(is_as_stored() && got.generation == 2, "loaded as it was stored");
	ok(!exists("state.1"), "the older generation is removed");
	ok(exists("incarnation"), "a member leaves its witness");
	ok(stat(path_of("state.2"), &st) == 0 &&
	    (st.st_mode & 07777) == 0600 &&
	    stat(path_of("incarnation"), &st) == 0 &&
	    (st.st_mode & 07777) == 0600, "files are 0600");

	ok(save(3) == 0 && save(4) == 0, "stored twice more");
	load();
	ok(is_as_stored() && got.generation == 4, "the newest is loaded");
	remove_dir();
}

static void
test_largest(void)
{
	static uint8_t large[STORE_MAX];
	size_t i, len;
	int rc;

	fresh_dir();
	for (i = 0; i < sizeof(large); i++)
		large[i] = (uint8_t)(i * 7 + (i >> 8));
	for (len = sizeof(large); (rc = store_save(dir, &someone, 1, large,
	    len, errmsg)) != 0 && len > sizeof(large) - 256; len--)
		if (exists("state.1"))
			break;
	ok(rc == 0 && len < sizeof(large), "longer than %u with its head is "
	    "refused, %zu is stored", STORE_MAX, len);
	load();
	ok(got.rc == 0 && got.found == STORE_WHOLE && got.len == len &&
	    memcmp(body, large, len) == 0, "the longest is loaded");
	ok(truncate(path_of("state.1"), STORE_MAX + 1) == 0, "made longer");
	load();
	ok(is_damaged(), "a file above the bound is damaged: %s", errmsg);
	remove_dir();
}

/* Each bit of each byte, each length, and some bytes too many. */
static void
test_every_damage(void)
{
	static uint8_t good[4096], bad[4096];
	size_t len, i, wrong = 0, tried = 0;
	unsigned int bit;

	fresh_dir();
	if (save(5) != 0)
		bail_out(errmsg);
	len = get("state.5", good, sizeof(good));
	ok(len > sizeof(text), "a real file of %zu bytes", len);
	for (i = 0; i < len; i++)
		for (bit = 0; bit < 9; bit++) {
			memcpy(bad, good, len);
			bad[i] ^= bit < 8 ? (uint8_t)(1u << bit) : 0xff;
			put("state.5", bad, len);
			load();
			tried++;
			if (is_damaged() && got.generation == 5)
				continue;
			if (wrong++ == 0)
				printf("# byte %zu bit %u: %d, %d: %s\n", i,
				    bit, got.rc, got.found, errmsg);
		}
	ok(wrong == 0, "%zu files with one byte changed are damaged", tried);

	for (wrong = 0, i = 0; i < len; i++) {
		put("state.5", good, i);
		load();
		if (!is_damaged() && wrong++ == 0)
			printf("# first %zu bytes: %s\n", i, errmsg);
	}
	ok(wrong == 0, "%zu truncated files are damaged", len);

	memcpy(bad, good, len);
	for (wrong = 0, i = 1; i < 100; i++) {
		bad[len + i - 1] = i % 2 != 0 ? 0 : (uint8_t)i;
		put("state.5", bad, len + i);
		load();
		wrong += !is_damaged();
	}
	ok(wrong == 0, "files with bytes behind their end are damaged");

	memset(bad, 0, len);
	put("state.5", bad, len);
	load();
	ok(is_damaged(), "a file of zeroes is damaged");
	memcpy(bad, good, len);
	for (wrong = 0, i = 0; i + 16 <= len; i++) {
		memcpy(bad, good, len);
		memset(bad + i, 0, 16);
		if (memcmp(bad, good, len) == 0)
			continue;
		put("state.5", bad, len);
		load();
		wrong += !is_damaged();
	}
	ok(wrong == 0, "files with a hole of zeroes are damaged");

	put("state.5", good, len);
	load();
	ok(is_as_stored(), "and the file itself is whole");
	ok(rename(path_of("state.5"), path_of("state.6")) == 0, "renamed");
	load();
	ok(is_damaged(), "another generation by name is damage: %s", errmsg);
	remove_dir();
}

/* The newest file counts, whatever else is there. */
static void
test_no_way_back(void)
{
	static uint8_t good[4096];
	size_t len;

	fresh_dir();
	if (save(8) != 0)
		bail_out(errmsg);
	len = get("state.8", good, sizeof(good));
	put("state.9", good, len - 1);
	load();
	ok(is_damaged() && got.generation == 9 && exists("state.8"),
	    "a damaged newest is damage although an older one is whole");
	ok(save(10) == 0, "stored above the damage");
	load();
	ok(is_as_stored() && got.generation == 10 && !exists("state.9") &&
	    !exists("state.8"), "and the older ones are gone after that");

	ok(unlink(path_of("state.10")) == 0, "state file lost");
	load();
	ok(is_damaged() && got.generation == 0,
	    "nothing but the witness is damage: %s", errmsg);
	ok(unlink(path_of("incarnation")) == 0 && save(1) == 0 &&
	    exists("incarnation"), "the witness comes back with a write");
	ok(unlink(path_of("incarnation")) == 0, "the witness is lost");
	load();
	ok(is_as_stored() && exists("incarnation"),
	    "the witness comes back with a load");

	ok(rename(path_of("state.1"), path_of("real")) == 0 &&
	    symlink("real", path_of("state.1")) == 0, "a link instead");
	load();
	ok(is_damaged(), "a symbolic link is damage: %s", errmsg);
	ok(unlink(path_of("state.1")) == 0 &&
	    mkdir(path_of("state.1"), 0700) == 0, "a directory instead");
	load();
	ok(is_damaged(), "a directory is damage: %s", errmsg);
	rmdir(path_of("state.1"));
	remove_dir();
}

static void
test_leftovers(void)
{
	fresh_dir();
	put("state.1.tmp", "half", 4);
	put("incarnation.tmp", "", 0);
	load();
	ok(got.rc == 0 && got.found == STORE_EMPTY &&
	    !exists("state.1.tmp") && !exists("incarnation.tmp"),
	    "temporary files alone are removed and mean nothing");

	if (save(3) != 0)
		bail_out(errmsg);
	put("state.4.tmp", "half", 4);
	put("state.2", "old", 3);
	put("state.04", "x", 1);
	put("state.5x", "x", 1);
	put("state.", "x", 1);
	put("state.99999999999999999999", "x", 1);
	put("other.tmp", "x", 1);
	load();
	ok(is_as_stored() && got.generation == 3, "names that are none of "
	    "ours do not count");
	ok(!exists("state.4.tmp"), "leftover of a write removed");
	ok(!exists("state.2"), "leftover generation removed");
	ok(exists("state.5x") && exists("other.tmp") && exists("state.04"),
	    "files of others are left alone");
	put("state.4.tmp", "half", 4);
	ok(save(4) == 0 && !exists("state.4.tmp"),
	    "a leftover does not hinder a write");
	load();
	ok(is_as_stored() && got.generation == 4, "which is whole");
	remove_dir();
}

static void
test_modes(void)
{
	fresh_dir();
	if (save(1) != 0)
		bail_out(errmsg);
	chmod(dir, 0750);
	load();
	ok(got.rc == -1 && strstr(errmsg, "chmod 0700") != NULL,
	    "a wide directory is refused: %s", errmsg);
	chmod(dir, 0700);
	chmod(path_of("state.1"), 0640);
	load();
	ok(got.rc == -1 && got.found != STORE_WHOLE &&
	    strstr(errmsg, "chmod 0600") != NULL,
	    "a wide file is refused: %s", errmsg);
	chmod(path_of("state.1"), 0400);
	load();
	ok(is_as_stored(), "a narrower one is not");
	remove_dir();
	load();
	ok(got.rc == -1 && strstr(errmsg, "install -d -m 700") != NULL,
	    "no directory: %s", errmsg);
	ok(save(1) == -1 && errmsg[0] != '\0', "nor can it be stored");
}

static void
test_newer_format(void)
{
	static uint8_t file[4096];
	uint32_t crc;
	size_t len;

	fresh_dir();
	if (save(1) != 0)
		bail_out(errmsg);
	len = get("state.1", file, sizeof(file));
	file[15] = 2;		/* the version, with a checksum that fits */
	crc = store_crc(file + 12, len - 12);
	file[8] = (uint8_t)(crc >> 24);
	file[9] = (uint8_t)(crc >> 16);
	file[10] = (uint8_t)(crc >> 8);
	file[11] = (uint8_t)crc;
	put("state.1", file, len);
	load();
	ok(got.rc == -1 && strstr(errmsg, "version 2") != NULL,
	    "a newer format is refused, not damage: %s", errmsg);
	remove_dir();
}

/* The disk takes the first bytes and no more. */
static void
test_full_disk(void)
{
	struct rlimit before, limit;
	char said[ERRMSG_MAX] = "";
	size_t wrong = 0, i;

	fresh_dir();
	if (save(1) != 0 || getrlimit(RLIMIT_FSIZE, &before) != 0)
		bail_out(errmsg);
	signal(SIGXFSZ, SIG_IGN);
	for (i = 0; i < 100; i += 10) {
		limit = before;
		limit.rlim_cur = i;
		if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
			bail_out("setrlimit");
		if (save(2) != -1 ||
		    strstr(errmsg, "could not write file") == NULL)
			wrong++;
		memcpy(said, errmsg, sizeof(said));
		setrlimit(RLIMIT_FSIZE, &before);
		if (exists("state.2") || exists("state.2.tmp"))
			wrong++;
		load();
		if (!is_as_stored() || got.generation != 1)
			wrong++;
	}
	ok(wrong == 0, "a write that fails is reported and leaves the old "
	    "generation: %s", said);
	ok(save(2) == 0, "stored once there is room");
	load();
	ok(is_as_stored() && got.generation == 2, "and loaded");
	remove_dir();
}

/* Nothing counts as stored before both the bytes and the name are synced. */
static void
test_order(void)
{
	fresh_dir();
	if (save(1) != 0)
		bail_out(errmsg);
	memset(calls, 0, sizeof(calls));
	ok(save(2) == 0, "stored");
	is_text(calls, "drfu", "bytes synced, renamed, name synced, and only "
	    "then the older one removed");

	failing_call = 'd';
	ok(save(3) == -1 && strstr(errmsg, "could not fsync file") != NULL,
	    "bytes that cannot be synced: %s", errmsg);
	failing_call = '\0';
	ok(!exists("state.3") && !exists("state.3.tmp"), "left no name");
	load();
	ok(is_as_stored() && got.generation == 2, "the old one is intact");

	failing_call = 'f';
	ok(save(3) == -1 && strstr(errmsg, "could not fsync dir") != NULL,
	    "a name that cannot be synced: %s", errmsg);
	failing_call = '\0';
	ok(exists("state.2"), "the old one stays");
	ok(save(3) == 0 && !exists("state.2"), "and the same generation can "
	    "be stored again");
	remove_dir();
}

/* Something in the way of the final name, which even root cannot replace. */
static void
test_rename_fails(void)
{
	fresh_dir();
	if (save(1) != 0)
		bail_out(errmsg);
	if (mkdir(path_of("state.2"), 0700) != 0)
		bail_out("mkdir");
	ok(save(2) == -1 && strstr(errmsg, "could not rename") != NULL,
	    "a rename that fails is reported: %s", errmsg);
	ok(!exists("state.2.tmp"), "and cleaned up");
	rmdir(path_of("state.2"));
	load();
	ok(is_as_stored() && got.generation == 1, "the old one is intact");
	ok(store_save(dir, &someone, 0, text, sizeof(text), errmsg) == -1,
	    "there is no generation 0");
	remove_dir();
}

int
main(void)
{
	umask(0);		/* modes must not depend on it */
	test_crc();
	test_round_trip();
	test_largest();
	test_every_damage();
	test_no_way_back();
	test_leftovers();
	test_modes();
	test_newer_format();
	test_full_disk();
	test_order();
	test_rename_fails();
	return done_testing();
}
