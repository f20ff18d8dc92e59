/* SPDX-License-Identifier: Apache-2.0 */
/* Whether this server can do what it is for. */
#ifndef TANDEM_SERVER_HEALTH_H
#define TANDEM_SERVER_HEALTH_H

#include "server/ask.h"

/* GET /ready: 200 while every model has computed something within the last half minute, a request
 * or a probe, and the server does not drain; else 503 with what is wrong. A ledger or
 * a file of keys that is at fault is named beside. */
server_answer_function server_ready_answer;

#endif
