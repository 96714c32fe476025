/*
 * The option table: every option once, with its key, type, range, default and help. It drives the
 * file's parser, flags, environment, help, schema and docs, so they cannot disagree. Also the
 * reading and writing of one value of each type. Nothing here keeps state; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/span.h"
#include "common/strbuf.h"
#include "proxy/config.h"

enum option_type {
    OPTION_DURATION, /* mono_us; text with a unit */
    OPTION_SIZE,     /* uint32_t or uint64_t; text with a unit */
    OPTION_COUNT,    /* uint32_t; an integer in JSON */
    OPTION_CODE,     /* unsigned; an integer in JSON, one of `words` */
    OPTION_WORD,     /* an enum; the index into `words` */
    OPTION_BOOL,
    OPTION_ADDRESS, /* struct address; read here, looked up by option_resolve() */
    OPTION_FIELD,   /* char[64]: the name of a header field, or "" */
    OPTION_RANGES,  /* headers.trusted: a list in JSON, commas in flags; `words` name ranges */
    OPTION_MODE,    /* uint32_t: permissions in octal, text in JSON too; `special` is 0 */
};

struct option {
    const char *path; /* "queue.timeout" */
    enum option_type type;
    size_t at, width;     /* where in struct config */
    uint64_t min, max;    /* of durations, sizes, counts; of the port of an address */
    const char *special;  /* a word allowed beside the numbers or addresses, or NULL */
    const char *words;    /* of OPTION_WORD, OPTION_CODE and OPTION_RANGES, a space between */
    const char *empty;    /* the word that "" stands for, or NULL; of ranges: [] in a flag */
    const char *preset;   /* the default as text; NULL: see `computed` */
    const char *computed; /* the default in words, when it is no constant */
    const char *platform; /* the platform's own variable for it, or NULL */
    const char *also;     /* names of other programs for the last part of the path, for hints */
    const char *at_zero;  /* what to say to a 0 that is refused */
    const char *help;     /* one sentence without its full stop */
};

extern const struct option option_table[];
extern const size_t option_count;

/* NULL: no such option. */
const struct option *option_find(struct span path);
const struct option *option_of_flag(struct span name); /* without the dashes */

/* "queue-timeout" and "WEIR_QUEUE_TIMEOUT". upstream.address is "upstream"; its full path is taken,
 * too. */
void option_flag_name(const struct option *o, struct strbuf *out);
void option_env_name(const struct option *o, struct strbuf *out);

/* The variable that is the full path of an option with a short name. False: it has none. */
bool option_env_alias(const struct option *o, struct strbuf *out);

/* One flag of a command line. */
struct option_flag {
    struct span name;            /* without the dashes */
    const struct option *option; /* NULL: unknown */
    const char *value;           /* NULL: there is none */
};

/* Takes the flag at argv[*i], and its value: `--name=value` or `--name value`. An unknown flag
 * takes no second argument. False: argv[*i] is no flag, and *i stays. */
bool option_next_flag(int argc, char **argv, int *i, struct option_flag *flag);

/* "unknown flag --x (did you mean --y?)" */
void option_write_unknown_flag(struct span name, struct strbuf *out);

/* The part of the path before and after its last dot; the section is empty at the top level. */
struct span option_section(const struct option *o);
struct span option_leaf(const struct option *o);

enum option_verdict { OPTION_READ, OPTION_MALFORMED, OPTION_OUT_OF_RANGE };

/* Reads `text` into its place in `c`; unless READ, `c` is as before. Ranges replace the list. */
MUST_USE enum option_verdict option_read(const struct option *o, struct span text,
                                         struct config *c);

/* One element of OPTION_RANGES, added to the list. */
MUST_USE enum option_verdict option_read_range(const struct option *o, struct span text,
                                               struct config *c);
void option_clear_ranges(struct config *c);

/* Whether the value stands in JSON as a string (else as a number, true, false or a list). */
bool option_is_text(const struct option *o);

/* The value in `c`, as JSON, or as flags and environment take it. */
void option_write_json(const struct option *o, const struct config *c, struct strbuf *out);
void option_write_text(const struct option *o, const struct config *c, struct strbuf *out);

/* What an option takes, told to one who gave something else: after OUT_OF_RANGE the range. */
void option_write_wants(const struct option *o, enum option_verdict verdict, struct strbuf *out);

/* A hint in brackets with a space before it, or nothing: a value near to `text` that can be read,
 * in quotes when `quoted`; or what a value looks like. */
void option_write_hint(const struct option *o, enum option_verdict verdict, struct span text,
                       bool quoted, struct strbuf *out);

/* A number of microseconds or bytes with the largest unit that fits. */
void option_write_quantity(const struct option *o, uint64_t n, struct strbuf *out);

/* The units of a duration or a size, smallest first; NULL past the last. */
const char *option_unit(const struct option *o, size_t i, uint64_t *factor);

/* Fills in the socket address of an OPTION_ADDRESS; names are looked up, IPv4 first, because a
 * name such as localhost often has an IPv6 address that the app does not listen on. False: `why`
 * says what failed. */
MUST_USE bool option_resolve(const struct option *o, struct config *c, struct strbuf *why);

/* The header fields that no option may name, a space between; `x-*` is all that begin so. */
extern const char option_reserved_fields[];

/* The nearest of several words to what was typed. Zero-initialise but for `typed`. */
struct nearest {
    struct span typed;
    const char *answer; /* NULL: nothing is near */
    size_t distance;
};

/* `word` is compared, without regard to case, '_' and '-'; `answer` is what would be suggested. */
void nearest_try(struct nearest *n, struct span word, const char *answer);

/* Takes the next word off `list`; false at its end. */
bool next_word(struct span *list, struct span *word);
