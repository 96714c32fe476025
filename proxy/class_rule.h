/*
 * The priority classes of a configuration, as they are written: which requests belong to a class,
 * and what priority and slots it has. classes.h applies them. Plain data.
 */
#pragma once

#include <stdint.h>

#include "common/clock.h"

#define CLASS_RULES_MAX 8

/* Of the criteria, those that are not empty must all be met. */
struct class_rule {
    char name[33];
    char header[64];  /* name of a header that the request has */
    char value[128];  /* of that header; empty: any */
    char path[256];   /* prefix */
    char methods[64]; /* separated by spaces */
    mono_us head_start;
    uint32_t max; /* UINT32_MAX: none */
};

/* A request belongs to the first class whose criteria it meets. */
struct class_rules {
    uint32_t n;
    struct class_rule at[CLASS_RULES_MAX];
};
