#include "mtasts/curl.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

#define LIBRARY "libcurl.so.4"

#define SYMBOL(f) \
	{ \
		"curl_" #f, offsetof(struct curl, f) \
	}

/* clang-format off */
static const struct {
	const char *name;
	size_t at;
} symbols[] = {
	SYMBOL(global_init),
	SYMBOL(global_cleanup),
	SYMBOL(easy_init),
	SYMBOL(easy_cleanup),
	SYMBOL(easy_setopt),
	SYMBOL(easy_getinfo),
	SYMBOL(easy_strerror),
	SYMBOL(multi_init),
	SYMBOL(multi_cleanup),
	SYMBOL(multi_add_handle),
	SYMBOL(multi_remove_handle),
	SYMBOL(multi_setopt),
	SYMBOL(multi_info_read),
	SYMBOL(easy_pause),
	SYMBOL(multi_socket_action),
	SYMBOL(slist_append),
	SYMBOL(slist_free_all),
};
/* clang-format on */

_Static_assert(sizeof symbols / sizeof symbols[0] * sizeof(void *) ==
	sizeof(struct curl),
    "every function is looked up");

int
curl_load(struct curl *curl)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL), *symbol;
	size_t i;

	if (library == NULL)
		return -1;
	for (i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
		symbol = dlsym(library, symbols[i].name);
		if (symbol == NULL)
			return -1;
		memcpy((char *)curl + symbols[i].at, &symbol, sizeof symbol);
	}
	return curl->global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 0 : -1;
}
