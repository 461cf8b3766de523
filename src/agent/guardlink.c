/*
 * guardlink.c - the agent's side of the guard.
 *
 * Owns the connection to the guard and the kill that replaces it when it has
 * died.  Must never kill by number alone: every signal goes to a process
 * whose start time was read and is checked again.
 */
#include "guardlink.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cgroup.h"
#include "procfs.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

#define START_TIMEOUT_MS	5000
#define ATTACH_TIMEOUT_MS	1000
#define ROUND_PAUSE_MS		2
#define STOP_LOOKS_MAX		5
#define GUARD_ARGUMENTS_MAX	64	/* of ours and PostgreSQL's together */

extern char **environ;

struct guard_process {
	struct procfs_entry entry;
	bool member;			/* to be killed */
};

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits for fd to be readable; false when the time is up. */
static bool
wait_readable(int fd, int64_t until_ms)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	int64_t left;
	int r;

	for (;;) {
		left = until_ms - now_ms();
		r = poll(&pfd, 1, left > 0 ? (int)left : 0);
		if (r > 0)
			return true;
		if (r == 0 || errno != EINTR)
			return false;
	}
}

/* Starting. */

struct start_arguments {
	const char *argv[GUARD_ARGUMENTS_MAX];
	char deadline[24], margin[16], epoch[24];
};

static int
build_arguments(const struct guard_options *options,
    struct start_arguments *args, char *errmsg)
{
	const char *const *from;
	size_t n = 0;

	snprintf(args->deadline, sizeof(args->deadline), "%lld",
	    (long long)options->agent.deadline_ns);
	snprintf(args->margin, sizeof(args->margin), "%u",
	    options->agent.margin_ms);
	snprintf(args->epoch, sizeof(args->epoch), "%llu",
	    (unsigned long long)options->agent.epoch);
	args->argv[n++] = options->program;
	args->argv[n++] = "-s";
	args->argv[n++] = options->socket_path;
	args->argv[n++] = "-l";
	args->argv[n++] = options->log_file;
	args->argv[n++] = "-D";
	args->argv[n++] = options->data_dir;
	args->argv[n++] = "-d";
	args->argv[n++] = args->deadline;
	args->argv[n++] = "-m";
	args->argv[n++] = args->margin;
	args->argv[n++] = "-e";
	args->argv[n++] = args->epoch;
	if (options->agent.armed)
		args->argv[n++] = "-p";
	if (options->watch_standby_signal)
		args->argv[n++] = "-g";
	args->argv[n++] = "--";
	for (from = options->postgres_argv; *from != NULL; from++) {
		if (n == GUARD_ARGUMENTS_MAX - 1) {
			snprintf(errmsg, ERRMSG_MAX, "too many arguments for "
			    "\"%s\"", options->postgres_argv[0]);
			return -1;
		}
		args->argv[n++] = *from;
	}
	args->argv[n] = NULL;
	return 0;
}

