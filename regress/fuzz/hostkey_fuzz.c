/*
 * hostkey_fuzz.c - known_hosts lines and key blobs from outside.
 *
 * A line that names the host must be written again as one that names it too.
 */
#include "../../src/provision/hostkey.h"

#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct hostkey_entry entry, again;
	char type[HOSTKEY_TYPE_MAX], line[HOSTKEY_LINE_MAX];
	char *text = malloc(size + 1);

	if (text == NULL)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	hostkey_type(data, size, type);
	assert(strlen(type) < sizeof(type));
	if (hostkey_parse_line(text, "n2", 22, &entry) ==
	    HOSTKEY_LINE_MATCH) {
		assert(entry.blob_len <= sizeof(entry.blob));
		assert(hostkey_format_line("n2", 22, entry.blob,
		    entry.blob_len, line, sizeof(line)) == 0);
		assert(hostkey_parse_line(line, "n2", 22, &again) ==
		    HOSTKEY_LINE_MATCH);
		assert(again.blob_len == entry.blob_len);
	}
	free(text);
	return 0;
}
