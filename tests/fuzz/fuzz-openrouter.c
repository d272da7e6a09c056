#define GATEWAY_TYPE "openrouter"
#define GATEWAY_BASE "https://gw.example/api/v1"
#define GATEWAY_KEY_ID "h-xyz"
#define GATEWAY_REPEATS 0
#include "fuzz-gateway.h"
