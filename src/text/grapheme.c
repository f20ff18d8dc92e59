/* SPDX-License-Identifier: Apache-2.0 */
#include "text/grapheme.h"

#include <stdbool.h>

#include "base/utf8.h"

/* Classes of UAX #29, those of one code point in order of precedence. */
typedef enum grapheme_class {
    CLASS_OTHER = 0,
    CLASS_CONTROL = 1, /* with CR and LF */
    CLASS_EXTEND = 2,
    CLASS_SPACING = 3,
    CLASS_LINKER = 4, /* Extend that joins consonants */
    CLASS_ZWJ = 5,
    CLASS_PREPEND = 6,
    CLASS_REGIONAL = 7,
    CLASS_L = 8,
    CLASS_V = 9,
    CLASS_T = 10,
    CLASS_LV = 11,
    CLASS_LVT = 12,
    CLASS_PICTOGRAPH = 13,
    CLASS_CONSONANT = 14,
    CLASS_PLAIN = 15, /* Extend that ends a conjunct */
} grapheme_class;

typedef struct cluster {
    grapheme_class last;
    bool is_regional_odd; /* an odd number of regional indicators ends here */
    bool is_pictograph;   /* Pictograph Extend* */
    bool is_pictograph_zwj;
    bool is_consonant; /* Consonant (Extend | Linker)* */
    bool has_linker;   /* one of them is a linker */
} cluster;

static grapheme_class class_of(uint32_t code) {
    const size_t block = tandem__grapheme_block[code >> TANDEM_GRAPHEME_SHIFT];
    const size_t low = code & ((1u << TANDEM_GRAPHEME_SHIFT) - 1);
    const size_t at = block << TANDEM_GRAPHEME_SHIFT | low;
    return (grapheme_class)(tandem__grapheme_class[at / 2] >> (at % 2 * 4) & 15);
}

static bool is_extend(grapheme_class class) {
    return class == CLASS_EXTEND || class == CLASS_LINKER || class == CLASS_PLAIN ||
           class == CLASS_ZWJ;
}

static void take(cluster *c, grapheme_class class) {
    c->is_regional_odd = class == CLASS_REGIONAL && !c->is_regional_odd;
    c->is_pictograph_zwj = class == CLASS_ZWJ && c->is_pictograph;
    c->is_pictograph =
        class == CLASS_PICTOGRAPH || (c->is_pictograph && is_extend(class) && class != CLASS_ZWJ);
    if (class == CLASS_CONSONANT) {
        c->is_consonant = true;
        c->has_linker = false;
    } else {
        c->is_consonant = c->is_consonant && is_extend(class) && class != CLASS_PLAIN;
        c->has_linker = c->is_consonant && (c->has_linker || class == CLASS_LINKER);
    }
    c->last = class;
}

static bool joins(const cluster *c, grapheme_class class) {
    if (c->last == CLASS_CONTROL || class == CLASS_CONTROL) return false;
    if (is_extend(class) || class == CLASS_SPACING) return true;
    if (c->last == CLASS_PREPEND) return true;
    if (c->last == CLASS_L) {
        return class == CLASS_L || class == CLASS_V || class == CLASS_LV || class == CLASS_LVT;
    }
    if (c->last == CLASS_V || c->last == CLASS_LV) return class == CLASS_V || class == CLASS_T;
    if (c->last == CLASS_T || c->last == CLASS_LVT) return class == CLASS_T;
    if (class == CLASS_CONSONANT && c->is_consonant && c->has_linker) return true;
    if (class == CLASS_PICTOGRAPH && c->is_pictograph_zwj) return true;
    return class == CLASS_REGIONAL && c->is_regional_odd;
}

size_t tandem__grapheme_len(const uint8_t *bytes, size_t len) {
    if (bytes[0] == '\r' && len > 1 && bytes[1] == '\n') return 2;
    if (bytes[0] < 0x80 && (len == 1 || bytes[1] < 0x80)) return 1;
    cluster c = {0};
    uint32_t code = 0;
    size_t at = tandem__utf8_decode(bytes, len, &code);
    take(&c, class_of(code));
    while (at < len) {
        const size_t step = tandem__utf8_decode(bytes + at, len - at, &code);
        const grapheme_class class = class_of(code);
        if (!joins(&c, class)) break;
        take(&c, class);
        at += step;
    }
    return at;
}
