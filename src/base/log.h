/*
 * log: one line an event, on stderr. Any thread; a line is written with one write(2).
 * Text is `time level module message key=value…`, JSON one object a line. The only mutable global besides the
 * signal flag.
 */
#ifndef COINSLOT_BASE_LOG_H
#define COINSLOT_BASE_LOG_H

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

/* Call before other threads start. Without it: info and above, as text. */
void log_set_up(enum log_level least, enum log_format format);

__attribute__((format(printf, 3, 4))) void log_write(enum log_level level, const char *module,
                                                     const char *format, ...);

#define log_debug(...) log_write(LOG_LEVEL_DEBUG, LOG_MODULE, __VA_ARGS__)
#define log_info(...)  log_write(LOG_LEVEL_INFO, LOG_MODULE, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, LOG_MODULE, __VA_ARGS__)
#define log_error(...) log_write(LOG_LEVEL_ERROR, LOG_MODULE, __VA_ARGS__)

/*
 * Ends the process at once, after one line in the log: for a commit that failed, and for memory that ran out.
 * Nothing is flushed or closed: a restart is safe by design, going on is not.
 */
__attribute__((noreturn, format(printf, 2, 3))) void log_die(const char *module, const char *format, ...);

/* malloc and friends that end the process when memory has run out. */
void *cs_alloc(unsigned long size); /* zeroed */
void *cs_realloc(void *old, unsigned long size);
char *cs_strdup(const char *text);

#endif
