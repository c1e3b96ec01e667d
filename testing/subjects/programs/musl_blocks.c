/* A static C program on musl: count blocks of size bytes, every other one freed, and one large one.
 *
 * Prints `ready {json}` and waits until its standard input closes or a line arrives.
 * Arguments: --count N --size B --large-mib L.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static size_t number(int count, char **arguments, const char *flag, size_t otherwise)
{
	for (int i = 1; i + 1 < count; i++)
		if (!strcmp(arguments[i], flag))
			return strtoul(arguments[i + 1], 0, 10);
	return otherwise;
}

int main(int argument_count, char **arguments)
{
	size_t count = number(argument_count, arguments, "--count", 100000);
	size_t size = number(argument_count, arguments, "--size", 100);
	size_t large_bytes = number(argument_count, arguments, "--large-mib", 8) << 20;
	void **last = 0;
	size_t live = 0, usable = 0;

	if (size < sizeof(void *))
		size = sizeof(void *);
	/* Linked through their first word; the ones in between are freed in a second chain. */
	void **freed = 0;
	for (size_t i = 0; i < count; i++) {
		void **block = malloc(size);
		if (!block)
			return 1;
		memset(block, 1, size);
		if (i % 2) {
			*block = last;
			last = block;
			live++;
			usable += malloc_usable_size(block);
		} else {
			*block = freed;
			freed = block;
		}
	}
	while (freed) {
		void **next = *freed;
		free(freed);
		freed = next;
	}
	char *large = malloc(large_bytes);
	if (!large)
		return 1;
	memset(large, 1, large_bytes);

	printf("ready {\"live_blocks\":%zu,\"live_bytes\":%zu,\"usable_bytes\":%zu,"
	       "\"large_bytes\":%zu,\"large_address\":%zu,\"last_address\":%zu}\n",
	       live, live * size, usable, large_bytes, (size_t)large, (size_t)last);
	fflush(stdout);
	char byte;
	while (read(0, &byte, 1) == 1 && byte != '\n')
		;
	return 0;
}
