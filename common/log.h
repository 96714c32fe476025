/*
 * Levelled log lines on stderr: text for a person, JSON for a program. Any thread; lines never
 * interleave. Never blocks: lines that stderr cannot accept are lost. A successful request logs
 * nothing.
 */
#pragma once

#include <stdbool.h>

#include "common/check.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format {
    LOG_FORMAT_AUTO /* text on a terminal, else JSON */,
    LOG_FORMAT_TEXT,
    LOG_FORMAT_JSON
};

void log_configure(enum log_level level, enum log_format format);
bool log_wants(enum log_level level);

void log_line(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define log_error(...)   log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                                                             \
    do {                                                                                           \
        if (log_wants(LOG_LEVEL_DEBUG))                                                            \
            log_line(LOG_LEVEL_DEBUG, __VA_ARGS__);                                                \
    } while (0)
