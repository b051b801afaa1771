/* Rows that are equal, found by their hashes and compared in full: colours, numbered in the order of their first rows.

   `hashed` [rows] and `table` [slots, a power of two above rows] are room to work in; `bits` of a hash are used. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline uint64_t mixed(uint64_t number) {
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9u;
    number = (number ^ number >> 27) * 0x94D049BB133111EBu;
    return number ^ number >> 31;
}

static int ascending(const void *left, const void *right) {
    const uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static inline void sorted(uint64_t *entry, int64_t count) {
    if (count > 24) {
        qsort(entry, count, sizeof *entry, ascending);
        return;
    }
    for (int64_t at = 1; at < count; at++) {
        const uint64_t moved = entry[at];
        int64_t to = at;
        for (; to > 0 && entry[to - 1] > moved; to--)
            entry[to] = entry[to - 1];
        entry[to] = moved;
    }
}

/* The place of a row in the table: of the colour that `same` says it has, or the first free one. */
#define FIND(row, hash, same)                                                                                          \
    uint64_t slot = (hash) & last;                                                                                     \
    int64_t colour;                                                                                                    \
    while ((colour = table[slot]) >= 0 && !(hashed[colour] == (hash) && (same)))                                       \
        slot = (slot + 1) & last;                                                                                      \
    if (colour < 0) {                                                                                                  \
        colour = table[slot] = count++;                                                                                \
        hashed[colour] = (hash);                                                                                       \
        first[colour] = (row);                                                                                         \
    }                                                                                                                  \
    of_row[row] = colour

/* Rows of words [rows, width] that are equal. */
void equal_rows(const uint32_t *words, int64_t rows, int64_t width, int bits, uint64_t *hashed, int64_t *table,
                int64_t slots, int64_t *of_row, int64_t *first, int64_t *colours) {
    const uint64_t last = slots - 1, kept = bits < 64 ? ((uint64_t)1 << bits) - 1 : ~(uint64_t)0;
    int64_t count = 0;
    memset(table, 0xFF, slots * sizeof *table);
    for (int64_t row = 0; row < rows; row++) {
        const uint32_t *here = words + row * width;
        uint64_t hash = 0;
        for (int64_t at = 0; at < width; at++)
            hash = mixed(hash + here[at] + 0x9E3779B97F4A7C15u);
        hash &= kept;
        FIND(row, hash, !memcmp(here, words + first[colour] * width, width * sizeof *here));
    }
    *colours = count;
}

/* Rows of one own colour whose entries have the same values at columns of the same colours, as often; `entry` [entries]
   is room to work in. A column is one of `tables` places of a row. */
void refine(const int32_t *pointer, const int32_t *column, const uint32_t *value, int64_t rows, int64_t tables,
            const int64_t *own, const int64_t *read, int bits, uint64_t *entry, uint64_t *hashed, int64_t *table,
            int64_t slots, int64_t *of_row, int64_t *first, int64_t *colours) {
    const uint64_t last = slots - 1, kept = bits < 64 ? ((uint64_t)1 << bits) - 1 : ~(uint64_t)0;
    int64_t count = 0;
    memset(table, 0xFF, slots * sizeof *table);
    for (int64_t row = 0; row < rows; row++) {
        const int64_t begin = pointer[row], length = pointer[row + 1] - begin;
        uint64_t hash = mixed(own[row]), *here = entry + begin;
        for (int64_t at = 0; at < length; at++) {
            const int64_t from = column[begin + at];
            const uint64_t colour = tables == 1 ? read[from] : read[from / tables] * tables + from % tables;
            here[at] = colour << 32 | value[begin + at];
        }
        sorted(here, length);
        for (int64_t at = 0; at < length; at++)
            hash = mixed(hash + here[at]);
        hash &= kept;
#define LENGTH (pointer[first[colour] + 1] - pointer[first[colour]])
        FIND(row, hash,
             own[first[colour]] == own[row] && LENGTH == length &&
                 !memcmp(here, entry + pointer[first[colour]], length * sizeof *here));
    }
    *colours = count;
}
