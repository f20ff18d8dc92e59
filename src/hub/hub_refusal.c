/* SPDX-License-Identifier: Apache-2.0 */
/* What the Hub's refusals mean to a user, and which of them are worth another try. */
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "hub/hub_http.h"

#define PAUSE_MAX_MS      16000
#define RETRY_AFTER_MAX_S 120 /* asked to wait longer, a user would rather know */

tandem_hub_retry tandem__hub_retry_start(const tandem_hub_settings *settings) {
    return (tandem_hub_retry){.left = settings->retries < 0 ? 0 : settings->retries,
                              .pause_ms = settings->pause_ms};
}

tandem_status tandem__hub_retry_wait(tandem_hub_retry *retry, tandem_hub_watch *watch,
                                     const tandem_hub_reply *reply, tandem_status failed,
                                     tandem_error *err) {
    if (!reply->is_transient || retry->left <= 0) return failed;
    if (reply->retry_after_s > RETRY_AFTER_MAX_S) return failed;
    int64_t pause_ms = retry->pause_ms;
    if (reply->retry_after_s > 0) pause_ms = 1000 * reply->retry_after_s;
    retry->left--;
    retry->pause_ms = 2 * retry->pause_ms < PAUSE_MAX_MS ? 2 * retry->pause_ms : PAUSE_MAX_MS;
    char why[80];
    if (reply->code >= 300)
        (void)snprintf(why, sizeof why, "%ld, again in %.1f s", reply->code,
                       (double)pause_ms / 1000.0);
    else
        (void)snprintf(why, sizeof why, "connection lost, again in %.1f s",
                       (double)pause_ms / 1000.0);
    tandem_error_clear(err);
    return tandem__hub_watch_sleep(watch, pause_ms, why, err);
}

/* 401 and 403: the Hub says RepoNotFound both for what does not exist and for what is private. */
static tandem_status refuse_person(const tandem_hub_settings *settings, const tandem_hub_name *name,
                                   const tandem_hub_reply *reply, tandem_error *err) {
    const char *hint = "give a token with HF_TOKEN";
    if (reply->has_token) hint = "the token that was given has no access";
    if (!reply->has_token && settings->token[0] != '\0') {
        hint = "the token was kept back, since the endpoint is not https";
    }
    if (strcmp(reply->error_code, "GatedRepo") == 0) {
        return TANDEM_FAIL(err, PERMISSION,
                           "model %s is gated: accept its conditions at %s/%s, then pull again; %s",
                           name->repo, settings->endpoint, name->repo, hint);
    }
    if (reply->code == 401 && !reply->has_token) {
        return TANDEM_FAIL(
            err, NOT_FOUND,
            "model %s: %s has none of this name that all may read; if it is private, "
            "%s",
            name->repo, settings->endpoint, hint);
    }
    return TANDEM_FAIL(err, PERMISSION, "model %s: %s answers %ld; %s", name->repo,
                       settings->endpoint, reply->code, hint);
}

static tandem_status refuse_missing(const tandem_hub_settings *settings,
                                    const tandem_hub_name *name, const char *what,
                                    const tandem_hub_reply *reply, tandem_error *err) {
    if (strcmp(reply->error_code, "RevisionNotFound") == 0) {
        return TANDEM_FAIL(err, NOT_FOUND, "model %s has no revision \"%s\"", name->repo,
                           name->revision);
    }
    if (what != NULL) {
        return TANDEM_FAIL(err, NOT_FOUND, "model %s: %s lists %s, but does not have it (404)",
                           name->repo, settings->endpoint, what);
    }
    return TANDEM_FAIL(
        err, NOT_FOUND, "model %s: %s has no model of this name%s", name->repo, settings->endpoint,
        strcmp(name->revision, TANDEM_HUB_DEFAULT_REVISION) == 0 ? ""
                                                                 : ", or not this revision of it");
}

tandem_status tandem__hub_refusal(const tandem_hub_settings *settings, const tandem_hub_name *name,
                                  const char *what, const tandem_hub_reply *reply,
                                  tandem_error *err) {
    const char *thing = what == NULL ? "its list of files" : what;
    if (reply->code == 401 || reply->code == 403) return refuse_person(settings, name, reply, err);
    if (reply->code == 404) return refuse_missing(settings, name, what, reply, err);
    if (reply->retry_after_s > 0) {
        return TANDEM_FAIL(err, IO, "model %s, %s: %s answers %ld and asks to wait %lld s",
                           name->repo, thing, settings->endpoint, reply->code,
                           (long long)reply->retry_after_s);
    }
    return TANDEM_FAIL(err, IO, "model %s, %s: %s answers %ld", name->repo, thing,
                       settings->endpoint, reply->code);
}
