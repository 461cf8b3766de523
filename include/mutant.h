/*
 * mutant.h - switching one rule of the core off, to see a test fail.
 *
 * Only a build with -DMUTANTS knows this; there, the program that links the
 * core defines `mutant`, the name of the one rule that is switched off (NULL
 * = none).  Everywhere else RULE_OFF() is the constant false and costs
 * nothing.  Names are grepped for: keep them unique over the whole core.
 */
#ifndef FAILOVERD_MUTANT_H
#define FAILOVERD_MUTANT_H

#ifdef MUTANTS

#include <stddef.h>
#include <string.h>

extern const char *mutant;
#define RULE_OFF(name) (mutant != NULL && strcmp(mutant, (name)) == 0)

#else

#define RULE_OFF(name) 0

#endif

#endif
