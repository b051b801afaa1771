/* Rows of a sparse matrix, and its transposition, in time that grows with its entries alone: nothing is sorted. */
#include <stdint.h>
#include <string.h>

/* Rows one after the other, the columns of each moved by its shift; `to_pointer` [count + 1] says where each goes. */
void select_rows(const int64_t *pointer, const int64_t *column, const float *value, const int64_t *rows, int64_t count,
                 const int64_t *shift, const int64_t *to_pointer, int64_t *to_column, float *to_value) {
    for (int64_t row = 0; row < count; row++) {
        const int64_t from = pointer[rows[row]], to = to_pointer[row], entries = to_pointer[row + 1] - to;
        for (int64_t at = 0; at < entries; at++)
            to_column[to + at] = column[from + at] + shift[row];
        memcpy(to_value + to, value + from, entries * sizeof *value);
    }
}

/* The entries by column, then row, then their order: t_pointer [columns + 1], t_row and order [entries]. */
void transpose(const int64_t *pointer, const int64_t *column, int64_t rows, int64_t columns, int64_t *t_pointer,
               int64_t *t_row, int64_t *order) {
    memset(t_pointer, 0, (columns + 1) * sizeof *t_pointer);
    for (int64_t entry = 0; entry < pointer[rows]; entry++)
        t_pointer[column[entry] + 1]++;
    for (int64_t at = 0; at < columns; at++)
        t_pointer[at + 1] += t_pointer[at];
    for (int64_t row = 0; row < rows; row++)
        for (int64_t entry = pointer[row]; entry < pointer[row + 1]; entry++) {
            const int64_t to = t_pointer[column[entry]]++;
            t_row[to] = row;
            order[to] = entry;
        }
    /* Each column has moved on to where the next one begins. */
    memmove(t_pointer + 1, t_pointer, columns * sizeof *t_pointer);
    t_pointer[0] = 0;
}
