#include "queue/crc.h"

#include <string.h>

#include "tests/t.h"

int
main(void)
{
	unsigned char bytes[512];
	size_t i, len;

	t_case("CRC-32C of the examples (RFC 3720 B.4)");
	memset(bytes, 0, 32);
	t_int(crc32c(0, bytes, 32), 0x8a9136aaU);
	memset(bytes, 0xff, 32);
	t_int(crc32c(0, bytes, 32), 0x62a8ab43U);
	for (i = 0; i < 32; i++)
		bytes[i] = (unsigned char)i;
	t_int(crc32c(0, bytes, 32), 0x46dd794eU);
	t_int(crc32c_table(0, bytes, 32), 0x46dd794eU);
	t_int(crc32c(0, "123456789", 9), 0xe3069283U);

	t_case("with and without the processor's help alike, in pieces too");
	for (i = 0; i < sizeof bytes; i++)
		bytes[i] = (unsigned char)(i * 7 + i / 3);
	for (len = 0; len < sizeof bytes; len += 13) {
		t_int(crc32c(0, bytes, len), crc32c_table(0, bytes, len));
		t_int(crc32c(crc32c(0, bytes, len), bytes + len,
			  sizeof bytes - len),
		    crc32c(0, bytes, sizeof bytes));
	}
	return t_done();
}
