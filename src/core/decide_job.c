/*
 * decide_job.c - the next step of a switchover or a clone.
 *
 * A switchover before its seal ends, on any failure, with the old primary
 * restarted in place; from the seal on it is an ordinary promotion.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "decide_internal.h"

__attribute__((format(printf, 6, 7)))
static bool
job_step(const struct facts *f, struct decision *d, const struct job *job,
    uint8_t step, const char *event, const char *format, ...)
{
	va_list ap;

	decide_command(f, d, CMD_JOB_STEP, "%s", event);
	d->command.based_on = 0;
	d->command.u.job_step.id = job->id;
	d->command.u.job_step.step = step;
	va_start(ap, format);
	vsnprintf(d->command.u.job_step.text,
	    sizeof(d->command.u.job_step.text), format, ap);
	va_end(ap);
	return true;
}

__attribute__((format(printf, 5, 6)))
static bool
job_end(const struct facts *f, struct decision *d, const struct job *job,
    uint8_t status, const char *format, ...)
{
	char text[JOB_TEXT_MAX + 1];
	va_list ap;
	size_t line;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	line = strcspn(text, "\n");
	decide_command(f, d, CMD_JOB_END, "job %u: %.*s", job->id,
	    line < 180 ? (int)line : 180, text);
	d->command.based_on = 0;
	d->command.u.job_step.id = job->id;
	d->command.u.job_step.status = status;
	memcpy(d->command.u.job_step.text, text, sizeof(text));
	return true;
}

/* Has that member carried out the order of the job's present step? */
static uint8_t
step_result(const struct facts *f, const struct job *job, uint32_t member_id)
{
	const struct hearing *hearing = view_of(f->in->view, member_id);

	if (hearing == NULL || hearing->report.order_index != job->step_index)
		return ORDER_IDLE;
	return hearing->report.order_result;
}

/* How long ago this coordinator first saw the job's step. */
static bool
step_is_late(const struct facts *f, const struct job *job, int64_t limit_ms)
{
	return f->in->job_step_index == job->step_index &&
	    monotime_diff_ms(f->in->now, f->in->job_step_since) > limit_ms;
}

static bool
switchover_prepare(const struct facts *f, struct decision *d,
    struct trace *trace)
{
	const struct job *job = f->job;
	const char *target = state_name(job->member_id, f->state);
	uint8_t at_primary = step_result(f, job, f->reign->primary_id);
	uint8_t at_target = step_result(f, job, job->member_id);

	trace_add(trace, "switchover to %s: checkpoints at %s %s, at %s %s",
	    target, state_name(f->reign->primary_id, f->state),
	    at_primary == ORDER_DONE ? "done" : "running", target,
	    at_target == ORDER_DONE ? "done" : "running");
	if (at_primary == ORDER_DONE && at_target == ORDER_DONE)
		return job_step(f, d, job, JOB_STEP_STOP, "",
		    "stopping %s under its lease",
		    state_name(f->reign->primary_id, f->state));
	if (at_primary == ORDER_FAILED || at_target == ORDER_FAILED ||
	    step_is_late(f, job, f->state->settings.promote_timeout_ms))
		return job_end(f, d, job, JOB_FAILED, "switchover to %s "
		    "given up: the checkpoints before it did not end; "
		    "nothing was changed", target);
	return false;
}

static bool
switchover_stop(const struct facts *f, struct decision *d,
    struct trace *trace)
{
	const struct job *job = f->job;
	const char *target = state_name(job->member_id, f->state);
	const struct hearing *there = view_of(f->in->view, job->member_id);
	uint8_t result = step_result(f, job, f->reign->primary_id);
	const struct report *old;
	char need[LSN_TEXT_MAX], has[LSN_TEXT_MAX];
	lsn_t received = { 0 };

	if (result == ORDER_FAILED)
		return job_end(f, d, job, JOB_FAILED, "switchover to %s given "
		    "up: %s did not stop cleanly; it is started again", target,
		    state_name(f->reign->primary_id, f->state));
	if (result == ORDER_DONE && f->primary->report.stopped_clean) {
		old = &f->primary->report;
		if (there != NULL)
			received = lsn_max(there->report.receive_lsn,
			    there->report.replay_lsn);
		trace_add(trace, "switchover: %s stopped at %s, %s has %s",
		    state_name(f->reign->primary_id, f->state),
		    lsn_format(old->shutdown_lsn, need), target,
		    lsn_format(received, has));
		if (received.value >= old->shutdown_lsn.value) {
			decide_command(f, d, CMD_SEAL, "switchover: %s is "
			    "stopped and %s has its last WAL",
			    state_name(f->reign->primary_id, f->state),
			    target);
			d->command.u.seal.epoch = f->reign->epoch + 1;
			decide_copy_trace(d->command.u.seal.trace,
			    sizeof(d->command.u.seal.trace), trace);
			return true;
		}
	}
	if (step_is_late(f, job, f->state->settings.promote_timeout_ms))
		return job_end(f, d, job, JOB_FAILED, "switchover to %s given "
		    "up: it did not get the last WAL in time; %s is started "
		    "again", target, state_name(f->reign->primary_id,
		    f->state));
	return false;
}

