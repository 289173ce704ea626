/*
 * Transcripts of SMTP dialogues (tests/smtp/?*.txt) as cases.
 *
 * A case is what stands between empty lines; its first line is a comment,
 * the sentence. Each other line is a kind and a text:
 *
 *	S: TEXT		the server sends the text and CRLF
 *	C: TEXT		so does the client
 *	S~ TEXT, C~ TEXT	the same without CRLF
 *	@ WORDS		settings, known to the test
 *	= WORDS		results, known to the test
 *	! WORD		an event: EOF, TIMEOUT, TLS
 *
 * In texts \r \n \\ and \xHH stand for bytes; `\{N:X}` is X, N times.
 */

#ifndef TESTS_SCRIPT_H
#define TESTS_SCRIPT_H

#include <stddef.h>

#define SCRIPT_LINES_MAX 200

struct script_line {
	char kind; /* S C s c @ = !; lower case: without CRLF */
	char *text;
	size_t len;
	int number; /* in the file */
};

struct script {
	char title[256];
	struct script_line lines[SCRIPT_LINES_MAX];
	size_t count;
};

/*
 * Read a file and call "run" with every case. Returns the number of cases;
 * ends the program where the file cannot be read.
 */
int script_each(const char *path, void (*run)(const struct script *));

/* The "n"-th blank-separated word of a line's text, into "word"; "" if none. */
const char *script_word(const struct script_line *, size_t n, char *word,
    size_t size);

#endif
