/*
 * guard_rules.c - the guard's state machine.
 *
 * Decides what happens on every event.  Once the state is "killing" no event
 * leads anywhere but to "gone": a deadline that moves, a stop or a kill that
 * arrives later changes nothing.
 */
#include "guardrules.h"

#include <stddef.h>

#define S(name) GUARD_##name
#define E(name) GUARD_EV_##name
#define A(name) GUARD_DO_##name
#define R(name) GUARD_REASON_##name

static const struct guard_rule rules[] = {
/* state, event, action, next, reason, why */
{ S(STARTING), E(EXECUTED), A(ANNOUNCE), S(RUNNING), R(NONE),
    "PostgreSQL has been started" },
{ S(STARTING), E(STOP), A(INTERRUPT), S(STOPPING), R(NONE),
    "a fast shutdown was asked for" },
{ S(STARTING), E(KILL), A(KILL), S(KILLING), R(ORDERED),
    "the kill was ordered" },
{ S(STARTING), E(DEADLINE), A(FENCE), S(KILLING), R(DEADLINE),
    "the lease ran out" },
{ S(STARTING), E(SIGNAL_GONE), A(KILL), S(KILLING), R(STANDBY_SIGNAL),
    "standby.signal was removed without a lease" },
{ S(STARTING), E(EXITED), A(CLEAR), S(KILLING), R(EXITED),
    "the postmaster ended by itself" },

{ S(RUNNING), E(STOP), A(INTERRUPT), S(STOPPING), R(NONE),
    "a fast shutdown was asked for" },
{ S(RUNNING), E(KILL), A(KILL), S(KILLING), R(ORDERED),
    "the kill was ordered" },
{ S(RUNNING), E(DEADLINE), A(FENCE), S(KILLING), R(DEADLINE),
    "the lease ran out" },
{ S(RUNNING), E(SIGNAL_GONE), A(KILL), S(KILLING), R(STANDBY_SIGNAL),
    "standby.signal was removed without a lease" },
{ S(RUNNING), E(EXITED), A(CLEAR), S(KILLING), R(EXITED),
    "the postmaster ended by itself" },

{ S(STOPPING), E(EXECUTED), A(NOTHING), S(STOPPING), R(NONE),
    "a fast shutdown is under way" },
{ S(STOPPING), E(STOP), A(NOTHING), S(STOPPING), R(NONE),
    "a fast shutdown is under way" },
{ S(STOPPING), E(KILL), A(KILL), S(KILLING), R(ORDERED),
    "the kill was ordered during the shutdown" },
{ S(STOPPING), E(DEADLINE), A(FENCE), S(KILLING), R(DEADLINE),
    "the lease ran out during the shutdown" },
{ S(STOPPING), E(SIGNAL_GONE), A(KILL), S(KILLING), R(STANDBY_SIGNAL),
    "standby.signal was removed without a lease" },
{ S(STOPPING), E(EXITED), A(CLEAR), S(KILLING), R(STOPPED),
    "the fast shutdown that was asked for is complete" },

{ S(KILLING), E(EXECUTED), A(NOTHING), S(KILLING), R(NONE),
    "the kill is under way" },
{ S(KILLING), E(STOP), A(NOTHING), S(KILLING), R(NONE),
    "the kill is under way" },
{ S(KILLING), E(KILL), A(NOTHING), S(KILLING), R(NONE),
    "the kill is under way" },
{ S(KILLING), E(DEADLINE), A(NOTHING), S(KILLING), R(NONE),
    "the kill is under way" },
{ S(KILLING), E(SIGNAL_GONE), A(NOTHING), S(KILLING), R(NONE),
    "the kill is under way" },
{ S(KILLING), E(EXITED), A(ANNOUNCE), S(KILLING), R(NONE),
    "the postmaster was killed" },
{ S(KILLING), E(NONE_LEFT), A(END), S(GONE), R(NONE),
    "no process of the cluster is left" },

{ S(GONE), E(STOP), A(NOTHING), S(GONE), R(NONE),
    "no process of the cluster is left" },
{ S(GONE), E(KILL), A(NOTHING), S(GONE), R(NONE),
    "no process of the cluster is left" },
};

const struct guard_rule *
guard_rule_find(unsigned state, unsigned event)
{
	size_t i;

	for (i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		if ((unsigned)rules[i].state == state &&
		    (unsigned)rules[i].event == event)
			return &rules[i];
	}
	return NULL;
}
