/*
 * failoverd.c - the agent's main: options, configuration, lock, signals.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "agent.h"
#include "conf.h"
#include "control.h"
#include "control_server.h"
#include "execute.h"
#include "log.h"
#include "rules.h"

#define STOP_DEADLINE_MS 60000

static struct agent agent;
static uv_signal_t on_term, on_int, on_hup;
static uv_timer_t stop_timer;
static int lock_fd = -1;

static void
usage(FILE *out)
{
	fprintf(out, "usage: failoverd [-c FILE] [-t | -T] [-d]\n"
	    "       failoverd -D rules\n"
	    "  -c FILE  read FILE instead of " FAILOVERD_CONF_PATH "\n"
	    "  -D rules print the rules and settings this program has and "
	    "exit\n"
	    "  -t       check the configuration and exit\n"
	    "  -T       print every key with its value and exit\n"
	    "  -d       log debug messages\n"
	    "  -V       print the version and exit\n");
}

/* A plain datagram to the service manager; nothing without one. */
static void
notify_ready(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = path != NULL ? strlen(path) : 0;
	int fd;

	if (len == 0 || len >= sizeof(address.sun_path))
		return;
	memcpy(address.sun_path, path, len);
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (sendto(fd, "READY=1", 7, MSG_NOSIGNAL,
	    (struct sockaddr *)&address, (socklen_t)(offsetof(
	    struct sockaddr_un, sun_path) + len)) < 0)
		log_warning("start", "could not notify the service manager: "
		    "%s", strerror(errno));
	close(fd);
}

static int
check_directory(const char *path, const char *what, mode_t forbidden)
{
	struct stat st;

	if (mkdir(path, 0700) != 0 && errno != EEXIST) {
		fprintf(stderr, "failoverd: could not create %s \"%s\": %s\n",
		    what, path, strerror(errno));
		return -1;
	}
	if (stat(path, &st) != 0) {
		fprintf(stderr, "failoverd: could not look at %s \"%s\": "
		    "%s\n", what, path, strerror(errno));
		return -1;
	}
	if (st.st_uid != geteuid() || (st.st_mode & forbidden) != 0) {
		fprintf(stderr, "failoverd: %s \"%s\" must belong to this "
		    "user, without permission %04o for others; its mode is "
		    "%04o: run chmod %s \"%s\"\n", what, path,
		    forbidden, st.st_mode & 07777,
		    forbidden == 0077 ? "700" : "go-w", path);
		return -1;
	}
	return 0;
}

