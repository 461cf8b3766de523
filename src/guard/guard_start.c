/*
 * guard_start.c - what the guard sets up before the postmaster runs.
 *
 * Owns socket, lock, page, timers and the fork.  Everything that allocates or
 * touches a file of the cluster happens here; once the postmaster is forked
 * the guard does neither.
 */
#include "guardrun.h"

#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "procfs.h"

#define OOM_FILE	"/proc/self/oom_score_adj"
#define OOM_SCORE	(-900)
#define REALTIME_PRIORITY 10
#define STACK_BYTES	65536	/* more than the loop ever uses */

static int
fail(char *errmsg, const char *what, const char *name)
{
	int saved = errno;

	snprintf(errmsg, ERRMSG_MAX, "could not %s \"%.400s\": %s", what, name,
	    strerror(saved));
	return -1;
}

/*
 * The lock decides who may have the socket: with it, a socket file that is
 * there was left behind by a guard that was killed.
 */
static int
take_lock(struct guard *guard, const char *socket_path, char *errmsg)
{
	char path[GUARD_PATH_MAX];

	snprintf(path, sizeof(path), "%s.lock", socket_path);
	guard->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (guard->lock_fd == -1)
		return fail(errmsg, "open lock file", path);
	if (flock(guard->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno != EWOULDBLOCK)
		return fail(errmsg, "lock file", path);
	snprintf(errmsg, ERRMSG_MAX, "another guard is running on socket "
	    "\"%s\"", socket_path);
	return -1;
}

static int
open_socket(struct guard *guard, char *errmsg)
{
	const char *path = guard->arguments->socket_path;
	struct sockaddr_un address;
	struct stat st;
	mode_t mask;
	int r;

	if (take_lock(guard, path, errmsg) == -1)
		return -1;
	memset(&address, 0, sizeof(address));
	address.sun_family = AF_UNIX;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	guard->listen_fd = socket(AF_UNIX,
	    SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (guard->listen_fd == -1)
		return fail(errmsg, "create socket", path);
	if (unlink(path) == -1 && errno != ENOENT)
		return fail(errmsg, "remove old socket", path);
	mask = umask(0177);
	r = bind(guard->listen_fd, (const struct sockaddr *)&address,
	    sizeof(address));
	umask(mask);
	if (r == -1)
		return fail(errmsg, "bind socket", path);
	if (stat(path, &st) == -1)
		return fail(errmsg, "stat socket", path);
	guard->socket_inode = st.st_ino;
	if (listen(guard->listen_fd, 16) == -1)
		return fail(errmsg, "listen on socket", path);
	return 0;
}

void
guard_release(struct guard *guard)
{
	const char *path = guard->arguments->socket_path;
	char lock[GUARD_PATH_MAX], message[ERRMSG_MAX];
	struct stat st;

	if (guard->lock_fd == -1) {
		/* Given away before; only if nobody else has it now. */
		snprintf(lock, sizeof(lock), "%s.lock", path);
		if (take_lock(guard, path, message) == -1)
			goto out;
	}
	if (guard->socket_inode != 0 && stat(path, &st) == 0 &&
	    st.st_ino == guard->socket_inode)
		unlink(path);
out:
	if (guard->lock_fd != -1)
		close(guard->lock_fd);
	if (guard->listen_fd != -1)
		close(guard->listen_fd);
	guard->lock_fd = guard->listen_fd = -1;
	guard->socket_inode = 0;
}

/* A pipe would block PostgreSQL once its reader has died. */
static int
open_log(struct guard *guard, char *errmsg)
{
	const char *path = guard->arguments->log_file;
	struct stat st;

	guard->log_fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC |
	    O_NOCTTY | O_NONBLOCK, 0640);
	if (guard->log_fd == -1 && errno != ENXIO)
		return fail(errmsg, "open log file", path);
	if (guard->log_fd == -1 || fstat(guard->log_fd, &st) == -1 ||
	    !S_ISREG(st.st_mode)) {
		snprintf(errmsg, ERRMSG_MAX, "log file \"%.400s\" is not a "
		    "regular file", path);
		return -1;
	}
	/* It becomes PostgreSQL's stderr, which expects to block. */
	if (fcntl(guard->log_fd, F_SETFL, O_APPEND) == -1)
		return fail(errmsg, "open log file", path);
	return 0;
}

static int
make_page(struct guard *guard, char *errmsg)
{
	struct guard_page *page;
	char *real;

	guard->page_fd = memfd_create("failover-guard",
	    MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (guard->page_fd == -1 ||
	    ftruncate(guard->page_fd, sizeof(*page)) == -1)
		return fail(errmsg, "create page", "memfd");
	/* Nobody who holds it can make it shorter under our feet. */
	if (fcntl(guard->page_fd, F_ADD_SEALS,
	    F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == -1)
		return fail(errmsg, "seal page", "memfd");
	page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED,
	    guard->page_fd, 0);
	if (page == MAP_FAILED)
		return fail(errmsg, "map page", "memfd");
	page->version = GUARD_VERSION;
	page->guard_pid = getpid();
	real = realpath(guard->arguments->data_dir, NULL);
	if (real == NULL)
		return fail(errmsg, "find data directory",
		    guard->arguments->data_dir);
	if (strlen(real) >= sizeof(page->data_dir)) {
		free(real);
		errno = ENAMETOOLONG;
		return fail(errmsg, "use data directory",
		    guard->arguments->data_dir);
	}
	memcpy(page->data_dir, real, strlen(real) + 1);
	free(real);
	guard->page = page;
	guard->agent = guard->arguments->agent;
	guard_page_write_agent(page, &guard->agent);
	return 0;
}

/* The directory is watched, so a file that is put back is seen to have gone. */
static int
watch_standby_signal(struct guard *guard, char *errmsg)
{
	const char *dir = guard->page->data_dir;
	char path[GUARD_PATH_MAX + 32];

	if (!guard->arguments->watch_standby_signal)
		return 0;
	guard->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (guard->inotify_fd == -1)
		return fail(errmsg, "watch directory", dir);
	if (inotify_add_watch(guard->inotify_fd, dir, IN_DELETE |
	    IN_MOVED_FROM | IN_DELETE_SELF | IN_ONLYDIR) == -1)
		return fail(errmsg, "watch directory", dir);
	snprintf(path, sizeof(path), "%s/standby.signal", dir);
	if (access(path, F_OK) == -1)
		return fail(errmsg, "find", path);
	guard->half.features |= GUARD_HAS_WATCH;
	return 0;
}

static int
open_waits(struct guard *guard, char *errmsg)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	guard->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (guard->signal_fd == -1)
		return fail(errmsg, "create", "signalfd");
	guard->timer_fd = timerfd_create(CLOCK_BOOTTIME,
	    TFD_CLOEXEC | TFD_NONBLOCK);
	if (guard->timer_fd == -1)
		return fail(errmsg, "create", "timerfd");
	guard->children_fd = procfs_children_open(getpid());
	return 0;
}

/* Reads or writes the OOM score of this process; false if it cannot be. */
static bool
oom_score(int *score, bool set)
{
	char text[16];
	ssize_t n;
	int fd;

	fd = open(OOM_FILE, (set ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
	if (fd == -1)
		return false;
	if (set) {
		snprintf(text, sizeof(text), "%d", *score);
		n = write(fd, text, strlen(text));
	} else {
		n = read(fd, text, sizeof(text) - 1);
		if (n > 0) {
			text[n] = '\0';
			*score = (int)strtol(text, NULL, 10);
		}
	}
	close(fd);
	return n > 0;
}

/* Takes what this host gives; the page says what that was. */
static void
harden(struct guard *guard)
{
	volatile char stack[STACK_BYTES];
	struct sched_param param = { .sched_priority = REALTIME_PRIORITY };
	int score = OOM_SCORE;
	size_t i;

	for (i = 0; i < sizeof(stack); i += 1024)
		stack[i] = 0;
	if (mlockall(MCL_CURRENT | MCL_FUTURE) == 0 ||
	    mlockall(MCL_CURRENT) == 0)
		guard->half.features |= GUARD_HAS_MEMLOCK;
	if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK,
	    &param) == 0)
		guard->half.features |= GUARD_HAS_REALTIME;
	if (oom_score(&score, true) ||
	    (oom_score(&score, false) && score < 0))
		guard->half.features |= GUARD_HAS_OOM_SCORE;
	cgroup_make(&guard->cgroup);
	if (guard->cgroup.path[0] != '\0') {
		guard->half.features |= GUARD_HAS_CGROUP;
		memcpy(guard->page->cgroup, guard->cgroup.path,
		    sizeof(guard->page->cgroup));
	}
}

int
guard_prepare(struct guard *guard, const struct guard_arguments *args,
    char *errmsg)
{
	int i;

	memset(guard, 0, sizeof(*guard));
	guard->arguments = args;
	guard->exec_fd = guard->ready_fd = guard->lock_fd = -1;
	guard->listen_fd = guard->page_fd = guard->log_fd = -1;
	guard->signal_fd = guard->timer_fd = guard->inotify_fd = -1;
	guard->children_fd = -1;
	guard->cgroup.procs_fd = guard->cgroup.kill_fd = -1;
	guard->cgroup.events_fd = -1;
	for (i = 0; i < GUARD_AGENTS_MAX; i++)
		guard->peers[i].fd = -1;
	guard->half.state = GUARD_STARTING;
	guard->half.exit_status = -1;

	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == -1)
		return fail(errmsg, "become", "child subreaper");
	if (open_socket(guard, errmsg) == -1)
		return -1;
	if (open_log(guard, errmsg) == -1)
		return -1;
	if (make_page(guard, errmsg) == -1 ||
	    watch_standby_signal(guard, errmsg) == -1 ||
	    open_waits(guard, errmsg) == -1)
		return -1;
	return 0;
}

