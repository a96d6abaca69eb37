/*
 * token: bearer tokens, as they are given out. Any thread; nothing is kept.
 */
#ifndef COINSLOT_BASE_TOKEN_H
#define COINSLOT_BASE_TOKEN_H

#define TOKEN_TEXT_SIZE 44 /* 43 characters of base64url and a NUL */

/* 32 random bytes as base64url (RFC 4648, section 5) without padding: nothing in it needs quoting in a shell,
 * URL or header. */
void token_make(char text[TOKEN_TEXT_SIZE]);

#endif
