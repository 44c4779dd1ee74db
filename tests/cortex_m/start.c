/* The vectors of a Cortex-M: the end of the stack, and where to begin; newlib's _start does the rest. */

extern char __stack[];
extern void _start(void);

typedef union {
    void *stack;
    void (*handler)(void);
} vector;

__attribute__((section(".vectors"), used)) static const vector vectors[] = {{.stack = __stack}, {.handler = _start}};
