/*
 * control_fuzz.c - request lines, and control frames of other agents.
 *
 * The first byte says from where: 0 the line of a client, 1 a request frame
 * and 2 a reply frame of another node, and whether this node coordinates.
 * The commands are the product's; consensus, execution and links answer at
 * once, as below.  Every request gets exactly one result, which is a line
 * that a client can read; or it waits for something that will answer it.
 */
#include "../../src/agent/control.c"

#include "../fixtures/golden.h"
#include "execute.h"
#include "fuzz.h"
#include "provision.h"

static struct agent agent;
static struct control control;
static bool coordinates;
static unsigned results, progresses, forwarded;

/* ---- what the requests reach ---- */

static void
take_answer(const char *text, size_t len, bool last)
{
	json_t *line = json_loadb(text, len, 0, NULL);
	const char *type;
	json_t *status;

	assert(json_is_object(line));
	type = json_string_value(json_object_get(line, "type"));
	assert(type != NULL);
	assert(json_is_string(json_object_get(line, "text")));
	if (strcmp(type, "progress") == 0) {
		assert(!last);
		progresses++;
	} else {
		assert(last && strcmp(type, "result") == 0);
		status = json_object_get(line, "exit");
		assert(json_is_integer(status));
		results++;
	}
	json_decref(line);
}

int
peers_send(struct peers *peers, const char *node, uint8_t type,
    const void *data, size_t len)
{
	struct reader reader;
	const uint8_t *text;
	size_t text_len;
	bool last;

	(void)peers;
	assert(strcmp(node, "n3") == 0 && type == FRAME_CONTROL_REPLY);
	assert(len <= FRAME_MAX);
	reader_init(&reader, data, len);
	(void)reader_get_u32(&reader);
	last = reader_get_u8(&reader) != 0;
	text = reader_get_blob(&reader, &text_len);
	assert(reader_is_done(&reader));
	take_answer((const char *)text, text_len, last);
	return 0;
}

int
agent_send(struct agent *a, uint32_t member_id, uint8_t type,
    const void *data, size_t len)
{
	(void)a;
	(void)data;
	assert(member_id == 1 && type == FRAME_CONTROL && len <= FRAME_MAX);
	forwarded++;
	return 0;
}

uint32_t
agent_coordinator(const struct agent *a)
{
	(void)a;
	return coordinates ? 2 : 1;
}

uint32_t
agent_self(const struct agent *a)
{
	(void)a;
	return 2;
}

const char *
agent_member_name(const struct agent *a, uint32_t id)
{
	return state_name(id, &a->state);
}

int64_t
agent_wall_us(void)
{
	return 1700000000000000;
}

monotime_t
monotime_now(void)
{
	return monotime_from_ms(1000000);
}

bool
raftio_may_decide(const struct raftio *raftio)
{
	(void)raftio;
	return coordinates;
}

const struct raft *
raftio_raft(const struct raftio *raftio)
{
	static struct raft raft;

	(void)raftio;
	if (raft.self == RAFT_NOBODY)
		golden_raft(&raft);
	return &raft;
}

/* What is proposed must fit in an entry; it is applied to a copy. */
void
raftio_propose(struct raftio *raftio, const struct command *command,
    raftio_done_fn *done, void *arg)
{
	static struct state state;
	static struct raft_entry entry;
	char why[TEXT_MAX_LEN + 1];
	bool unknown, effect;
	struct buf buf;

	(void)raftio;
	entry.type = RAFT_ENTRY_COMMAND;
	buf_init(&buf, entry.data, sizeof(entry.data));
	command_encode(command, &buf);
	assert(!buf.failed);
	entry.len = (uint16_t)buf.len;
	state = agent.state;
	effect = state_apply(&state, &entry, state.applied + 1, why,
	    &unknown);
	assert(!unknown);
	done(arg, effect, why);
}

void
coordinate_input(struct agent *a, struct decide_input *in)
{
	memset(in, 0, sizeof(*in));
	in->state = &a->state;
	in->view = &a->view;
	in->config = &raftio_raft(NULL)->snapshot_config;
	in->self = 2;
	in->now = in->phase_since = a->now;
	in->time_us = agent_wall_us();
}

