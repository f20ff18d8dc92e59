/* SPDX-License-Identifier: Apache-2.0 */
/* GET /openapi.json: the document of every route, as this server serves them.
 *
 * openapi.json is its text but for what depends on the models: a string "@name" there stands for a
 * value that is filled in, such as the names of the models for a task or the most texts that a
 * request may have. So a client that generates requests from the document is told what is true of
 * this server. */
#ifndef TANDEM_SERVER_ROUTES_OWN_H
#define TANDEM_SERVER_ROUTES_OWN_H

#include "server/ask.h"

server_answer_function server_openapi_answer;

#endif
