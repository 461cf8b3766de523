/*
 * report.c - the names of what reports and orders can say.
 */
#include "report.h"

#include "order.h"

const char *
pg_state_name(unsigned state)
{
	static const char *const names[] = {
#define X(name, text) text,
		PG_STATE_LIST(X)
#undef X
	};

	return state < PG_STATE_COUNT ? names[state] : "unknown";
}

const char *
probe_layer_name(unsigned layer)
{
	static const char *const names[] = {
#define X(name, text) text,
		PROBE_LAYER_LIST(X)
#undef X
	};

	return layer < PROBE_LAYER_COUNT ? names[layer] : "unknown";
}

const char *
port_answer_name(unsigned answer)
{
	switch (answer) {
	case PORT_ANSWERS:
		return "answers";
	case PORT_REFUSED:
		return "refuses connections";
	case PORT_SILENT:
		return "is silent";
	default:
		return "was not tried";
	}
}

const char *
order_name(unsigned kind)
{
	static const char *const names[] = {
#define X(name, text) text,
		ORDER_LIST(X)
#undef X
	};

	return kind < ORDER_COUNT ? names[kind] : "unknown";
}
