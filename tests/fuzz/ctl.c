/*
 * Control requests: whatever is accepted is written and read back the same,
 * and holds nothing that could end the line.
 */

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "smtpd/ctl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ctl_request req, back;
	char text[CTL_LINE_MAX + 1];
	const char *why = NULL;
	int len;

	if (ctl_parse((const char *)data, size, &req, &why) == -1) {
		assert(why != NULL);
		return 0;
	}
	len = ctl_format(&req, text, sizeof text, &why);
	assert(len != -1);
	assert(strpbrk(text, "\r\n\t") == NULL);
	assert(ctl_parse(text, (size_t)len, &back, &why) == 0);
	assert(memcmp(&req, &back, sizeof req) == 0);
	return 0;
}
