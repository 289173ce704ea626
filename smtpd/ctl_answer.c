#include "smtpd/ctl_answer.h"

#include <string.h>

#include "smtpd/base/log.h"

void
ctl_say(struct io *io, const struct json *j)
{
	const char *text = json_text(j);

	if (text == NULL)
		log_die("no memory for an answer");
	/* cppcheck-suppress nullPointerRedundantCheck ; log_die() ends us */
	io_write(io, text, strlen(text));
	io_write(io, "\n", 1);
}

void
ctl_complete(struct io *io)
{
	io_write(io, ".\n", 2);
}

void
ctl_fail(struct io *io, const char *error)
{
	struct json j;

	json_init(&j);
	json_object(&j, NULL);
	json_string(&j, "error", error);
	json_end(&j);
	ctl_say(io, &j);
	json_clear(&j);
}

bool
ctl_client_is_gone(struct io *io, enum io_event event)
{
	switch (event) {
	case IO_INPUT:
		buf_take(io_input(io), buf_len(io_input(io)));
		break;
	case IO_CLOSED:
	case IO_TIMEOUT:
	case IO_ERROR:
		return true;
	case IO_SENT:
	case IO_CONNECTED:
	case IO_SECURE:
		break;
	}
	return false;
}
