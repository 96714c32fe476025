/*
 * The option table: each option once, with its key, type, range, default and help. It drives the
 * file's parser, flags, environment, help, schema and docs, so they cannot disagree. No state; any
 * thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/span.h"
#include "common/strbuf.h"
#include "proxy/config.h"
#include "proxy/option_form.h"
#include "proxy/words.h"

enum option_type {
    OPTION_DURATION, /* mono_us; text with a unit */
    OPTION_SIZE,     /* uint32_t or uint64_t; text with a unit */
    OPTION_COUNT,    /* uint32_t; an integer in JSON */
    OPTION_CODE,     /* unsigned; an integer in JSON, one of `words` */
    OPTION_WORD,     /* an enum; the index into `words` */
    OPTION_BOOL,
    OPTION_ADDRESS, /* struct address; parsed here, looked up by option_resolve() */
    OPTION_FIELD,   /* char[64]: the name of a header field, or "" */
    OPTION_RANGES,  /* struct cidr_list: a list in JSON, commas in flags; `words` names ranges */
    OPTION_PATHS,   /* struct paths: a list in JSON, commas in flags */
    OPTION_PATH,    /* char[CONFIG_PATH]: a path, one of `words`, or "" */
    OPTION_MODE,    /* uint32_t: permissions in octal, text in JSON too; `special` is 0 */
    OPTION_SECRET,  /* char[129]: a token or ""; masked wherever values are written */
    OPTION_SET,     /* uint32_t: a set of `words`, 1 << index; a list in JSON, commas in flags */
    OPTION_TEXT,    /* char[]: what `form` says, or "" if that is the preset */
    OPTION_METHODS, /* char[], separated by spaces: a list in JSON, slashes in flags */
    OPTION_CLASSES, /* struct class_rules: a list of objects in JSON; see option_classes.h */
};

struct option {
    const char *path; /* "queue.timeout" */
    enum option_type type;
    size_t at, width;    /* offset and size in struct config */
    uint64_t min, max;   /* for durations, sizes and counts, and the port of an address */
    const char *special; /* a word allowed instead of a number or an address, or NULL */
    const char *words;   /* for WORD, CODE, RANGES, SET and PATH, separated by spaces */
    const struct option_form *form; /* for TEXT */
    const char *empty;    /* the word that "" stands for, or NULL; for lists: [] in a flag */
    const char *preset;   /* the default as text; NULL: see `computed` */
    const char *computed; /* the default in words, if it is not a constant, or is long */
    const char *platform; /* the platform's variable for it, or NULL */
    const char *also;     /* other programs' names for the last part of the path, for hints */
    const char *at_zero;  /* the message when a 0 is refused */
    const char *restart;  /* why a change requires a restart; NULL: a reload applies it */
    const char *help;     /* one sentence without the full stop */
};

extern const struct option option_table[];
extern const size_t option_count;

/* NULL: no such option. */
const struct option *option_find(struct span path);
const struct option *option_of_flag(struct span name); /* without the dashes */

/* "queue-timeout" and "WEIR_QUEUE_TIMEOUT". upstream.address is "upstream"; the full path is
 * accepted, too. */
void option_flag_name(const struct option *o, struct strbuf *out);
void option_env_name(const struct option *o, struct strbuf *out);

/* The variable for the full path of an option that has a short name. False: it has none. */
bool option_env_alias(const struct option *o, struct strbuf *out);

/* A flag on the command line. */
struct option_flag {
    struct span name;            /* without the dashes */
    const struct option *option; /* NULL: unknown */
    const char *value;           /* NULL: no value */
};

/* Reads the flag at argv[*i], and its value: `--name=value` or `--name value`; `--name` alone sets
 * a boolean to true. An unknown flag takes no second argument. False: argv[*i] is not a flag, and
 * *i is unchanged. */
bool option_next_flag(int argc, char **argv, int *i, struct option_flag *flag);

/* "unknown flag --x (did you mean --y?)" */
void option_write_unknown_flag(struct span name, struct strbuf *out);

/* The part of the path before and after the last dot; the section is empty at the top level. */
struct span option_section(const struct option *o);
struct span option_leaf(const struct option *o);

/* The header fields that an option must not name, separated by spaces; `x-*` is a prefix. */
extern const char option_reserved_fields[];
