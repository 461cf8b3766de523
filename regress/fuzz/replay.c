/*
 * replay.c - runs a fuzz target over files, without libFuzzer.
 *
 *	NAME_fuzz [FILE]...
 *
 * Without arguments over everything in regress/fuzz/corpus/NAME, as TAP.  An
 * input that breaks something ends the program; its name is the last line.
 * Decides nothing itself, and must not let a run over no file pass.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#define INPUT_MAX (1024u * 1024u)

/* The target sees memory of just that size, so that no read beyond passes. */
static int
run_file(const char *path)
{
	static uint8_t data[INPUT_MAX];
	FILE *file = fopen(path, "rb");
	uint8_t *exact;
	size_t len;

	printf("# %s\n", path);
	fflush(stdout);
	if (file == NULL) {
		printf("# could not open it: %s\n", strerror(errno));
		return -1;
	}
	len = fread(data, 1, sizeof(data), file);
	if (ferror(file) || !feof(file)) {
		printf("# could not read it, or it is too long\n");
		fclose(file);
		return -1;
	}
	fclose(file);
	exact = malloc(len > 0 ? len : 1);
	if (exact == NULL)
		return -1;
	memcpy(exact, data, len);
	LLVMFuzzerTestOneInput(exact, len);
	free(exact);
	return 0;
}

static int
run_corpus(const char *name)
{
	const char *top = getenv("FAILOVERD_SRC");
	char dir[2048], path[4096];
	int count = 0, failed = 0, len = (int)strcspn(name, "_");
	struct dirent *entry;
	DIR *stream;

	snprintf(dir, sizeof(dir), "%s/regress/fuzz/corpus/%.*s",
	    top != NULL ? top : ".", len, name);
	stream = opendir(dir);
	if (stream == NULL) {
		printf("Bail out! could not open directory \"%s\": %s\n", dir,
		    strerror(errno));
		return 1;
	}
	while ((entry = readdir(stream)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		count++;
		if (run_file(path) != 0)
			failed++;
	}
	closedir(stream);
	printf("%sok 1 - %s: %d inputs of its corpus\n1..1\n",
	    count > 0 && failed == 0 ? "" : "not ", name, count);
	return count == 0 || failed != 0;
}

int
main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	int i, failed = 0;

	if (argc == 1)
		return run_corpus(slash != NULL ? slash + 1 : argv[0]);
	for (i = 1; i < argc; i++)
		if (run_file(argv[i]) != 0)
			failed++;
	return failed != 0;
}
