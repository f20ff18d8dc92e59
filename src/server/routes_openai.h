/* SPDX-License-Identifier: Apache-2.0 */
/* OpenAI's routes. */
#ifndef TANDEM_SERVER_ROUTES_OPENAI_H
#define TANDEM_SERVER_ROUTES_OPENAI_H

#include "server/ask.h"

server_read_function server_openai_read, server_openai_read_lenient;
server_write_function server_openai_write;
server_answer_function server_models_answer, server_model_answer;

#endif
