#include "smtpd/self.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

#include "smtpd/base/net.h"

#define PORT_SMTP 25

static bool
is_candidate(const struct ifaddrs *i)
{
	return i->ifa_addr != NULL && (i->ifa_flags & IFF_UP) != 0 &&
	    (i->ifa_addr->sa_family == AF_INET ||
		i->ifa_addr->sa_family == AF_INET6) &&
	    !netaddr_is_loopback(i->ifa_addr);
}

size_t
self_interfaces(struct sockaddr_storage *out, size_t max)
{
	struct ifaddrs *all, *i;
	size_t n = 0;

	if (getifaddrs(&all) == -1)
		return 0;
	for (i = all; i != NULL && n < max; i = i->ifa_next) {
		if (!is_candidate(i))
			continue;
		memset(&out[n], 0, sizeof(out[n]));
		memcpy(&out[n], i->ifa_addr, net_address_len(i->ifa_addr));
		n++;
	}
	freeifaddrs(all);
	return n;
}

static bool
is_wildcard(const struct sockaddr_storage *ss)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;
	const struct sockaddr_in *in = (const struct sockaddr_in *)ss;

	if (ss->ss_family == AF_INET6)
		return IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr);
	return in->sin_addr.s_addr == htonl(INADDR_ANY);
}

size_t
self_listening(const struct conf *conf,
    const struct sockaddr_storage *interfaces, size_t count,
    struct sockaddr_storage *out, size_t max)
{
	size_t i, j, n = 0;

	for (i = 0; i < conf->listen_count; i++) {
		const struct sockaddr_storage *ss = &conf->listen[i].addr;

		if (netaddr_port((const struct sockaddr *)ss) != PORT_SMTP)
			continue;
		if (!is_wildcard(ss)) {
			if (n < max)
				out[n++] = *ss;
			continue;
		}
		for (j = 0; j < count && n < max; j++)
			if (interfaces[j].ss_family == ss->ss_family)
				out[n++] = interfaces[j];
	}
	return n;
}
