/* Looks for bytes in this process's main heap, freed memory included: what was released without being wiped. */
#ifndef LLMHOOK_TESTS_UNIT_HEAP_SEARCH_H
#define LLMHOOK_TESTS_UNIT_HEAP_SEARCH_H

/* How often NEEDLE stands there. -1 where the heap is not the C library's own: under sanitizers and valgrind. Other
 * threads' heaps are not looked at. Call it once before what is to be observed: MALLOC_PERTURB_ ends with it. */
int heap_search(const char *needle);

#endif
