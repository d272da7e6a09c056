/* The tests' loop is the product's own. */
#include "base/poll-loop.h"
