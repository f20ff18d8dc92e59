/* SPDX-License-Identifier: Apache-2.0 */
/* Cohere's and Jina's rerank. */
#ifndef TANDEM_SERVER_ROUTES_COHERE_H
#define TANDEM_SERVER_ROUTES_COHERE_H

#include "server/ask.h"

server_read_function server_cohere_read;
server_write_function server_cohere_write;

#endif
