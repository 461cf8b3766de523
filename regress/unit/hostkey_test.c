/*
 * hostkey_test.c - which host keys known_hosts knows.
 *
 * The hashed lines, keys and fingerprints are what ssh-keygen makes.
 */
#include "../../src/provision/hostkey.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tap.h"

#define ED25519 \
	"AAAAC3NzaC1lZDI1NTE5AAAAILMJjocXCN/eaaDHH/7NVfa8K0FzFjCOvPqdoOvTEc/a"
#define OTHER \
	"AAAAC3NzaC1lZDI1NTE5AAAAIG1LVRGQ429acvuOHj4vTdIQmYDkxi5xTyOCiLeU+hAb"
#define ECDSA \
	"AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBJeqaTc6bvx4cAuu" \
	"tK1KjxMdHHIxMoA2kkGqmYN1DGPXCVlN0RuD277hKPBtAq1Qulfeli1JLJPegJBklsar" \
	"bb0="
#define RSA	"AAAAB3NzaC1yc2EAAAADAQABAAAAgQDnVAx5cJShWc2rfQkNbEV09hvnxKLY"

#define HASHED \
	"|1|XKwy98WJWQzHyfB70b2Eq8mDH74=|TYP5Ua/fP+jSRb+VOeBzi8pyfUE="
#define HASHED_2222 \
	"|1|cZGR1vZX51OilVQolSncchjdr7Q=|oAvZJ0fXyS7uCUwe8c8+2GBMORY="

#define HOST	"n2.example.org"

static unsigned char ed25519[256], other[256], ecdsa[256];
static size_t ed25519_len, other_len, ecdsa_len;

static size_t
decode(const char *text, unsigned char *out, size_t size)
{
	int len = hostkey_decode_base64(text, strlen(text), out, size);

	return len < 0 ? 0 : (size_t)len;
}

static enum hostkey_line
parse(const char *line, const char *host, int port)
{
	static struct hostkey_entry entry;

	return hostkey_parse_line(line, host, port, &entry);
}

