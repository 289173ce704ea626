#include "mtasts/record.h"

#include <string.h>

#include "tests/t.h"

#define ID32 "abcdefghijklmnopqrstuvwxyz012345"
#define nitems(a) (sizeof(a) / sizeof((a)[0]))

static const struct {
	const char *sentence;
	const char *text;
	const char *id; /* NULL: no policy announced */
} rows[] = {
	{ "the example of RFC 8461 3.1", "v=STSv1; id=20160831085700Z;",
	    "20160831085700Z" },
	{ "the last semicolon may be missing (3.1)", "v=STSv1; id=1", "1" },
	{ "no blanks are needed (3.1)", "v=STSv1;id=1;", "1" },
	{ "blanks around the semicolon (3.1 ABNF, erratum 6285)",
	    "v=STSv1 \t;\t id=1 ;", "1" },
	{ "32 characters are the most (3.1)", "v=STSv1; id=" ID32 ";", ID32 },
	{ "33 characters are too many (3.1)", "v=STSv1; id=" ID32 "6;", NULL },
	{ "an id must not be empty (3.1)", "v=STSv1; id=;", NULL },
	{ "an id is letters and digits (3.1)", "v=STSv1; id=2016-08;", NULL },
	{ "an id has no blanks inside (3.1)", "v=STSv1; id=20 16;", NULL },
	{ "an id is not UTF-8 (3.1)", "v=STSv1; id=\xc3\xa9;", NULL },
	{ "the id's case is kept (3.1)", "v=STSv1; id=aBc;", "aBc" },
	{ "without an id there is no policy (3.1)", "v=STSv1;", NULL },
	{ "the name id is case-sensitive (3.1)", "v=STSv1; ID=1;", NULL },
	{ "unknown fields are ignored (3.1)",
	    "v=STSv1; a=b; id=1; rua=mailto:x@example.org", "1" },
	{ "a field that ends in id is another (3.1)", "v=STSv1; xid=1;", NULL },
	{ "the first of two ids counts", "v=STSv1; id=1; id=2;", "1" },
	{ "a wrong first id is not saved by a second", "v=STSv1; id=-; id=2;",
	    NULL },
	{ "empty fields are passed over", "v=STSv1;;; id=1;;", "1" },
	{ "another version is ignored (3.1)", "v=STSv2; id=1;", NULL },
	{ "a longer version is ignored (3.1)", "v=STSv10; id=1;", NULL },
	{ "the version's case counts (3.1)", "v=stsv1; id=1;", NULL },
	{ "the version comes first (3.1)", "id=1; v=STSv1;", NULL },
	{ "no blank before the version (3.1)", " v=STSv1; id=1;", NULL },
	{ "the version must be delimited (3.1)", "v=STSv1", NULL },
	{ "another TXT record", "v=spf1 -all", NULL },
	{ "an empty TXT record", "", NULL },
};

static void
one_record(void)
{
	size_t i;

	for (i = 0; i < nitems(rows); i++) {
		struct sts_txt txt = { rows[i].text, strlen(rows[i].text) };
		char id[STS_ID_SIZE] = "unset";
		const char *why = NULL;
		int result;

		t_case(rows[i].sentence);
		result = record_choose(&txt, 1, id, &why);
		t_int(result, rows[i].id != NULL ? 0 : -1);
		t_str(id, rows[i].id != NULL ? rows[i].id : "unset");
		t_true((why == NULL) == (rows[i].id != NULL));
	}
}

static void
several_records(void)
{
	static const char first[] = "v=STSv1; id=1;";
	static const char second[] = "v=STSv1; id=2;";
	static const char broken[] = "v=STSv1; id=;";
	static const char other[] = "google-site-verification=x";
	struct sts_txt txts[3] = { { other, strlen(other) },
		{ first, strlen(first) }, { other, strlen(other) } };
	char id[STS_ID_SIZE] = "";
	const char *why = "";

	t_case("other records at the name are ignored (RFC 8461 3.1)");
	t_int(record_choose(txts, 3, id, &why), 0);
	t_str(id, "1");

	t_case("two records mean that none was announced (RFC 8461 3.1)");
	txts[2] = (struct sts_txt){ second, strlen(second) };
	t_int(record_choose(txts, 3, id, &why), -1);
	t_str(why, "several v=STSv1 records");

	t_case("a broken second record is still a second (RFC 8461 3.1)");
	txts[2] = (struct sts_txt){ broken, strlen(broken) };
	t_int(record_choose(txts, 3, id, &why), -1);

	t_case("no record at all (RFC 8461 3.1)");
	t_int(record_choose(txts, 0, id, &why), -1);
	t_str(why, "no v=STSv1 record");
}

static void
hostile_records(void)
{
	static const char nul[] = "v=STSv1; id=a\0b;";
	struct sts_txt txt = { nul, sizeof(nul) - 1 };
	char big[70000], id[STS_ID_SIZE];
	const char *why;

	t_case("a NUL inside the id makes it invalid");
	t_int(record_choose(&txt, 1, id, &why), -1);

	t_case("a record of 70,000 semicolons is read and has no id");
	memset(big, ';', sizeof(big));
	memcpy(big, "v=STSv1", 7);
	txt = (struct sts_txt){ big, sizeof(big) };
	t_int(record_choose(&txt, 1, id, &why), -1);
}

int
main(void)
{
	one_record();
	several_records();
	hostile_records();
	return t_done();
}