/* A secret that others can read is no secret. */
static int
check_modes(const struct conf *conf)
{
	static const char *const below[] = { "secrets", "tls",
		"tls/node.key", "secrets/ca.key", "secrets/ssh_key",
		"secrets/replication_password" };
	char path[CONF_PATH_MAX + 64];
	struct stat st;
	size_t i;

	for (i = 0; i < sizeof(below) / sizeof(below[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", conf->state_dir,
		    below[i]);
		if (stat(path, &st) != 0 || (st.st_mode & 0077) == 0)
			continue;
		fprintf(stderr, "failoverd: \"%s\" has mode %04o, others "
		    "could read it: run chmod go= \"%s\"\n", path,
		    st.st_mode & 07777, path);
		return -1;
	}
	return 0;
}

static int
take_lock(const struct conf *conf)
{
	char path[CONF_PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/lock", conf->state_dir);
	lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (lock_fd < 0) {
		fprintf(stderr, "failoverd: could not open \"%s\": %s\n",
		    path, strerror(errno));
		return -1;
	}
	if (flock(lock_fd, LOCK_EX | LOCK_NB) != 0) {
		fprintf(stderr, "failoverd: another failoverd uses state "
		    "directory \"%s\"\n", conf->state_dir);
		return -1;
	}
	return 0;
}

/* The guard and the worker stand beside this program, or are installed. */
static void
find_program(const char *name, char *path, size_t size)
{
	char self[CONF_PATH_MAX - 64];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (len > 0) {
		self[len] = '\0';
		slash = strrchr(self, '/');
		if (slash != NULL) {
			*slash = '\0';
			snprintf(path, size, "%s/%s", self, name);
			if (access(path, X_OK) == 0)
				return;
		}
	}
	snprintf(path, size, FAILOVERD_PKGLIBDIR "/%s", name);
}

/* ---- leaving ---- */

static void
look_at_stop(uv_timer_t *timer)
{
	static monotime_t begun;

	(void)timer;
	agent.now = monotime_now();
	if (monotime_is_never(begun))
		begun = agent.now;
	if (execute_shut_down(agent.execute) && !agent.say_at_once) {
		/* The release and the last report must be on their way. */
		if (agent.holder.epoch == 0 || !agent.node.armed)
			agent_stop(&agent, 0);
		return;
	}
	agent.say_at_once = false;
	if (monotime_diff_ms(agent.now, begun) > STOP_DEADLINE_MS) {
		log_error("stop", "PostgreSQL did not stop in time");
		guarded_kill(&agent, "this node is leaving");
		agent_stop(&agent, 1);
	}
}

static void
on_signal(uv_signal_t *handle, int signum)
{
	(void)handle;
	if (signum == SIGHUP) {
		log_info("conf", "failoverd.conf is read at the next start");
		return;
	}
	log_info("stop", "asked to leave (%s): stopping PostgreSQL",
	    strsignal(signum));
	agent_hand_over(&agent);
	if (!uv_is_active((uv_handle_t *)&stop_timer))
		uv_timer_start(&stop_timer, look_at_stop, 0, 20);
}

static int
dump(const char *topic)
{
	char errmsg[ERRMSG_MAX];

	if (rules_print(topic, stdout, errmsg) != 0) {
		fprintf(stderr, "failoverd: %s\n", errmsg);
		return EXIT_USAGE_ERROR;
	}
	if (fflush(stdout) != 0) {
		fprintf(stderr, "failoverd: could not write: %s\n",
		    strerror(errno));
		return EXIT_FAILURE;
	}
	return 0;
}

static int
run(const struct conf *conf)
{
	char errmsg[ERRMSG_MAX];
	uv_loop_t *loop = uv_default_loop();

	if (agent_start(&agent, conf, loop, errmsg) != 0) {
		fprintf(stderr, "failoverd: %s\n", errmsg);
		return EXIT_BAD_CONFIG;
	}
	uv_signal_init(loop, &on_term);
	uv_signal_init(loop, &on_int);
	uv_signal_init(loop, &on_hup);
	uv_timer_init(loop, &stop_timer);
	uv_signal_start(&on_term, on_signal, SIGTERM);
	uv_signal_start(&on_int, on_signal, SIGINT);
	uv_signal_start(&on_hup, on_signal, SIGHUP);
	log_info("start", "failoverd " FAILOVERD_VERSION ", node %s of "
	    "cluster %s", conf->node, conf->cluster);
	notify_ready();
	uv_run(loop, UV_RUN_DEFAULT);
	raftio_free(agent.raftio);
	control_stop(agent.control);
	log_info("stop", "left");
	return agent.exit_status;
}

int
main(int argc, char **argv)
{
	char errmsg[ERRMSG_MAX];
	const char *file = NULL;
	bool check = false, print = false, debug = false;
	enum log_level level;
	struct conf conf;
	int option;

	while ((option = getopt(argc, argv, "c:D:tTdVh")) != -1) {
		switch (option) {
		case 'c':
			file = optarg;
			break;
		case 'D':
			return dump(optarg);
		case 't':
			check = true;
			break;
		case 'T':
			print = true;
			break;
		case 'd':
			debug = true;
			break;
		case 'V':
			printf("failoverd " FAILOVERD_VERSION "\n");
			return 0;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return EXIT_USAGE_ERROR;
		}
	}
	umask(0077);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);	/* a limit is an error, no death */
	if (conf_read(&conf, conf_default_path(file), errmsg) != 0 ||
	    conf_check(&conf, errmsg) != 0) {
		fprintf(stderr, "failoverd: %s\n", errmsg);
		return EXIT_BAD_CONFIG;
	}
	if (print) {
		conf_print(&conf, stdout);
		return 0;
	}
	if (check) {
		printf("%s: no errors\n", conf.file);
		return 0;
	}
	if (geteuid() == 0) {
		fprintf(stderr, "failoverd: must not run as root, because "
		    "PostgreSQL does not; run it as the user that owns the "
		    "data directory\n");
		return EXIT_BAD_CONFIG;
	}
	if (log_level_parse(conf.log_level, &level) != 0)
		level = LOG_LEVEL_INFO;
	log_init(conf.node, debug ? LOG_LEVEL_DEBUG : level);
	if (check_directory(conf.state_dir, "state_dir", 0077) != 0 ||
	    check_directory(conf.run_dir, "run_dir", 0022) != 0 ||
	    check_modes(&conf) != 0 || take_lock(&conf) != 0)
		return EXIT_BAD_CONFIG;
	find_program("failover-guard", agent.guard_program,
	    sizeof(agent.guard_program));
	find_program("failover-provision", agent.provision_program,
	    sizeof(agent.provision_program));
	return run(&conf);
}