void
say_report(struct agent *a, struct report *report)
{
	(void)a;
	golden_report(report);
}

void
execute_fill_report(const struct execute *execute, struct report *report)
{
	(void)execute;
	golden_report(report);
}

const struct order *
execute_order(const struct execute *execute)
{
	static struct order order;

	(void)execute;
	return &order;
}

void
found_cluster(struct agent *a, const struct settings *settings, bool adopt,
    bool dry_run, found_done_fn *done, void *arg)
{
	char errmsg[ERRMSG_MAX];

	(void)a;
	(void)adopt;
	assert(settings_check(settings, errmsg) == 0);
	done(arg, dry_run ? EXIT_DONE : EXIT_REFUSED, "refused", "");
}

void
join_path(const struct agent *a, char *path, size_t size, const char *below)
{
	(void)a;
	snprintf(path, size, "/nowhere/%s", below);
}

/* ---- the run ---- */

static void
start_once(void)
{
	static bool started;
	struct report report;
	uint32_t i;

	if (started)
		return;
	started = true;
	golden_state(&agent.state);
	agent.state.seal = agent.state.reigns[2].epoch;
	for (i = 0; i < agent.state.job_count; i++)
		agent.state.jobs[i].status = JOB_DONE;
	golden_text(agent.conf.node, sizeof(agent.conf.node), "n2");
	golden_text(agent.conf.cluster, sizeof(agent.conf.cluster), "sales");
	agent.peers = (struct peers *)&agent;	/* asked for NULL only */
	agent.control = &control;
	control.agent = &agent;
	agent.now = monotime_now();
	golden_report(&report);
	report.pg_role = PG_ROLE_STANDBY;
	report.receiver_streaming = true;
	for (i = 0; i < agent.state.member_count; i++) {
		report.member_id = agent.state.members[i].id;
		report.incarnation = agent.state.members[i].incarnation;
		state_hear(&agent.view, &report, agent.now);
	}
}

/* A client's request; its answers take the way of another node's. */
static struct request *
new_request(void)
{
	struct request *r = calloc(1, sizeof(*r));

	assert(r != NULL);
	r->control = &control;
	r->agent = &agent;
	r->closed = true;
	golden_text(r->remote_node, sizeof(r->remote_node), "n3");
	r->next = control.requests;
	control.requests = r;
	return r;
}

/* Whoever still waits is told that the coordinator's link is gone. */
static void
end_requests(void)
{
	struct request *r, *next;

	control_turn(&control);
	control_link_down(&control, "n1");
	for (r = control.requests; r != NULL; r = next) {
		next = r->next;
		assert(!r->answered && r->waiting != NULL);
		request_free(r);
		results++;
	}
	assert(control.requests == NULL);
}

static void
reply_to_forwarded(const uint8_t *data, size_t size)
{
	struct request *r = new_request();

	r->remote_node[0] = '\0';	/* so that it may be forwarded */
	r->args = json_object();
	golden_text(r->cmd, sizeof(r->cmd), "status");
	assert(request_forward(r) == (coordinates ? -1 : 0));
	golden_text(r->remote_node, sizeof(r->remote_node), "n3");
	control.next_id = 0;
	if (r->forward_id == 0) {
		request_free(r);
		return;
	}
	control_frame(&control, "n1", FRAME_CONTROL_REPLY, data, size);
	end_requests();
	assert(results == 1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return -1;
	start_once();
	results = progresses = forwarded = 0;
	coordinates = (data[0] & 4) == 0;
	switch (data[0] & 3) {
	case 0:
		take_line(new_request(), (const char *)data + 1, size - 1);
		end_requests();
		assert(results == 1);
		break;
	case 1:
		control_frame(&control, "n3", FRAME_CONTROL, data + 1,
		    size - 1);
		end_requests();
		assert(results <= 1);
		break;
	case 2:
		reply_to_forwarded(data + 1, size - 1);
		break;
	default:
		return -1;
	}
	return 0;
}
