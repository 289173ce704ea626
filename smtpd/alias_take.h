/*
 * The aliases file, as the parent hands it to its children.
 */

#ifndef SMTPD_ALIAS_TAKE_H
#define SMTPD_ALIAS_TAKE_H

#include <stdbool.h>

#include "smtpd/alias.h"
#include "smtpd/conf.h"

/*
 * Read the aliases from "fd", a sealed copy of the file, which is closed.
 *
 * conf     in force: its host name is ours
 * tell     log what is refused: one process says it for all
 * returns  the table, never NULL
 */
struct alias_table *alias_take(int fd, const struct conf *conf, bool tell);

#endif
