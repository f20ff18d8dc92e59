/* SPDX-License-Identifier: Apache-2.0 */
/* The Open Inference Protocol (KServe v2), with the binary tensor extension, as Triton's HTTP
 * server speaks it. */
#ifndef TANDEM_SERVER_KSERVE_H
#define TANDEM_SERVER_KSERVE_H

#include "server/ask.h"

/* One input tensor. Its elements are in the JSON body or follow it. */
typedef struct kserve_tensor {
    const char *field;       /* "inputs[0]", for errors */
    tandem_str name;         /* "text" */
    tandem_str datatype;     /* "BYTES" */
    size_t rows;             /* the shape's first number */
    size_t count;            /* product of the shape */
    const tandem_json *data; /* NULL: the elements are in `bytes` */
    tandem_str bytes;
} kserve_tensor;

#define KSERVE_TENSORS_MAX 4

/* ask->own of an inference. */
typedef struct kserve_own {
    tandem_str id;
    bool has_id;
    bool is_binary; /* the answer's tensor follows its JSON */
    kserve_tensor tensors[KSERVE_TENSORS_MAX];
    size_t tensor_count;
} kserve_own;

/* The tensors of `body.inputs`, whose binary parts are the bytes after the JSON, in order. */
tandem_status kserve_tensors_read(server_ask *ask, const tandem_json *body, tandem_str binary,
                                  tandem_error *err) TANDEM_NODISCARD;

/* BYTES elements, in the ask's arena, pointing to the body. */
tandem_status kserve_texts(server_ask *ask, const kserve_tensor *tensor, tandem_text **texts,
                           tandem_error *err) TANDEM_NODISCARD;

/* INT32 or INT64 elements. */
tandem_status kserve_ints(server_ask *ask, const kserve_tensor *tensor, int64_t **values,
                          tandem_error *err) TANDEM_NODISCARD;

/* The path's model and version, into ask->model. */
tandem_status kserve_model(server_ask *ask, tandem_error *err) TANDEM_NODISCARD;

/* The name of the model's output, and its columns. */
const char *kserve_output(const server_model *model, int32_t *columns);

server_read_bytes_function kserve_infer_read;
server_write_function kserve_infer_write;
server_answer_function kserve_server_answer, kserve_live_answer, kserve_ready_answer,
    kserve_model_answer, kserve_model_ready_answer, kserve_config_answer, kserve_stats_answer,
    kserve_index_answer;

#endif
