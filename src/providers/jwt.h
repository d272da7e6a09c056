/* Signed JSON Web Tokens, as OpenID Connect issuers give them (RFC 7515, 7517, 7519): this host is such an issuer.
 *
 * ES256 alone: ECDSA on the curve P-256 with SHA-256. Anthropic takes the families ES and RS and PS, and wants a `kid`
 * (its reference of Workload Identity Federation); of these it is the shortest to send and the quickest to make. The
 * only user of OpenSSL. All of it is pure but for the randomness of keys and signatures. */
#ifndef LLMHOOK_PROVIDERS_JWT_H
#define LLMHOOK_PROVIDERS_JWT_H

#include "base/error.h"
#include "base/secret.h"

#include <json-c/json_object.h>
#include <stdbool.h>

enum {
    JWT_MAX = 16 * 1024,       /* bytes; Anthropic takes no longer one, and a secret holds no more */
    JWT_THUMBPRINT_SIZE = 44,  /* SHA-256 in base64url and a NUL */
    JWT_UNIQUE_SIZE = 23,      /* 128 bits in base64url and a NUL */
};

/* A new signing key, as PEM (PKCS #8). Owner: the caller, who seals it before it is written anywhere. */
bool jwt_key_new(struct secret **ret_key, struct error *err);

/* The public half of KEY as a JSON Web Key, which says which algorithm it is for and its thumbprint (RFC 7638) as
 * `kid`. ERROR_INVALID when KEY is no signing key of ours. Owner of *RET_JWK: the caller. */
bool jwt_public_key(const struct secret *key, struct json_object **ret_jwk, struct error *err);

/* Signs CLAIMS (borrowed). ERROR_LIMIT when that would be longer than JWT_MAX. Owner of *RET_TOKEN: the caller. */
bool jwt_sign(const struct secret *key, struct json_object *claims, struct secret **ret_token, struct error *err);

/* Something that was never there before, for `jti`. */
bool jwt_unique(char ret_text[JWT_UNIQUE_SIZE], struct error *err);

#endif
