/*
 * The destination block and its directives. Private to conf.
 *
 * Setters as in struct conf_row: 0, or -1 after a complaint.
 */

#ifndef SMTPD_CONF_BLOCK_H
#define SMTPD_CONF_BLOCK_H

#include "smtpd/conf_set.h"

/* destination NAME: open its block. */
int conf_open_block(struct conf_parser *);
/* "}": check the block as a whole and close it. */
void conf_close_block(struct conf_parser *);

int conf_block_tls(struct conf_parser *);
int conf_block_via(struct conf_parser *);
int conf_block_auth(struct conf_parser *);
int conf_block_connections(struct conf_parser *);
int conf_block_rate(struct conf_parser *);

/* NULL does nothing. */
void conf_destination_free(struct conf_destination *);

#endif
