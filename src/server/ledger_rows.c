/* SPDX-License-Identifier: Apache-2.0 */
#include "server/ledger_rows.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

#define SLOTS       (2 * (size_t)SERVER_LEDGER_ROWS)
#define ROWS_SPARED 256 /* for "(other)": classes, outcomes and a few prices */

_Static_assert((SLOTS & (SLOTS - 1)) == 0, "slots are masked");
_Static_assert(sizeof(server_ledger_key) ==
                   16 + SERVER_NAME_BYTES + SERVER_LEDGER_MODEL_BYTES + SERVER_LEDGER_LANE_BYTES,
               "keys have no padding");

bool server_ledger_rows_init(server_ledger_rows *rows) {
    *rows = (server_ledger_rows){.count = 0};
    rows->rows = tandem__mem_alloc_sparse(SERVER_LEDGER_ROWS * sizeof *rows->rows);
    rows->slots = tandem__mem_alloc_sparse(SLOTS * sizeof *rows->slots);
    if (rows->rows != NULL && rows->slots != NULL) return true;
    server_ledger_rows_deinit(rows);
    return false;
}

void server_ledger_rows_deinit(server_ledger_rows *rows) {
    if (rows->rows != NULL)
        tandem__mem_free_sparse(rows->rows, SERVER_LEDGER_ROWS * sizeof *rows->rows);
    if (rows->slots != NULL) tandem__mem_free_sparse(rows->slots, SLOTS * sizeof *rows->slots);
    *rows = (server_ledger_rows){.count = 0};
}

/* The end of `text`, which tells paths apart; at a character's start. `out` is zero. */
static void put_text(char *out, size_t size, const char *text) {
    if (text == NULL) return;
    size_t len = strlen(text);
    if (len >= size) {
        text += len - (size - 1);
        while (((uint8_t)*text & 0xc0) == 0x80) text++;
        len = strlen(text);
    }
    memcpy(out, text, len);
}

static size_t hash_of(const server_ledger_key *key) {
    const uint8_t *bytes = (const uint8_t *)key;
    uint64_t hash = UINT64_C(0x9e3779b97f4a7c15);
    for (size_t i = 0; i < sizeof *key; i += sizeof(uint64_t)) {
        uint64_t word = 0;
        memcpy(&word, bytes + i, sizeof word);
        hash = (hash ^ word) * UINT64_C(0xff51afd7ed558ccd); /* MurmurHash3's finaliser */
        hash ^= hash >> 32;
    }
    return (size_t)hash;
}

/* The row of that key, made if there are fewer than `limit`; else NULL. */
static server_ledger_row *find(server_ledger_rows *rows, const server_ledger_key *key,
                               size_t limit) {
    size_t at = hash_of(key) & (SLOTS - 1);
    for (; rows->slots[at] != 0; at = (at + 1) & (SLOTS - 1)) {
        server_ledger_row *row = &rows->rows[rows->slots[at] - 1];
        if (memcmp(&row->key, key, sizeof *key) == 0) return row;
    }
    if (rows->count >= limit) return NULL;
    server_ledger_row *row = &rows->rows[rows->count++];
    rows->slots[at] = (uint32_t)rows->count;
    *row = (server_ledger_row){.key = *key};
    return row;
}

bool server_ledger_rows_add(server_ledger_rows *rows, const server_usage *usage, int32_t day) {
    TANDEM_ASSERT(usage->outcome < SERVER_OUTCOMES);
    TANDEM_ASSERT(usage->lane_class < SERVER_CLASSES);
    server_ledger_key key;
    memset(&key, 0, sizeof key);
    key.price = usage->price;
    key.day = day;
    key.lane_class = (uint16_t)usage->lane_class;
    key.outcome = (uint16_t)usage->outcome;
    put_text(key.tenant, sizeof key.tenant, usage->tenant);
    put_text(key.model, sizeof key.model, usage->model);
    put_text(key.lane, sizeof key.lane, usage->lane);
    rows->requests += (uint64_t)usage->requests;
    server_ledger_row *row = find(rows, &key, SERVER_LEDGER_ROWS - ROWS_SPARED);
    const bool is_own = row != NULL;
    if (!is_own) {
        memset(key.tenant, 0, sizeof key.tenant);
        memset(key.model, 0, sizeof key.model);
        memset(key.lane, 0, sizeof key.lane);
        put_text(key.tenant, sizeof key.tenant, "(other)");
        put_text(key.model, sizeof key.model, "(other)");
        row = find(rows, &key, SERVER_LEDGER_ROWS - 1);
    }
    if (row == NULL) { /* a row for whatever else: its sums stay true, its price does not */
        key.price = 0;
        key.day = 0;
        key.lane_class = SERVER_CLASS_NONE;
        key.outcome = SERVER_OUTCOME_ANSWERED;
        row = find(rows, &key, SERVER_LEDGER_ROWS);
        TANDEM_ASSERT(row != NULL);
    }
    row->requests += usage->requests;
    row->texts += usage->texts;
    row->tokens += usage->tokens;
    row->cached_texts += usage->cached_texts;
    return is_own;
}

void server_ledger_rows_clear(server_ledger_rows *rows) {
    memset(rows->slots, 0, SLOTS * sizeof *rows->slots);
    rows->count = 0;
    rows->requests = 0;
}
