/*
 * conf_fuzz.c - failoverd.conf, and keys and addresses from a command line.
 *
 * A file that is taken must be written as one that is taken and says the
 * same.  Each line is a KEY=VALUE and an address as well.
 */
#include "conf.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"

const char *__lsan_default_suppressions(void);

/* libconfig's scanner loses its buffers when a text does not end. */
const char *
__lsan_default_suppressions(void)
{
	return "leak:libconfig.so";
}

static char directory[] = "/tmp/conf_fuzz.XXXXXX", written[64];

static void
remove_directory(void)
{
	unlink(written);
	rmdir(directory);
}

static void
check_line(char *line)
{
	char host[ADDRESS_MAX_LEN + 1], port[8], errmsg[ERRMSG_MAX] = "";
	char *value = strchr(line, '=');
	static struct conf conf;

	if (conf_split_address(line, "7432", host, sizeof(host), port,
	    sizeof(port), errmsg) == 0)
		assert(host[0] != '\0' && atoi(port) > 0);
	else
		assert(errmsg[0] != '\0');
	if (value == NULL)
		return;
	*value++ = '\0';
	conf_init(&conf);
	errmsg[0] = '\0';
	if (conf_set(&conf, line, value, errmsg) != 0)
		assert(errmsg[0] != '\0');
	(void)conf_check(&conf, errmsg);
}

static void
check_file(const char *path)
{
	static struct conf conf, again;
	char errmsg[ERRMSG_MAX] = "";

	if (conf_read(&conf, path, errmsg) != 0) {
		assert(errmsg[0] != '\0');
		return;
	}
	assert(conf_is_name(conf.node) && conf_is_name(conf.cluster));
	assert(conf_check(&conf, errmsg) == 0);
	assert(conf_write(&conf, written, errmsg) == 0);
	assert(conf_read(&again, written, errmsg) == 0);
	memcpy(again.file, conf.file, sizeof(again.file));
	assert(memcmp(&conf, &again, sizeof(conf)) == 0);
}

static void
open_once(void)
{
	if (written[0] != '\0')
		return;
	if (mkdtemp(directory) == NULL) {
		perror(directory);
		exit(1);
	}
	snprintf(written, sizeof(written), "%s/failoverd.conf", directory);
	atexit(remove_directory);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[32], *text, *line, *save = NULL;
	int fd, lines = 0;

	open_once();
	fd = memfd_create("conf", MFD_CLOEXEC);
	assert(fd >= 0);
	assert(write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	check_file(path);
	close(fd);

	text = malloc(size + 1);
	assert(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	for (line = strtok_r(text, "\n", &save); line != NULL && lines < 16;
	    line = strtok_r(NULL, "\n", &save), lines++)
		check_line(line);
	free(text);
	return 0;
}
