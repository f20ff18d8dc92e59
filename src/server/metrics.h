/* SPDX-License-Identifier: Apache-2.0 */
/* What people and programs look at: GET /metrics, GET /lanes, and the page at GET /. Rows of
 * the route table name the three. */
#ifndef TANDEM_SERVER_METRICS_H
#define TANDEM_SERVER_METRICS_H

#include "server/ask.h"
#include "server/overview.h"
#include "server/prometheus.h"

/* GET /metrics: Prometheus' text format 0.0.4, Text Embeddings Inference's names and ours. */
server_answer_function server_metrics_answer;

/* GET /lanes: every lane of every model, what waits, the targets, memory, heat, last decisions. */
server_answer_function server_lanes_answer;

/* GET /: the page that draws what GET /lanes says, whole in itself. */
server_answer_function server_dashboard_answer;

/* The half of GET /metrics that has Text Embeddings Inference's names. */
void server_metrics_tei(server_prom *prom, const server_overview *overview);

#endif
