#include "tests/script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct text {
	char *bytes;
	size_t len;
};

static void
add(struct text *t, char c, size_t times)
{
	char *grown = realloc(t->bytes, t->len + times + 1);

	if (grown == NULL)
		abort();
	t->bytes = grown;
	memset(t->bytes + t->len, c, times);
	t->len += times;
	t->bytes[t->len] = '\0';
}

static char *
unescape(const char *s, size_t *len)
{
	struct text t = { NULL, 0 };
	unsigned value;
	int used;
	char c;

	add(&t, '\0', 0);
	while (*s != '\0') {
		used = 0;
		if (*s != '\\') {
			add(&t, *s++, 1);
		} else if (sscanf(s, "\\{%u:%c}%n", &value, &c, &used) == 2 &&
		    used > 0) {
			add(&t, c, value);
			s += used;
		} else if (sscanf(s, "\\x%2x%n", &value, &used) == 1 &&
		    used == 4) {
			add(&t, (char)value, 1);
			s += 4;
		} else {
			c = s[1];
			add(&t, c == 'r' ? '\r' : c == 'n' ? '\n' : c, 1);
			s += 2;
		}
	}
	*len = t.len;
	return t.bytes;
}

static void
add_line(struct script *script, char *text, int number)
{
	struct script_line *line;
	char kind = text[0];

	if (script->count == SCRIPT_LINES_MAX) {
		printf("line %d: the case is too long\n", number);
		exit(1);
	}
	line = &script->lines[script->count++];
	if ((kind == 'S' || kind == 'C') && text[1] == '~')
		kind = (char)(kind == 'S' ? 's' : 'c');
	else if ((kind == 'S' || kind == 'C') && text[1] == ':')
		;
	else if (strchr("@=!", kind) == NULL || text[1] != ' ') {
		printf("line %d: not a transcript: %s\n", number, text);
		exit(1);
	}
	text += text[1] == ' ' ? 2 : 3;
	line->kind = kind;
	line->number = number;
	line->text = unescape(text[-1] == '\0' ? "" : text, &line->len);
}

static void
finish(struct script *script, void (*run)(const struct script *), int *cases)
{
	size_t i;

	if (script->count > 0) {
		run(script);
		(*cases)++;
	}
	for (i = 0; i < script->count; i++)
		free(script->lines[i].text);
	script->count = 0;
	script->title[0] = '\0';
}

int
script_each(const char *path, void (*run)(const struct script *))
{
	static struct script script;
	char *line = NULL;
	size_t room = 0;
	int number = 0, cases = 0;
	FILE *f = fopen(path, "re");

	if (f == NULL) {
		perror(path);
		exit(1);
	}
	while (getline(&line, &room, f) != -1) {
		number++;
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '\0')
			finish(&script, run, &cases);
		else if (line[0] != '#')
			add_line(&script, line, number);
		else if (script.title[0] == '\0')
			(void)snprintf(script.title, sizeof script.title, "%s",
			    line + 1 + strspn(line + 1, " "));
	}
	finish(&script, run, &cases);
	free(line);
	(void)fclose(f);
	return cases;
}

const char *
script_word(const struct script_line *line, size_t n, char *word, size_t size)
{
	const char *s = line->text + strspn(line->text, " ");

	for (; n > 0 && *s != '\0'; n--) {
		s += strcspn(s, " ");
		s += strspn(s, " ");
	}
	(void)snprintf(word, size, "%.*s", (int)strcspn(s, " "), s);
	return word;
}
