/*
 * control.h - the conversation between failoverctl and an agent.
 *
 * RUN_DIR/control.sock, a Unix stream socket; root, the agent's uid and the
 * group control_group may talk (peer credentials; others get one result line
 * with exit 77).  One JSON object per line, UTF-8, at most CONTROL_LINE_MAX
 * bytes.  One request per connection:
 *
 *	{"v":1,"cmd":"status","args":{}}
 *
 * then any number of
 *
 *	{"type":"progress","text":"n2: copied 412 MB of 1.9 GB, 22 %"}
 *
 * and exactly one
 *
 *	{"type":"result","exit":0,"text":"...","hint":"...","data":{...}}
 *
 * exit is the exit status of failoverctl (below); text says in one sentence
 * what happened or was refused and on which facts it rests; hint, if there is
 * one, names the command to run next.  Any agent takes any request: what only
 * the coordinator can answer is forwarded to it, and when none can be reached
 * the answer is exit 5 (status: what this node knows, "stale": true).
 *
 * cmd              args                               data
 * ping             -                                  {"node","cluster","pid","initialized":bool,
 *                                                      "version"}
 * status           {"verbose":bool}                   operations.md section 5 (+ "stale")
 * explain          {"node":"n2"?}                     {"trace":["line",...],
 *                                                      "last":{"what","trace":[...]}|null}
 * events           {"after":N}                        {"events":[{"id","time","text"}...]}
 * init             {"settings":{K:V},"adopt":bool,    {"authorized_keys":"line to print"}
 *                   "dry_run":bool}
 * clone-standby    {"host","port","user","name",      {"job":ID}
 *                   "accept_host_key":"SHA256:.."?,
 *                   "conf":{K:V},"replace":bool,
 *                   "dry_run":bool,"wait":bool}
 * promote          {"node"?,"dry_run","accept_data_loss","wait"}
 * switchover       {"node"?,"dry_run","wait"}
 * failover         {"node"?,"dry_run","accept_data_loss","wait"}
 * jobs             {}                                 {"jobs":[{"id","kind","node","step",
 *                                                      "state","text"}...]}
 * remove           {"node"}
 * pause, resume    {}
 */
#ifndef FAILOVERD_CONTROL_H
#define FAILOVERD_CONTROL_H

#define CONTROL_VERSION		1
#define CONTROL_LINE_MAX	262144

#define CONTROL_EXIT_LIST(X)						\
	X(EXIT_DONE, 0, "done, or healthy")				\
	X(EXIT_DEGRADED, 1, "degraded")					\
	X(EXIT_NO_PRIMARY, 2, "no primary")				\
	X(EXIT_REFUSED, 3, "refused; nothing was changed")		\
	X(EXIT_BEGUN_FAILED, 4, "begun and failed, or outcome unknown")	\
	X(EXIT_CANNOT_TELL, 5, "cannot tell: no agent, no majority")	\
	X(EXIT_USAGE_ERROR, 64, "usage")				\
	X(EXIT_NOT_PERMITTED, 77, "not permitted")			\
	X(EXIT_BAD_CONFIG, 78, "configuration missing or wrong")

enum control_exit {
#define X(name, status, text) name = status,
	CONTROL_EXIT_LIST(X)
#undef X
};

#endif
