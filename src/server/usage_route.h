/* SPDX-License-Identifier: Apache-2.0 */
/* GET /usage?by=day,tenant&since=2026-11-01&until=2026-11-30&tenant=acme
 *
 * A tenant sees its own usage; one whose tier is an admin's, and anybody where there are no keys,
 * sees all. The answer is that of `tandem usage --json`. It is read on a worker's thread, for half
 * a second at most: a longer question is refused with 503 and the advice to ask for fewer days. */
#ifndef TANDEM_SERVER_USAGE_ROUTE_H
#define TANDEM_SERVER_USAGE_ROUTE_H

#include "server/ask.h"

server_answer_function server_usage_answer;

#endif