bool
decide_switchover(const struct facts *f, struct decision *d,
    struct trace *trace)
{
	const struct job *job = f->job;

	if (job == NULL || job->kind == JOB_CLONE)
		return false;
	if (job->epoch != f->reign->epoch) {
		if (job->member_id != 0 &&
		    job->member_id != f->reign->primary_id)
			return job_end(f, d, job, JOB_FAILED,
			    "%s became primary instead of %s",
			    state_name(f->reign->primary_id, f->state),
			    state_name(job->member_id, f->state));
		return job_end(f, d, job, JOB_DONE, "%s is primary",
		    state_name(f->reign->primary_id, f->state));
	}
	if (job->kind != JOB_SWITCHOVER)
		return false;
	if (state_member(f->state, job->member_id) == NULL)
		return job_end(f, d, job, JOB_FAILED,
		    "its target is no member any more");
	if (job->step == JOB_STEP_PREPARE)
		return switchover_prepare(f, d, trace);
	if (job->step == JOB_STEP_STOP)
		return switchover_stop(f, d, trace);
	return false;
}

static const struct job *
clone_job(const struct state *state)
{
	return state_running_job(state, JOB_CLONE);
}

static bool
clone_copy(const struct facts *f, struct decision *d, const struct job *job)
{
	const struct hearing *hearing = view_of(f->in->view, job->member_id);

	switch (step_result(f, job, job->member_id)) {
	case ORDER_DONE:
		return job_step(f, d, job, JOB_STEP_STREAM, "",
		    "%s: copied, starting to stream", job->name);
	case ORDER_FAILED:
		return job_step(f, d, job, JOB_STEP_UNDO, "", "%.200s",
		    hearing->report.message);
	default:
		return false;
	}
}

static bool
clone_stream(const struct facts *f, struct decision *d,
    const struct job *job, struct trace *trace)
{
	const struct hearing *hearing = view_of(f->in->view, job->member_id);

	if (hearing != NULL && hearing->report.receiver_streaming &&
	    hearing->report.timeline == f->reign->timeline) {
		trace_add(trace, "clone: %s streams on timeline %u", job->name,
		    f->reign->timeline);
		decide_command(f, d, CMD_MEMBER_PHASE,
		    "%s is a streaming standby", job->name);
		d->command.based_on = 0;
		d->command.u.phase.id = job->member_id;
		d->command.u.phase.phase = MEMBER_READY;
		return true;
	}
	if (step_is_late(f, job, f->state->settings.clone_timeout_ms))
		return job_step(f, d, job, JOB_STEP_UNDO, "",
		    "%s does not stream within clone_timeout (%lld ms)%s%.120s",
		    job->name,
		    (long long)f->state->settings.clone_timeout_ms,
		    hearing != NULL && hearing->report.message[0] ? ": " : "",
		    hearing != NULL ? hearing->report.message : "");
	return false;
}

bool
decide_clone(const struct facts *f, struct decision *d, struct trace *trace)
{
	const struct job *job = clone_job(f->state);
	const struct member *member;

	if (job == NULL || job->member_id == 0)
		return false;	/* the worker has not named it yet */
	member = state_member(f->state, job->member_id);
	if (member == NULL)
		return job_end(f, d, job, JOB_FAILED, "%s", job->text);
	if (member->phase == MEMBER_READY)
		return job_end(f, d, job, JOB_DONE,
		    "%s is a streaming standby", job->name);
	switch (job->step) {
	case JOB_STEP_JOIN:
		if (liveness_of(f->state, f->in->view, job->member_id,
		    f->in->now) == LIVENESS_FRESH &&
		    f->phase == REIGN_OPEN)
			return job_step(f, d, job, JOB_STEP_COPY, "",
			    "%s: agent connected, copying", job->name);
		if (step_is_late(f, job, f->state->settings.clone_timeout_ms))
			return job_step(f, d, job, JOB_STEP_UNDO, "",
			    "the agent of %s does not connect to the cluster",
			    job->name);
		return false;
	case JOB_STEP_COPY:
		return clone_copy(f, d, job);
	case JOB_STEP_STREAM:
		return f->phase == REIGN_OPEN &&
		    clone_stream(f, d, job, trace);
	default:
		return false;
	}
}