/*
 * Back to what any server process has.  PG_OOM_ADJUST_FILE in the environment
 * means that the postmaster is to keep the score that was given to us and
 * brings its children back itself.
 */
static void
soften(int inherited_score)
{
	struct sched_param param = { .sched_priority = 0 };
	sigset_t none;
	int sig, score;

	for (sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	sched_setscheduler(0, SCHED_OTHER, &param);
	score = getenv("PG_OOM_ADJUST_FILE") != NULL ? inherited_score : 0;
	oom_score(&score, true);
}

/* Never returns; the errno of what went wrong goes to the pipe. */
static void
become_postmaster(const struct guard *guard, pid_t parent, int report_fd,
    int inherited_score)
{
	char **argv = guard->arguments->postgres_argv;
	int null_fd, error;
	ssize_t n;

	setsid();
	soften(inherited_score);
	cgroup_join(&guard->cgroup);
	null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null_fd == -1 || dup2(null_fd, STDIN_FILENO) == -1 ||
	    dup2(guard->log_fd, STDOUT_FILENO) == -1 ||
	    dup2(guard->log_fd, STDERR_FILENO) == -1)
		goto failed;
	/*
	 * No guard, no PostgreSQL.  SIGQUIT and not SIGKILL: a killed
	 * postmaster leaves busy backends that go on committing.
	 */
	if (prctl(PR_SET_PDEATHSIG, SIGQUIT, 0, 0, 0) == -1)
		goto failed;
	errno = ECANCELED;
	if (getppid() == parent)
		execv(argv[0], argv);
failed:
	error = errno;
	n = write(report_fd, &error, sizeof(error));
	(void)n;
	_exit(127);
}

int
guard_fork_postmaster(struct guard *guard, char *errmsg)
{
	struct procfs_entry entry;
	pid_t parent = getpid();
	int report[2], score = 0;

	if (guard_kill_time_ns(&guard->agent) <= guard_now_ns()) {
		snprintf(errmsg, ERRMSG_MAX, "the lease of epoch %llu has "
		    "already ended", (unsigned long long)guard->agent.epoch);
		return -1;
	}
	oom_score(&score, false);
	harden(guard);
	if (pipe2(report, O_CLOEXEC | O_NONBLOCK) == -1)
		return fail(errmsg, "create", "pipe");
	guard->half.started_ns = guard_now_ns();
	guard->postmaster = fork();
	if (guard->postmaster == -1) {
		guard->postmaster = 0;
		return fail(errmsg, "fork for",
		    guard->arguments->postgres_argv[0]);
	}
	if (guard->postmaster == 0)
		become_postmaster(guard, parent, report[1], score);
	close(report[1]);
	guard->exec_fd = report[0];
	guard->half.postmaster_pid = guard->postmaster;
	if (procfs_read(guard->postmaster, &entry) == 0)
		guard->half.postmaster_start = entry.start;
	guard_page_write_guard(guard->page, &guard->half);
	return 0;
}
