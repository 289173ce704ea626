/*
 * libcurl, loaded by the one process that fetches: it brings thirty further
 * libraries (GnuTLS, Kerberos, LDAP...), which cost every process of the
 * family a megabyte of relocations and run their constructors, in the parent
 * as root. For mtasts/fetch.c alone.
 */

#ifndef MTASTS_CURL_H
#define MTASTS_CURL_H

#include <curl/curl.h>

/* The functions in use, each named without its "curl_". */
struct curl {
	__typeof__(&curl_global_init) global_init;
	__typeof__(&curl_global_cleanup) global_cleanup;
	__typeof__(&curl_easy_init) easy_init;
	__typeof__(&curl_easy_cleanup) easy_cleanup;
	CURLcode (*easy_setopt)(CURL *, CURLoption, ...);
	CURLcode (*easy_getinfo)(CURL *, CURLINFO, ...);
	__typeof__(&curl_easy_strerror) easy_strerror;
	__typeof__(&curl_multi_init) multi_init;
	__typeof__(&curl_multi_cleanup) multi_cleanup;
	__typeof__(&curl_multi_add_handle) multi_add_handle;
	__typeof__(&curl_multi_remove_handle) multi_remove_handle;
	CURLMcode (*multi_setopt)(CURLM *, CURLMoption, ...);
	__typeof__(&curl_multi_info_read) multi_info_read;
	__typeof__(&curl_easy_pause) easy_pause;
	__typeof__(&curl_multi_socket_action) multi_socket_action;
	__typeof__(&curl_slist_append) slist_append;
	__typeof__(&curl_slist_free_all) slist_free_all;
};

/*
 * Load the library for the rest of the process's life, and set it up.
 * Returns 0, or -1 if it is not there or lacks a function.
 */
int curl_load(struct curl *);

#endif
