/* SPDX-License-Identifier: Apache-2.0 */
/* A pattern's three shapes: a tree while it is read, then two programs of the same meaning.
 *
 *     pattern ─ regex_parse.c, regex_set.c ─ tree ─ regex_compile.c ─ quick, careful ─
 * regex_match.c
 *
 * The quick one has an instruction for a run of characters and a table of first bytes at each
 * choice; the careful one makes every choice a place that the record of failures can name. */
#ifndef TANDEM_TEXT_REGEX_INTERNAL_H
#define TANDEM_TEXT_REGEX_INTERNAL_H

#include "text/regex.h"

#define REGEX_MANY      UINT32_MAX /* no upper bound of a repeat */
#define REGEX_COUNT_MAX 1000       /* of {m,n} */
#define REGEX_DEPTH_MAX 32         /* groups, and sets, in each other */
#define REGEX_SETS_MAX  64
#define REGEX_NODES_MAX 4096
#define REGEX_STEPS_MAX 4096 /* instructions of a program */
#define REGEX_BLOCK     256  /* code points of a block */
#define REGEX_BLOCKS    (0x110000 / REGEX_BLOCK)
#define REGEX_SET_WORDS (0x110000 / 64)
#define REGEX_TEXT_END  256 /* index of the text's end in a table of first bytes */

/* A set of code points. */
typedef struct regex_set {
    uint8_t byte[256];      /* 0: starts no member, 1: is one (ASCII), 2: look further */
    const uint16_t *blocks; /* [REGEX_BLOCKS] */
    const uint64_t (*bits)[REGEX_BLOCK / 64];
    uint64_t hash;
} regex_set;

typedef enum regex_place {
    PLACE_LINE_START = 0,   /* ^ */
    PLACE_LINE_END = 1,     /* $ */
    PLACE_TEXT_START = 2,   /* \A */
    PLACE_TEXT_END = 3,     /* \z */
    PLACE_BEFORE_END = 4,   /* \Z */
    PLACE_WORD_EDGE = 5,    /* \b */
    PLACE_NO_WORD_EDGE = 6, /* \B */
} regex_place;

typedef enum regex_kind {
    NODE_EMPTY = 0,
    NODE_SET = 1,    /* one character of set `value` */
    NODE_CHAR = 2,   /* the character `value` */
    NODE_ALL = 3,    /* children one after the other */
    NODE_ANY = 4,    /* the first child that holds */
    NODE_REPEAT = 5, /* the child min to max times */
    NODE_AHEAD = 6,  /* the child follows, or not */
    NODE_BEHIND = 7, /* a character of set `value` is before, or not */
    NODE_PLACE = 8,  /* `value` is a regex_place */
} regex_kind;

typedef struct regex_node {
    regex_kind kind;
    uint32_t value;
    uint32_t min;
    uint32_t max;
    bool is_lazy;
    bool is_possessive;
    bool is_negative;
    struct regex_node *first; /* child */
    struct regex_node *next;  /* sibling */
} regex_node;

typedef enum regex_op {
    OP_BYTE = 0,   /* a: the byte */
    OP_SET = 1,    /* a: the set */
    OP_RUN = 2,    /* a: the set, min to max times, as many as can be, giving back */
    OP_TAKE = 3,   /* the same without giving back; b: its number */
    OP_SPLIT = 4,  /* goes on at a, else at b; table: first bytes, or its number in the record */
    OP_JUMP = 5,   /* to a */
    OP_AHEAD = 6,  /* what is up to a follows */
    OP_ABSENT = 7, /* it does not */
    OP_BEHIND = 8, /* a: the set, b: whether it must not be */
    OP_PLACE = 9,  /* a: regex_place */
    OP_DONE = 10,
} regex_op;

typedef struct regex_step {
    regex_op op;
    uint32_t a;
    uint32_t b;
    uint32_t min;
    uint32_t max;
    uint32_t table;
} regex_step;

/* Bit 0: the first way may go on with this byte, bit 1: the second. */
typedef uint8_t regex_first[REGEX_TEXT_END + 1];

typedef struct regex_program {
    regex_step *steps;
    uint32_t count;
    regex_first *firsts; /* of the quick program, by a split's `table` */
    uint32_t splits;
    uint32_t takes;
} regex_program;

struct tandem_regex {
    regex_set *sets;
    uint32_t sets_count;
    regex_program quick;
    regex_program careful;
    regex_first starts; /* bytes that a match may start with */
    bool is_nullable;
};

/* A pattern while it is read. */
typedef struct regex_parser {
    tandem_str pattern;
    size_t at;
    bool folds;      /* (?i) */
    bool dot_is_all; /* (?m), which other dialects call s */
    bool is_in_class;
    uint32_t depth;
    uint32_t nodes;
    regex_set *sets; /* [REGEX_SETS_MAX] */
    uint32_t sets_count;
    tandem_arena *arena;                 /* the regex's */
    tandem_arena *work;                  /* goes when the regex is made */
    uint64_t *bits[REGEX_DEPTH_MAX + 2]; /* sets at hand, [REGEX_SET_WORDS] each */
    tandem_error *err;
} regex_parser;

tandem_status tandem__regex_parse(regex_parser *p, regex_node **tree) TANDEM_NODISCARD;

/* "what" at p->at is not supported, or is no pattern. */
tandem_status tandem__regex_refuse(const regex_parser *p, size_t at, const char *what);
tandem_status tandem__regex_wrong(const regex_parser *p, size_t at, const char *what);

/* The character at p->at; its bytes in `*step`. */
uint32_t tandem__regex_peek(const regex_parser *p, size_t *step);

/* Reads a set: `[`..`]`, or what stands after a backslash (p->at is behind it). */
tandem_status tandem__regex_read_class(regex_parser *p, uint32_t *set) TANDEM_NODISCARD;
/* False where the escape is no set, with nothing read. */
tandem_status tandem__regex_read_escape_set(regex_parser *p, uint64_t *bits,
                                            bool *is_set) TANDEM_NODISCARD;
/* The character of an escape; p->at is behind the backslash. */
tandem_status tandem__regex_read_escape_char(regex_parser *p, uint32_t *code) TANDEM_NODISCARD;

/* The set of some bits, shared with an equal one. */
tandem_status tandem__regex_keep_set(regex_parser *p, const uint64_t *bits,
                                     uint32_t *set) TANDEM_NODISCARD;
/* The set of one character, and of its other case where case is ignored. */
tandem_status tandem__regex_char_set(regex_parser *p, uint32_t code,
                                     uint32_t *set) TANDEM_NODISCARD;
/* Zeroed bits of nesting `depth`. */
tandem_status tandem__regex_bits(regex_parser *p, uint32_t depth, uint64_t **bits) TANDEM_NODISCARD;

bool tandem__regex_node_is_nullable(const regex_node *node);

static inline bool tandem__regex_has(const regex_set *set, uint32_t code) {
    const uint64_t *const bits = set->bits[set->blocks[code / REGEX_BLOCK]];
    return (bits[code % REGEX_BLOCK / 64] >> (code % 64) & 1) != 0;
}

#endif
