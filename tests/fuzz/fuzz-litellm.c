#define GATEWAY_TYPE "litellm"
#define GATEWAY_BASE "https://gw.example"
#define GATEWAY_KEY_ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define GATEWAY_REPEATS 1
#include "fuzz-gateway.h"
