/*
 * Arguments of a directive, taken one after the other. Private to conf.
 *
 * What returns int returns 0, or -1 after a complaint that names the line.
 */

#ifndef SMTPD_CONF_TAKE_H
#define SMTPD_CONF_TAKE_H

#include "smtpd/conf_set.h"

/* Add an error about the statement at hand. Returns -1. */
int conf_complain(struct conf_parser *, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Complain that the arguments are not what the table shows. Returns -1. */
int conf_wants(struct conf_parser *);

/* The next word; NULL at the end. */
const char *conf_take(struct conf_parser *);
/* Take the next word if it is this one. */
bool conf_take_word(struct conf_parser *, const char *word);

/* Replace *out, which is freed, by a copy. */
int conf_keep(struct conf_parser *, char **out, const char *s);

int conf_take_duration(struct conf_parser *, unsigned *seconds);
/* From 1 to "max". */
int conf_take_number(struct conf_parser *, unsigned max, unsigned *out);
/* An absolute path, for processes differ in their working directory. */
int conf_take_path(struct conf_parser *, char **out);
/* A host or domain name, as lower-case A-labels. */
int conf_take_host(struct conf_parser *, char **out);
/* ADDRESS [port PORT]; "port" is the default, 0: no port may be given. */
int conf_take_address(struct conf_parser *, struct sockaddr_storage *out,
    uint16_t port);
/* LEVEL [until DATE because TEXT] */
int conf_take_tls(struct conf_parser *, struct conf_tls *);

#endif
