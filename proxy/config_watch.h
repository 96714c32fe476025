/*
 * Watches a file for new content, however it is replaced: written in place, renamed over, or by
 * exchanging a symbolic link on its path (`..data` of a ConfigMap). Uses inotify on the directory
 * of the file and of each link that leads to it, and on the file itself, which may be a bind mount.
 * On a file system that reports no changes, such as NFS, those of other machines are not noticed.
 * On the control loop.
 */
#pragma once

#include "proxy/loop.h"

struct config_watch; /* opaque: defined in config_watch.c */

/*
 * `on_change` is called, never from within another function of this module, once after the start,
 * since the file may have changed after it was read, and whenever it has other content than before:
 * when it has been left alone for 100 ms, or after a second. It may free the watch. NULL: inotify
 * is not available; errno has the reason.
 */
struct config_watch *config_watch_new(struct loop *lp, const char *path,
                                      void (*on_change)(void *arg), void *arg);
void config_watch_free(struct config_watch *w); /* NULL is allowed */

/* The file is about to be read: its present content is not reported. */
void config_watch_seen(struct config_watch *w);
