/* SPDX-License-Identifier: Apache-2.0 */
/* GET /usage?by=day,tenant&since=2026-11-01&until=2026-11-30&tenant=acme
 *
 * A tenant sees its own usage; one whose tier is an admin's, and anybody where there are no keys,
 * sees all. The answer is that of `tandem usage --json`. Reading takes some milliseconds at most: a
 * question that takes longer is refused with 503 and the advice to ask for fewer days. */
#ifndef TANDEM_SERVER_USAGE_ROUTE_H
#define TANDEM_SERVER_USAGE_ROUTE_H

#include "server/ask.h"

server_answer_function server_usage_answer;

#endif
