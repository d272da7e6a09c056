#define GATEWAY_TYPE "litellm"
#define GATEWAY_BASE "https://gw.example"
#define GATEWAY_KEY_ID "658c1c64760226ae13ded789f9dccc1f62f85346d7e0b53496798559b06d6dc9"
#define GATEWAY_REPEATS 1
#include "fuzz-gateway.h"
