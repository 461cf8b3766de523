/*
 * launch_test.c - finding programs and waiting for an agent's socket.
 *
 * Starting one is in regress/t/018_provision_worker.t.
 */
#include "launch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "limits.h"
#include "tap.h"

static char dir[] = "/tmp/launchXXXXXX";
static char errmsg[ERRMSG_MAX];

static void
test_find(void)
{
	char own[CONF_PATH_MAX], path[CONF_PATH_MAX], small[4];
	ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);

	own[n < 0 ? 0 : n] = '\0';
	is_int(launch_find_program("launch_test", path, sizeof(path), errmsg),
	    0, "a program beside the running one");
	is_text(path, own, "by its whole path");
	is_int(launch_find_program("launch_test", small, sizeof(small),
	    errmsg), -1, "no room for the path");
	is_text(small, "", "and no half path");
	is_int(launch_find_program("no-such-program", path, sizeof(path),
	    errmsg), -1, "a program that is nowhere");
	ok(strstr(errmsg, "\"no-such-program\"") != NULL &&
	    strstr(errmsg, "install") != NULL, "said with a hint: %s",
	    errmsg);
}

static void
test_wait(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct conf conf;

	conf_init(&conf);
	snprintf(conf.run_dir, sizeof(conf.run_dir), "%s", dir);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/control.sock", dir);
	is_int(launch_wait_socket(&conf, 100, errmsg), -1, "no socket");
	ok(strstr(errmsg, sun.sun_path) != NULL, "named: %s", errmsg);
	if (!ok(fd >= 0 && bind(fd, (struct sockaddr *)&sun,
	    sizeof(sun)) == 0, "a socket"))
		return;
	is_int(launch_wait_socket(&conf, 100, errmsg), -1,
	    "one that does not listen is none");
	is_int(listen(fd, 4), 0, "listening");
	is_int(launch_wait_socket(&conf, 100, errmsg), 0, "found");
	close(fd);
	is_int(launch_wait_socket(&conf, 100, errmsg), -1,
	    "left over after its agent");
	unlink(sun.sun_path);
	memset(conf.run_dir, 'x', 200);
	is_int(launch_wait_socket(&conf, 100, errmsg), -1,
	    "a path that no socket can have");
}

static void
test_no_log(void)
{
	struct conf conf;

	conf_init(&conf);
	snprintf(conf.state_dir, sizeof(conf.state_dir), "%s/none", dir);
	snprintf(conf.run_dir, sizeof(conf.run_dir), "%s", dir);
	snprintf(conf.file, sizeof(conf.file), "%s/failoverd.conf", dir);
	is_int(launch_agent(&conf, 100, errmsg), -1, "no state directory");
	ok(strstr(errmsg, "could not") != NULL, "said: %s", errmsg);
}

int
main(void)
{
	if (!ok(mkdtemp(dir) != NULL, "scratch directory"))
		return done_testing();
	test_find();
	test_wait();
	test_no_log();
	rmdir(dir);
	return done_testing();
}
