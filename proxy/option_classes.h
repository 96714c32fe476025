/*
 * The values of OPTION_CLASSES: in JSON a list of objects, in a flag
 * `name=gold,header=X-Priority,value=high,head_start=2s;name=reports,path=/reports/,max=2`. The
 * members of a class are options of their own. No state; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/check.h"
#include "common/span.h"
#include "common/strbuf.h"
#include "proxy/config.h"
#include "proxy/option_value.h"
#include "proxy/options.h"

/* The members; their `at` is an offset into struct class_rule. */
extern const struct option option_class_members[];
extern const size_t option_class_member_count;

#define OPTION_CLASS_PATH 64 /* bytes of "classes[7].head_start" */

/* The member of class `i` as an option of struct config, with its path in `path`. False: there is
 * no such member. */
MUST_USE bool option_class_member(size_t i, struct span name, char path[OPTION_CLASS_PATH],
                                  struct option *out);

/* Writes the member that was probably meant and all that there are: "did you mean "name"? (known:
 * name, ...)". */
void option_classes_write_note(struct span name, struct strbuf *out);

/* Appends a class whose members have their defaults. False: there are CLASS_RULES_MAX. */
MUST_USE bool option_classes_begin(struct config *c);

/* Whether the last class is sound, all its members having been read; else writes what is wrong with
 * it, and the remedy. */
MUST_USE bool option_classes_check(const struct config *c, struct strbuf *why);

/* Appends a class in the form of a flag; if that is not possible, writes the reason to `why`,
 * unless that is NULL. */
MUST_USE enum option_verdict option_classes_add(const struct option *o, struct span text,
                                                struct config *c, struct strbuf *why);

/* Class `i`, in the form of a flag or as JSON; members with their default are left out. */
void option_classes_write(const struct config *c, size_t i, struct strbuf *out);
void option_classes_write_json(const struct config *c, size_t i, struct strbuf *out);

/* Writes why a list in the form of a flag cannot be read. */
void option_classes_explain(const struct option *o, struct span text, struct strbuf *out);