static void
test_lines(void)
{
	static const struct {
		const char *line, *host;
		int port;
		enum hostkey_line want;
		const char *name;
	} rows[] = {
		{ HOST " ssh-ed25519 " ED25519 "\n", HOST, 22,
		    HOSTKEY_LINE_MATCH, "plain name" },
		{ "  \t" HOST "\tssh-ed25519\t" ED25519 " a comment\r\n",
		    HOST, 22, HOSTKEY_LINE_MATCH, "blanks and comment" },
		{ "N2.Example.ORG ssh-ed25519 " ED25519, "n2.EXAMPLE.org", 22,
		    HOSTKEY_LINE_MATCH, "upper and lower case" },
		{ "a,b," HOST ",c ssh-ed25519 " ED25519, HOST, 22,
		    HOSTKEY_LINE_MATCH, "one of several" },
		{ "*.example.org ssh-ed25519 " ED25519, HOST, 22,
		    HOSTKEY_LINE_MATCH, "star" },
		{ "n?.example.org ssh-ed25519 " ED25519, HOST, 22,
		    HOSTKEY_LINE_MATCH, "question mark" },
		{ "*.example.org,!n2.* ssh-ed25519 " ED25519, HOST, 22,
		    HOSTKEY_LINE_OTHER, "negated after" },
		{ "!n2.*,*.example.org ssh-ed25519 " ED25519, HOST, 22,
		    HOSTKEY_LINE_OTHER, "negated before" },
		{ "*a*b*c* ssh-ed25519 " ED25519, "xxaxxabxxbxxcx", 22,
		    HOSTKEY_LINE_MATCH, "stars need to go back" },
		{ "*.org.example ssh-ed25519 " ED25519, HOST, 22,
		    HOSTKEY_LINE_OTHER, "star that does not fit" },
		{ HOST " ssh-ed25519 " ED25519, HOST, 2222,
		    HOSTKEY_LINE_OTHER, "another port needs brackets" },
		{ "[" HOST "]:2222 ssh-ed25519 " ED25519, HOST, 2222,
		    HOSTKEY_LINE_MATCH, "port in brackets" },
		{ "[" HOST "]:2222 ssh-ed25519 " ED25519, HOST, 22,
		    HOSTKEY_LINE_OTHER, "brackets are not port 22" },
		{ HASHED " ssh-ed25519 " ED25519, HOST, 22,
		    HOSTKEY_LINE_MATCH, "hashed" },
		{ HASHED " ssh-ed25519 " ED25519, "n3.example.org", 22,
		    HOSTKEY_LINE_OTHER, "hashed, another host" },
		{ HASHED_2222 " ssh-ed25519 " ED25519, HOST, 2222,
		    HOSTKEY_LINE_MATCH, "hashed with port" },
		{ HASHED_2222 " ssh-ed25519 " ED25519, HOST, 22,
		    HOSTKEY_LINE_OTHER, "hashed with another port" },
		{ "|1|XKwy98WJWQzH ssh-ed25519 " ED25519, HOST, 22,
		    HOSTKEY_LINE_MALFORMED, "hash cut off" },
		{ "|2|XKwy|TYP5 ssh-ed25519 " ED25519, HOST, 22,
		    HOSTKEY_LINE_MALFORMED, "hash of another kind" },
		{ "@revoked " HOST " ssh-ed25519 " ED25519, HOST, 22,
		    HOSTKEY_LINE_MATCH, "revoked" },
		{ "@cert-authority *.example.org ssh-ed25519 " ED25519, HOST,
		    22, HOSTKEY_LINE_OTHER, "certificate authority skipped" },
		{ "@other " HOST " ssh-ed25519 " ED25519, HOST, 22,
		    HOSTKEY_LINE_MALFORMED, "unknown marker" },
		{ "# " HOST " ssh-ed25519 " ED25519, HOST, 22,
		    HOSTKEY_LINE_OTHER, "comment" },
		{ "\n", HOST, 22, HOSTKEY_LINE_OTHER, "empty line" },
		{ HOST " ssh-ed25519", HOST, 22, HOSTKEY_LINE_MALFORMED,
		    "no key" },
		{ HOST " ssh-ed25519 AAAA!", HOST, 22,
		    HOSTKEY_LINE_MALFORMED, "no base64" },
		{ HOST " ssh-rsa " ED25519, HOST, 22, HOSTKEY_LINE_MALFORMED,
		    "type and key differ" },
		{ HOST " 1024 35 1234567890", HOST, 22,
		    HOSTKEY_LINE_MALFORMED, "SSH 1" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		is_int(parse(rows[i].line, rows[i].host, rows[i].port),
		    rows[i].want, rows[i].name);
}

static void
fill(struct hostkey_list *list, const char *const *lines)
{
	hostkey_list_init(list, HOST, 22);
	for (unsigned i = 0; lines[i] != NULL; i++)
		hostkey_list_add(list, lines[i], "known_hosts", i + 1);
}

static void
test_judge(void)
{
	static struct hostkey_list list;
	const struct hostkey_entry *which;
	const char *const none[] = { "n3 ssh-ed25519 " ED25519, NULL };
	const char *const known[] = { HOST " ssh-ed25519 AAAA",
	    HOST " ssh-ed25519 " OTHER, HOST " ssh-ed25519 " ED25519, NULL };
	const char *const changed[] = { HOST " ecdsa-sha2-nistp256 " ECDSA,
	    HOST " ssh-ed25519 " OTHER, NULL };
	const char *const type[] = { HOST " ecdsa-sha2-nistp256 " ECDSA,
	    NULL };
	const char *const revoked[] = { HOST " ssh-ed25519 " ED25519,
	    "@revoked * ssh-ed25519 " ED25519, NULL };
	const char *const revoked_other[] = {
	    "@revoked * ssh-ed25519 " OTHER, NULL };

	fill(&list, none);
	is_int(hostkey_judge(&list, ed25519, ed25519_len, &which),
	    HOSTKEY_UNKNOWN, "no line: unknown");
	ok(which == NULL, "and no line decided");
	fill(&list, known);
	is_int(hostkey_judge(&list, ed25519, ed25519_len, &which),
	    HOSTKEY_KNOWN, "known beside a malformed and another line");
	is_int(which == NULL ? 0 : which->line, 3, "by line 3");
	fill(&list, changed);
	is_int(hostkey_judge(&list, ed25519, ed25519_len, &which),
	    HOSTKEY_CHANGED, "another key of this type: changed");
	is_int(which == NULL ? 0 : which->line, 2, "by line 2");
	fill(&list, type);
	is_int(hostkey_judge(&list, ed25519, ed25519_len, &which),
	    HOSTKEY_OTHER_TYPE, "only a key of another type");
	fill(&list, revoked);
	is_int(hostkey_judge(&list, ed25519, ed25519_len, &which),
	    HOSTKEY_REVOKED, "revoked beats known");
	fill(&list, revoked_other);
	is_int(hostkey_judge(&list, ed25519, ed25519_len, &which),
	    HOSTKEY_UNKNOWN, "a revoked line makes nothing known or changed");
}

static void
test_algorithms(void)
{
	static struct hostkey_list list;
	const char *const none[] = { NULL };
	const char *const only_ecdsa[] = {
	    HOST " ecdsa-sha2-nistp256 " ECDSA, NULL };
	const char *const only_rsa[] = { HOST " ssh-rsa " RSA, NULL };
	const char *without[] = { "ssh-ed25519", "ecdsa-sha2-nistp256",
	    "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521" };
	char text[HOSTKEY_ALGORITHMS_MAX];

	fill(&list, none);
	is_int(hostkey_algorithms(&list, NULL, 0, text), 0, "algorithms");
	is_text(text, "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,"
	    "ecdsa-sha2-nistp521", "Ed25519 first, no RSA");
	ok(!hostkey_only_rsa(&list), "unknown is not \"only RSA\"");
	fill(&list, only_ecdsa);
	hostkey_algorithms(&list, NULL, 0, text);
	is_text(text, "ecdsa-sha2-nistp256,ssh-ed25519,ecdsa-sha2-nistp384,"
	    "ecdsa-sha2-nistp521", "what known_hosts holds is asked for first");
	hostkey_algorithms(&list, without, 1, text);
	is_text(text, "ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,"
	    "ecdsa-sha2-nistp521", "one left out");
	is_int(hostkey_algorithms(&list, without, 4, text), -1, "none left");
	fill(&list, only_rsa);
	is_int((int)list.count, 1, "an RSA line is read");
	ok(hostkey_only_rsa(&list), "and is all there is");
}

static void
test_fingerprint(void)
{
	char text[HOSTKEY_FINGERPRINT_MAX], type[HOSTKEY_TYPE_MAX];
	char line[1024];
	const char *want =
	    "SHA256:wwi6nDgO4z734X2E2rsUSCFGk1/7XLsD/gMGL82hz9E";

	hostkey_fingerprint(ed25519, ed25519_len, text);
	is_text(text, want, "fingerprint as ssh-keygen -l prints it");
	ok(hostkey_fingerprint_equal(text, want + 7), "without SHA256:");
	ok(hostkey_fingerprint_equal("sha256:wwi6nDgO4z734X2E2rsUSCFGk1/"
	    "7XLsD/gMGL82hz9E=", text), "lower case and padded");
	ok(!hostkey_fingerprint_equal(text,
	    "SHA256:wwi6nDgO4z734X2E2rsUSCFGk1/7XLsD/gMGL82hz9F"),
	    "one digit off");
	ok(!hostkey_fingerprint_equal("", ""), "empty is equal to nothing");
	ok(!hostkey_fingerprint_equal("SHA256:", "SHA256:"), "nor is a prefix");
	ok(!hostkey_fingerprint_equal("MD5:16:27:ac:a5:76:28:2d:36:63:1b",
	    "MD5:16:27:ac:a5:76:28:2d:36:63:1b"), "nor MD5");
	hostkey_type(ecdsa, ecdsa_len, type);
	is_text(type, "ecdsa-sha2-nistp256", "type of a key");
	hostkey_type(ecdsa, 3, type);
	is_text(type, "", "no type in three bytes");
	hostkey_type((const unsigned char *)"\xff\xff\xff\xff" "abc", 7, type);
	is_text(type, "", "a length beyond the key");
	is_int(hostkey_format_line("N2", 2222, other, other_len, line,
	    sizeof(line)), 0, "a line");
	is_text(line, "[n2]:2222 ssh-ed25519 " OTHER, "with port");
	is_int(parse(line, "n2", 2222), HOSTKEY_LINE_MATCH, "reads back");
	is_int(hostkey_format_line("n2", 22, other, other_len, line, 20), -1,
	    "too long for its place");
}

static void
test_files(void)
{
	static struct hostkey_list list;
	char path[] = "/tmp/hostkeyXXXXXX", errmsg[ERRMSG_MAX] = "";
	const struct hostkey_entry *which;
	int fd = mkstemp(path);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "w");

	if (!ok(file != NULL, "scratch file"))
		return;
	fprintf(file, "# comment\nn1 ssh-ed25519 %s\n", OTHER);
	/* A line longer than any buffer, whose tail looks like a line. */
	fprintf(file, "n1 ssh-rsa ");
	for (int i = 0; i < 2 * HOSTKEY_LINE_MAX; i++)
		fputc('A', file);
	fprintf(file, " %s ssh-ed25519 %s\n", HOST, OTHER);
	fprintf(file, "%s ssh-ed25519 %s", HOST, ED25519);
	fclose(file);
	hostkey_list_init(&list, HOST, 22);
	is_int(hostkey_list_read(&list, "/nonexistent/known_hosts", errmsg),
	    0, "a missing file adds nothing");
	is_int(hostkey_list_read(&list, path, errmsg), 0, "file read");
	is_int((int)list.count, 1, "one line names the host");
	is_int(hostkey_judge(&list, ed25519, ed25519_len, &which),
	    HOSTKEY_KNOWN, "the last line, without a newline, counts");
	is_int(which == NULL ? 0 : which->line, 4, "line number");

	file = fopen(path, "w");
	for (int i = 0; file != NULL && i <= HOSTKEY_ENTRIES_MAX; i++)
		fprintf(file, "* ssh-ed25519 %s\n", OTHER);
	if (file != NULL)
		fclose(file);
	hostkey_list_init(&list, HOST, 22);
	is_int(hostkey_list_read(&list, path, errmsg), -1,
	    "more lines than fit are an error");
	ok(strstr(errmsg, "more than 64 lines") != NULL, "%s", errmsg);
	unlink(path);
	is_int(hostkey_list_read(&list, "/tmp", errmsg), -1,
	    "a directory is an error");
}

int
main(void)
{
	ed25519_len = decode(ED25519, ed25519, sizeof(ed25519));
	other_len = decode(OTHER, other, sizeof(other));
	ecdsa_len = decode(ECDSA, ecdsa, sizeof(ecdsa));
	is_int((int)ed25519_len, 51, "base64 decoded");
	is_int(hostkey_decode_base64("A", 1, other, 1), -1, "a lone digit");
	is_int(hostkey_decode_base64("AAAA", 4, ecdsa, 2), -1, "no room");
	other_len = decode(OTHER, other, sizeof(other));
	ecdsa_len = decode(ECDSA, ecdsa, sizeof(ecdsa));
	test_lines();
	test_judge();
	test_algorithms();
	test_fingerprint();
	test_files();
	return done_testing();
}
