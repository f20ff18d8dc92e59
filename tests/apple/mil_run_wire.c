/* SPDX-License-Identifier: Apache-2.0 */
/* Varints and fields. Nothing is copied: strings point into the file. */
#include "apple/mil_run_wire.h"

#define VARINT_BYTES_MAX 10

tandem_status mil_run_varint(tandem_str *bytes, uint64_t *value, tandem_error *err) {
    uint64_t result = 0;
    for (unsigned i = 0; i < VARINT_BYTES_MAX && i < bytes->len; i++) {
        const uint8_t byte = (uint8_t)bytes->ptr[i];
        if (i == VARINT_BYTES_MAX - 1 && byte > 1) break;
        result |= (uint64_t)(byte & 127) << (7 * i);
        if (byte >= 128) continue;
        *value = result;
        bytes->ptr += i + 1;
        bytes->len -= i + 1;
        return TANDEM_OK;
    }
    return TANDEM_FAIL(err, FORMAT, "a number that does not end, or of over 64 bits");
}

static tandem_status check_field(mil_run_wire *at, unsigned kind, tandem_error *err) {
    const mil_run_message *message = at->message;
    for (int i = 0; i < message->field_count; i++) {
        const mil_run_wire_field *field = &message->fields[i];
        if (field->number != at->number) continue;
        if ((unsigned)field->kind != kind)
            return TANDEM_FAIL(err, FORMAT, "%s: field %u has wire type %u, expected %u",
                               message->name, at->number, kind, (unsigned)field->kind);
        if (!field->is_repeated && (at->seen & 1u << i) != 0)
            return TANDEM_FAIL(err, FORMAT, "%s: field %u is there twice", message->name,
                               at->number);
        at->seen |= 1u << i;
        return TANDEM_OK;
    }
    return TANDEM_FAIL(err, FORMAT, "%s: unknown field %u", message->name, at->number);
}

tandem_status mil_run_wire_next(mil_run_wire *at, bool *more, tandem_error *err) {
    *more = at->rest.len > 0;
    if (!*more) return TANDEM_OK;
    uint64_t key = 0;
    TANDEM_TRY(mil_run_varint(&at->rest, &key, err));
    at->number = (uint32_t)(key >> 3);
    if (key >> 3 > UINT32_MAX >> 3)
        return TANDEM_FAIL(err, FORMAT, "%s: a field number over 29 bits", at->message->name);
    TANDEM_TRY(check_field(at, key & 7, err));
    TANDEM_TRY(mil_run_varint(&at->rest, &at->value, err));
    if ((key & 7) == MIL_RUN_NUMBER) return TANDEM_OK;
    if (at->value > at->rest.len)
        return TANDEM_FAIL(err, FORMAT, "%s: field %u has %llu bytes of %zu", at->message->name,
                           at->number, (unsigned long long)at->value, at->rest.len);
    at->bytes = (tandem_str){at->rest.ptr, (size_t)at->value};
    at->rest.ptr += at->value;
    at->rest.len -= (size_t)at->value;
    return TANDEM_OK;
}
