/* SPDX-License-Identifier: Apache-2.0 */
/* Names, the cache folder's variables in their order, refs; and that no name leaves the cache. */
#include "base/hub_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void test_names(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *repo;
        const char *revision;
    } good[] = {
        {"all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2", "main"},
        {"BAAI/bge-small-en-v1.5", "BAAI/bge-small-en-v1.5", "main"},
        {"a/b@v1.0", "a/b", "v1.0"},
        {"a/b@refs/pr/1", "a/b", "refs/pr/1"},
        {"_o/_m", "_o/_m", "main"},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        tandem_hub_name name;
        assert_int_equal(tandem__hub_name_parse(good[i].text, &name, NULL), TANDEM_OK);
        assert_string_equal(name.repo, good[i].repo);
        assert_string_equal(name.revision, good[i].revision);
    }
    static const char *const bad[] = {
        "",         "/",      "a/",     "/a",       "a/b/c",   "../b",       "a/..",
        "a..b/c",   "a--b/c", ".a/b",   "a/b.",     "a b/c",   "a\\b/c",     "a/b@",
        "a/b@..",   "a/b@/x", "a/b@x/", "a/b@x//y", "a/b@.x",  "a/b@x/.y",   "a/b@x y",
        "a/b@x\ny", "a/b@x^", "-a/b",   "a/b@c@d",  "./model", "\xc3\xa9/b",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        tandem_hub_name name;
        tandem_error err = {0};
        if (tandem__hub_name_parse(bad[i], &name, &err) != TANDEM_INVALID) {
            fail_msg("\"%s\" was taken as a name", bad[i]);
        }
        assert_non_null(strstr(err.message, "expected"));
    }
    char longest[300];
    memset(longest, 'x', sizeof longest);
    longest[97] = '\0';
    tandem_hub_name name;
    assert_int_equal(tandem__hub_name_parse(longest, &name, NULL), TANDEM_INVALID);
    longest[96] = '\0';
    assert_int_equal(tandem__hub_name_parse(longest, &name, NULL), TANDEM_OK);
}

static void expect_cache(const char *expected) {
    char folder[TANDEM_PATH_MAX];
    tandem_error err = {0};
    assert_int_equal(tandem__hub_cache_folder(folder, &err), TANDEM_OK);
    assert_string_equal(folder, expected);
}

static void test_cache_folder(void **state) {
    (void)state;
    static const char *const variables[] = {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME",
                                            "XDG_CACHE_HOME"};
    for (size_t i = 0; i < 4; i++) assert_int_equal(unsetenv(variables[i]), 0);
    assert_int_equal(setenv("HOME", "/h", 1), 0);
    expect_cache("/h/.cache/huggingface/hub");
    assert_int_equal(setenv("XDG_CACHE_HOME", "/x", 1), 0);
    expect_cache("/x/huggingface/hub");
    assert_int_equal(setenv("HF_HOME", "~/y", 1), 0);
    expect_cache("/h/y/hub");
    assert_int_equal(setenv("HUGGINGFACE_HUB_CACHE", "/old", 1), 0);
    expect_cache("/old");
    assert_int_equal(setenv("HF_HUB_CACHE", "", 1), 0); /* empty counts as not set */
    expect_cache("/old");
    assert_int_equal(setenv("HF_HUB_CACHE", "/new", 1), 0);
    expect_cache("/new");
    static char wide[TANDEM_PATH_MAX + 10];
    memset(wide, 'w', sizeof wide - 1);
    char folder[TANDEM_PATH_MAX];
    assert_int_equal(setenv("HF_HUB_CACHE", wide, 1), 0);
    assert_int_equal(tandem__hub_cache_folder(folder, NULL), TANDEM_CAPACITY);
    for (size_t i = 0; i < 4; i++) assert_int_equal(unsetenv(variables[i]), 0);
    assert_int_equal(unsetenv("HOME"), 0);
    assert_int_equal(tandem__hub_cache_folder(folder, NULL), TANDEM_NOT_FOUND);
}

static void test_refs(void **state) {
    (void)state;
    char root[] = "/tmp/tandem_hub_cache_XXXXXX";
    assert_non_null(mkdtemp(root));
    char folder[TANDEM_PATH_MAX];
    char path[TANDEM_PATH_MAX];
    char commit[TANDEM_HUB_NAME_MAX];
    assert_int_equal(tandem__hub_repo_folder(root, "o/m", folder, NULL), TANDEM_OK);
    assert_string_equal(strrchr(folder, '/'), "/models--o--m");
    assert_int_equal(tandem__hub_read_ref(folder, "abc123", commit, NULL), TANDEM_OK);
    assert_string_equal(commit, "abc123"); /* no such ref: perhaps a commit */
    assert_int_equal(mkdir(folder, 0755), 0);
    assert_int_equal(tandem__path_join(folder, "refs", path, NULL), TANDEM_OK);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(tandem__path_join(folder, "refs/main", path, NULL), TANDEM_OK);
    assert_int_equal(tandem__file_write(path, "c0ffee\n", 7, NULL), TANDEM_OK);
    assert_int_equal(tandem__hub_read_ref(folder, "main", commit, NULL), TANDEM_OK);
    assert_string_equal(commit, "c0ffee");
    assert_int_equal(tandem__file_write(path, "../../../etc", 12, NULL), TANDEM_OK);
    tandem_error err = {0};
    assert_int_equal(tandem__hub_read_ref(folder, "main", commit, &err), TANDEM_FORMAT);
    assert_non_null(strstr(err.message, "holds no commit"));
    assert_int_equal(unlink(path), 0);
    *strrchr(path, '/') = '\0';
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(rmdir(root), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_cache_folder),
        cmocka_unit_test(test_refs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