/* posix_spawn() does not copy the caller's memory, as fork() would. */
static int
spawn(const struct start_arguments *args, int stderr_fd, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	char *argv[GUARD_ARGUMENTS_MAX];
	sigset_t none, all;
	int r;

	/* The prototype lacks a const that the function keeps. */
	memcpy(argv, args->argv, sizeof(argv));
	sigemptyset(&none);
	sigfillset(&all);
	if (posix_spawn_file_actions_init(&actions) != 0)
		return ENOMEM;
	if (posix_spawnattr_init(&attributes) != 0) {
		posix_spawn_file_actions_destroy(&actions);
		return ENOMEM;
	}
	r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO,
	    "/dev/null", O_RDWR, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO,
		    STDOUT_FILENO);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, stderr_fd,
		    STDERR_FILENO);
	if (r == 0)
		r = posix_spawnattr_setsigmask(&attributes, &none);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(&attributes, &all);
	if (r == 0)
		r = posix_spawnattr_setflags(&attributes,
		    POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (r == 0)
		r = posix_spawn(pid, args->argv[0], &actions, &attributes,
		    argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return r;
}

/* The guard's one error line, without program name and newline. */
static bool
read_error_line(int fd, int64_t until_ms, char *line, size_t size)
{
	static const char prefix[] = "failover-guard: ";
	size_t filled = 0;
	ssize_t n;

	line[0] = '\0';
	while (filled < size - 1) {
		if (!wait_readable(fd, until_ms))
			return false;
		n = read(fd, line + filled, size - 1 - filled);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		filled += (size_t)n;
	}
	line[filled] = '\0';
	line[strcspn(line, "\n")] = '\0';
	if (strncmp(line, prefix, sizeof(prefix) - 1) == 0)
		memmove(line, line + sizeof(prefix) - 1,
		    strlen(line) - sizeof(prefix) + 2);
	return true;
}

int
guard_start(const struct guard_options *options, char *errmsg)
{
	struct start_arguments args;
	char line[ERRMSG_MAX - 64];
	int pipe_fds[2], status = -1, r;
	bool answered;
	pid_t pid;

	if (build_arguments(options, &args, errmsg) == -1)
		return -1;
	if (pipe2(pipe_fds, O_CLOEXEC) == -1) {
		snprintf(errmsg, ERRMSG_MAX, "could not create pipe: %s",
		    strerror(errno));
		return -1;
	}
	r = spawn(&args, pipe_fds[1], &pid);
	close(pipe_fds[1]);
	if (r != 0) {
		close(pipe_fds[0]);
		snprintf(errmsg, ERRMSG_MAX, "could not execute program "
		    "\"%s\": %s", options->program, strerror(r));
		return -1;
	}
	/* End of file: the program has exited and the daemon let go of it. */
	answered = read_error_line(pipe_fds[0], now_ms() + START_TIMEOUT_MS,
	    line, sizeof(line));
	close(pipe_fds[0]);
	if (!answered)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
		continue;
	if (!answered) {
		snprintf(errmsg, ERRMSG_MAX, "the guard did not start within "
		    "%d s", START_TIMEOUT_MS / 1000);
		return -1;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	snprintf(errmsg, ERRMSG_MAX, "could not start the guard: %s",
	    line[0] != '\0' ? line : "it ended without a message");
	return -1;
}

/* Attaching. */

static int
fail(char *errmsg, const char *what, const char *path)
{
	int saved = errno;

	snprintf(errmsg, ERRMSG_MAX, "could not %s \"%.400s\": %s", what, path,
	    strerror(saved));
	errno = saved;
	return -1;
}

static int
connect_guard(const char *path, struct guard_link *link, char *errmsg)
{
	struct guard_message request;
	struct sockaddr_un address;
	struct ucred credentials;
	socklen_t len = sizeof(credentials);

	memset(&address, 0, sizeof(address));
	address.sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return fail(errmsg, "connect to guard on socket", path);
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	link->fd = socket(AF_UNIX,
	    SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (link->fd == -1)
		return fail(errmsg, "create socket for", path);
	if (connect(link->fd, (const struct sockaddr *)&address,
	    sizeof(address)) == -1)
		return fail(errmsg, "connect to guard on socket", path);
	if (getsockopt(link->fd, SOL_SOCKET, SO_PEERCRED, &credentials,
	    &len) == -1)
		return fail(errmsg, "identify guard on socket", path);
	link->guard_pid = credentials.pid;
	memset(&request, 0, sizeof(request));
	request.version = GUARD_VERSION;
	request.type = GUARD_ATTACH;
	if (send(link->fd, &request, sizeof(request), MSG_NOSIGNAL) == -1)
		return fail(errmsg, "attach to guard on socket", path);
	return 0;
}

/* The answer and the page's descriptor; -1 with errmsg. */
static int
receive_page(const char *path, struct guard_link *link, int *page_fd,
    char *errmsg)
{
	struct guard_message answer;
	struct iovec iov = { &answer, sizeof(answer) };
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr msg;
	struct cmsghdr *cmsg;
	ssize_t n;

	memset(&msg, 0, sizeof(msg));
	memset(&answer, 0, sizeof(answer));
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	msg.msg_control = &control;
	msg.msg_controllen = sizeof(control.space);
	if (!wait_readable(link->fd, now_ms() + ATTACH_TIMEOUT_MS)) {
		snprintf(errmsg, ERRMSG_MAX, "the guard (process %d) did not "
		    "answer within %d ms", link->guard_pid, ATTACH_TIMEOUT_MS);
		errno = ETIMEDOUT;
		return -1;
	}
	n = recvmsg(link->fd, &msg, MSG_CMSG_CLOEXEC);
	if (n == -1)
		return fail(errmsg, "receive from guard on socket", path);
	cmsg = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
	if (cmsg != NULL && cmsg->cmsg_level == SOL_SOCKET &&
	    cmsg->cmsg_type == SCM_RIGHTS &&
	    cmsg->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(page_fd, CMSG_DATA(cmsg), sizeof(int));
	if (n >= (ssize_t)offsetof(struct guard_message, status) &&
	    answer.version != GUARD_VERSION) {
		snprintf(errmsg, ERRMSG_MAX, "the guard (process %d) speaks "
		    "version %u, this program version %u", link->guard_pid,
		    answer.version, GUARD_VERSION);
		errno = EPROTO;
		return -1;
	}
	if (n != sizeof(answer) || answer.type != GUARD_STATUS ||
	    *page_fd == -1) {
		snprintf(errmsg, ERRMSG_MAX, "the guard (process %d) closed "
		    "the connection without an answer", link->guard_pid);
		errno = EPROTO;
		return -1;
	}
	link->status = answer.status;
	return 0;
}

static int
map_page(struct guard_link *link, int page_fd, char *errmsg)
{
	struct stat st;
	void *page;

	if (fstat(page_fd, &st) == -1 ||
	    st.st_size < (off_t)sizeof(struct guard_page) ||
	    (fcntl(page_fd, F_GET_SEALS) & F_SEAL_SHRINK) == 0) {
		snprintf(errmsg, ERRMSG_MAX, "the guard (process %d) sent "
		    "something that is not its page", link->guard_pid);
		errno = EPROTO;
		return -1;
	}
	page = mmap(NULL, sizeof(struct guard_page), PROT_READ | PROT_WRITE,
	    MAP_SHARED, page_fd, 0);
	if (page == MAP_FAILED)
		return fail(errmsg, "map page of", "guard");
	link->page = page;
	return 0;
}

/*
 * The process that owns the other end of a connection that is still open is
 * alive, so its pid was not given away before the descriptor was opened.
 */
static int
identify_guard(struct guard_link *link, char *errmsg)
{
	struct procfs_entry entry;
	struct pollfd pfd = { .fd = link->fd, .events = POLLIN };

	link->pidfd = (int)syscall(SYS_pidfd_open, link->guard_pid, 0);
	if (link->pidfd == -1 && errno != ESRCH && errno != ENOSYS &&
	    errno != EPERM)
		return fail(errmsg, "open descriptor of process of", "guard");
	if (procfs_read(link->guard_pid, &entry) == 0)
		link->guard_start = entry.start;
	if (link->guard_start != 0 && poll(&pfd, 1, 0) >= 0 &&
	    (pfd.revents & POLLHUP) == 0)
		return 0;
	if (link->status.state == GUARD_GONE) {
		if (link->pidfd != -1)
			close(link->pidfd);
		link->pidfd = -1;
		link->guard_start = 0;
		return 0;
	}
	snprintf(errmsg, ERRMSG_MAX, "the guard (process %d) ended while "
	    "attaching to it", link->guard_pid);
	errno = ESRCH;
	return -1;
}

int
guard_attach(const char *socket_path, struct guard_link *link, char *errmsg)
{
	int page_fd = -1, saved, r;

	memset(link, 0, sizeof(*link));
	link->fd = link->pidfd = -1;
	r = connect_guard(socket_path, link, errmsg);
	if (r == 0)
		r = receive_page(socket_path, link, &page_fd, errmsg);
	if (r == 0)
		r = map_page(link, page_fd, errmsg);
	if (r == 0)
		r = identify_guard(link, errmsg);
	saved = errno;
	if (page_fd != -1)
		close(page_fd);
	if (r == -1)
		guard_detach(link);
	errno = saved;
	return r;
}

int
guard_receive(struct guard_link *link, struct guard_message *message)
{
	int attempts;
	ssize_t n;

	for (attempts = 0; attempts < 3; attempts++) {
		n = recv(link->fd, message, sizeof(*message), MSG_DONTWAIT);
		if (n == -1 && errno == EAGAIN)
			return 0;
		/*
		 * Reset: the guard left with a request of ours unread.  Said
		 * once; what it had sent before can still be read.
		 */
		if (n == -1 && (errno == EINTR || errno == ECONNRESET))
			continue;
		if (n == sizeof(*message) &&
		    message->version == GUARD_VERSION)
			return 1;
		break;
	}
	memset(message, 0, sizeof(*message));
	return -1;
}

int
guard_send(struct guard_link *link, enum guard_message_type type, char *errmsg)
{
	struct guard_message request;

	memset(&request, 0, sizeof(request));
	request.version = GUARD_VERSION;
	request.type = type;
	if (send(link->fd, &request, sizeof(request),
	    MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof(request))
		return 0;
	snprintf(errmsg, ERRMSG_MAX, "could not send to the guard (process "
	    "%d): %s", link->guard_pid, strerror(errno));
	return -1;
}

bool
guard_ended(const struct guard_link *link)
{
	struct pollfd pfd = { .fd = link->pidfd, .events = POLLIN };
	struct procfs_entry entry;

	if (link->pidfd != -1)
		return poll(&pfd, 1, 0) > 0;
	return procfs_read(link->guard_pid, &entry) == -1 ||
	    entry.start != link->guard_start || entry.state == 'Z';
}

void
guard_detach(struct guard_link *link)
{
	if (link->fd != -1)
		close(link->fd);
	if (link->pidfd != -1)
		close(link->pidfd);
	if (link->page != NULL)
		munmap(link->page, sizeof(*link->page));
	free(link->processes);
	memset(link, 0, sizeof(*link));
	link->fd = link->pidfd = -1;
}

/* Killing without a guard. */

/* Every process of the host; the number, or -1 with errno. */
static ssize_t
read_processes(struct guard_link *link)
{
	struct procfs_walk walk;
	struct guard_process *more;
	size_t n = 0, room;
	pid_t pid;

	if (procfs_walk_open(&walk) == -1)
		return -1;
	while ((pid = procfs_walk_next(&walk)) > 0) {
		if (n == link->processes_size) {
			room = n == 0 ? 1024 : 2 * n;
			more = realloc(link->processes,
			    room * sizeof(*more));
			if (more == NULL) {
				pid = -1;
				break;
			}
			link->processes = more;
			link->processes_size = room;
		}
		link->processes[n].member = false;
		if (procfs_read(pid, &link->processes[n].entry) == 0)
			n++;
	}
	procfs_walk_close(&walk);
	return pid == 0 ? (ssize_t)n : -1;
}

/* An orphan of the postmaster: see guard_kill_step() in the header. */
static bool
is_orphan(const struct guard_page *page, const struct procfs_entry *entry,
    uint64_t postmaster_start)
{
	char target[GUARD_PATH_MAX], path[32];
	struct stat st;

	if (page->program[0] == '\0' || entry->start < postmaster_start)
		return false;
	snprintf(path, sizeof(path), "/proc/%d", (int)entry->pid);
	if (stat(path, &st) == -1 || st.st_uid != geteuid())
		return false;
	return procfs_link(entry->pid, "exe", target, sizeof(target)) == 0 &&
	    strcmp(target, page->program) == 0 &&
	    procfs_link(entry->pid, "cwd", target, sizeof(target)) == 0 &&
	    strcmp(target, page->data_dir) == 0;
}

static int
compare_pids(const void *a, const void *b)
{
	const struct guard_process *one = a, *other = b;

	return (one->entry.pid > other->entry.pid) -
	    (one->entry.pid < other->entry.pid);
}

/* Marks the children of members until nobody new is found. */
static void
mark_descendants(struct guard_process *processes, size_t n)
{
	struct guard_process key, *parent;
	bool found;
	size_t i;

	qsort(processes, n, sizeof(*processes), compare_pids);
	do {
		found = false;
		for (i = 0; i < n; i++) {
			if (processes[i].member)
				continue;
			key.entry.pid = processes[i].entry.ppid;
			parent = bsearch(&key, processes, n, sizeof(key),
			    compare_pids);
			if (parent != NULL && parent->member &&
			    processes[i].entry.start >= parent->entry.start)
				processes[i].member = found = true;
		}
	} while (found);
}

/* One look: who is there now?  Their number in all, or -1 with errno. */
static ssize_t
find_members(struct guard_link *link)
{
	struct guard_page_guard half = link->status;
	struct guard_process *process;
	ssize_t n, i;

	guard_page_read_guard(link->page, &half);
	n = read_processes(link);
	for (i = 0; i < n; i++) {
		process = &link->processes[i];
		process->member = (half.postmaster_pid > 1 &&
		    process->entry.pid == half.postmaster_pid &&
		    process->entry.start == half.postmaster_start) ||
		    is_orphan(link->page, &process->entry,
		    half.postmaster_start);
	}
	if (n > 0)
		mark_descendants(link->processes, (size_t)n);
	return n;
}

/* Signals every member that is not dead already; how many members. */
static int
signal_members(struct guard_link *link, ssize_t n, int sig, int *alive)
{
	struct guard_process *process;
	int members = 0;
	ssize_t i;

	*alive = 0;
	for (i = 0; i < n; i++) {
		process = &link->processes[i];
		if (!process->member || process->entry.pid == getpid())
			continue;
		members++;
		if (process->entry.state == 'Z')
			continue;
		(*alive)++;
		procfs_signal(&process->entry, sig);
	}
	return members;
}

/*
 * Everybody is stopped before anybody is killed: a child that was forked
 * after the look, say by an archive command, could not be recognised any more
 * once its parent is dead.
 */
int
guard_kill_step(struct guard_link *link, int *alive, char *errmsg)
{
	int members = -1, living = 0, before, looks;
	ssize_t n = 0;

	if (link->page->cgroup[0] != '\0')
		cgroup_kill_path(link->page->cgroup);
	for (looks = 0; looks < STOP_LOOKS_MAX; looks++) {
		before = members;
		n = find_members(link);
		if (n == -1) {
			snprintf(errmsg, ERRMSG_MAX, "could not read the list "
			    "of processes: %s", strerror(errno));
			return -1;
		}
		members = signal_members(link, n, SIGSTOP, &living);
		if (members == before || members == 0)
			break;
	}
	members = signal_members(link, n, SIGKILL, &living);
	if (alive != NULL)
		*alive = living;
	if (members == 0 && link->page->cgroup[0] != '\0')
		rmdir(link->page->cgroup);
	return members;
}

int
guard_kill_all(struct guard_link *link, int timeout_ms, char *errmsg)
{
	const struct timespec pause = { 0, ROUND_PAUSE_MS * 1000000L };
	int64_t until_ms = now_ms() + timeout_ms;
	int left, alive;

	for (;;) {
		left = guard_kill_step(link, &alive, errmsg);
		if (left <= 0)
			return left;
		if (now_ms() >= until_ms)
			break;
		nanosleep(&pause, NULL);
	}
	snprintf(errmsg, ERRMSG_MAX, "%d processes of \"%.300s\" are left after "
	    "%d ms: %d killed but still in the kernel, %d dead but not reaped "
	    "by their parent", left, link->page->data_dir, timeout_ms, alive,
	    left - alive);
	return -1;
}
