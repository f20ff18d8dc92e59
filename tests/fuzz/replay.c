/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over folders of inputs, without libFuzzer: `fuzz_x FOLDER|FILE...`. Each
 * input is a heap block of exactly its size, so that AddressSanitizer sees a read past its end. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path) {
    tandem_map map = {0};
    tandem_error err = {0};
    if (tandem__file_map(path, &map, &err)) {
        (void)fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    uint8_t *copy = malloc(map.len ? map.len : 1);
    if (copy != NULL) {
        if (map.len > 0) memcpy(copy, map.bytes, map.len);
        (void)LLVMFuzzerTestOneInput(copy, map.len);
    }
    tandem__file_unmap(&map);
    free(copy);
    return copy == NULL;
}

/* Number of inputs replayed, -1 on failure. */
static int replay_folder(const char *path) {
    DIR *folder = opendir(path);
    if (folder == NULL) return replay_file(path) ? -1 : 1;
    int count = 0;
    for (const struct dirent *entry = readdir(folder); entry != NULL && count >= 0;
         entry = readdir(folder)) {
        char file[TANDEM_PATH_MAX];
        if (entry->d_name[0] == '.') continue;
        const int failed = tandem__path_join(path, entry->d_name, file, NULL) || replay_file(file);
        count = failed ? -1 : count + 1;
    }
    (void)closedir(folder);
    return count;
}

int main(int argc, char **argv) {
    int total = 0;
    for (int i = 1; i < argc; i++) {
        const int count = replay_folder(argv[i]);
        if (count <= 0) {
            (void)fprintf(stderr, "%s: no inputs replayed\n", argv[i]);
            return 1;
        }
        total += count;
    }
    (void)printf("%d inputs\n", total);
    return total == 0;
}
