/*
 * The recipients of `sendmail`: from its operands, and from the header.
 */

#ifndef SMTPD_CLI_SEND_RCPTS_H
#define SMTPD_CLI_SEND_RCPTS_H

#include <stddef.h>

#include "smtpd/address.h"
#include "smtpd/cli/submit.h"

/*
 * Add the addresses of a list, as an operand or a To field has it. One that
 * is malformed is added as SUBMIT_REFUSED with its reason; one that is there
 * already is not added again. Sets m->smtputf8 where one needs it.
 *
 * returns  0, or -1 on no memory
 */
int send_add_rcpts(struct submit_mail *m, const char *list, size_t len);

/* The same with To, Cc and Bcc of m->content. -1 with *why. */
int send_add_header_rcpts(struct submit_mail *m, const char **why);

void send_free_rcpts(struct submit_mail *m);

/*
 * Read one address as -f gives it: bare, in angle brackets, or with a name;
 * "" and "<>" are the null sender. Returns 0, or -1 with *why.
 */
int send_one_address(struct address *out, const char *text, const char **why);

#endif
