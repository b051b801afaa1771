/* HGP-SL's pooling of many graphs: the best nodes of each graph, and the edges learned between them. Sums are made in
   the order in which PyTorch makes them, since a last digit may decide which nodes the next pooling keeps. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define HOPS 4

/* Merge runs that are sorted by descending key, where of equal ones the left comes first. */
static void merge(const int32_t *key, const int64_t *left, int64_t lefts, const int64_t *right, int64_t rights,
                  int64_t *out) {
    while (lefts && rights)
        if (key[*right] > key[*left])
            *out++ = *right++, rights--;
        else
            *out++ = *left++, lefts--;
    memcpy(out, lefts ? left : right, (lefts + rights) * sizeof(int64_t));
}

/* chosen [kept_pointer[graphs]] = the nodes with the highest scores of each graph, best first, equal ones in their order.
   Scores are not negative, so that their bits are ordered as they are. Returns 0, or 1 where memory is lacking. */
int best_nodes(const int32_t *score, const int64_t *node_pointer, const int64_t *kept_pointer, int64_t graphs,
               int64_t *chosen) {
    const int64_t nodes = node_pointer[graphs];
    int64_t *order = malloc((2 * nodes + 1) * sizeof(int64_t));
    if (!order)
        return 1;
    int64_t *other = order + nodes;
    for (int64_t graph = 0; graph < graphs; graph++) {
        const int64_t first = node_pointer[graph], size = node_pointer[graph + 1] - first;
        for (int64_t node = 0; node < size; node++)
            order[node] = first + node;
        for (int64_t run = 1; run < size; run *= 2) {
            for (int64_t at = 0; at < size; at += 2 * run) {
                const int64_t middle = at + run < size ? at + run : size, end = middle + run < size ? middle + run : size;
                merge(score, order + at, middle - at, order + middle, end - middle, other + at);
            }
            memcpy(order, other, size * sizeof(int64_t));
        }
        memcpy(chosen + kept_pointer[graph], order, (kept_pointer[graph + 1] - kept_pointer[graph]) * sizeof(int64_t));
    }
    free(order);
    return 0;
}

/* What is read and written while edges are learned. */
struct search {
    /* The edges that leave each node with what they add to a score, and the number of a chosen node, -1 for others. */
    int32_t *start, *target, *number;
    float *weight;
    /* The nodes within reach, and the source that last reached each; who may be a target, and where each chosen stands. */
    int32_t *reached, *by, *place, *where;
    float *score;
    /* One for each chosen node, all 0 between two sources. */
    uint64_t *bits;
};

static void turn(const int32_t *pointer, const int32_t *column, const float *value, int64_t nodes, float structure,
                 struct search *s) {
    for (int32_t entry = 0; entry < pointer[nodes]; entry++)
        s->start[column[entry] + 2]++;
    for (int64_t node = 0; node < nodes; node++)
        s->start[node + 2] += s->start[node + 1];
    for (int64_t row = 0; row < nodes; row++)
        for (int32_t entry = pointer[row]; entry < pointer[row + 1]; entry++) {
            const int32_t place = s->start[column[entry] + 1]++;
            s->target[place] = (int32_t)row;
            s->weight[place] = structure * value[entry];
        }
}

/* How many nodes a walk of at most HOPS edges reaches from a node, itself first. */
static int32_t walk(int32_t node, const struct search *s) {
    const int32_t *const start = s->start, *const targets = s->target;
    int32_t *const reached = s->reached, *const by = s->by;
    int32_t count = 1, done = 0;
    reached[0] = node, by[node] = node;
    for (int hop = 0; hop < HOPS; hop++)
        for (const int32_t end = count; done < end; done++) {
            const int32_t last = start[reached[done] + 1];
            for (int32_t edge = start[reached[done]]; edge < last; edge++) {
                /* Written always and counted where it is new: half are, which a processor cannot guess. */
                const int32_t target = targets[edge];
                reached[count] = target;
                count += by[target] != node;
                by[target] = node;
            }
        }
    return count;
}

/* How many chosen nodes within reach of a source have another score than 0; who they are, and the scores. */
static int32_t candidates(int32_t source, const float *halves, float slope, struct search *s) {
    const int32_t reached = walk(source, s);
    const float own = halves[2 * s->number[source]];
    int32_t count = 0, left = 0, least = s->number[source], most = least;
    for (int32_t at = 0; at < reached; at++) {
        const int32_t number = s->number[s->reached[at]];
        if (number >= 0) {
            s->bits[number / 64] |= (uint64_t)1 << number % 64;
            least = number < least ? number : least, most = number > most ? number : most;
        }
    }
    for (int32_t word = least / 64; word <= most / 64; s->bits[word++] = 0)
        for (uint64_t bits = s->bits[word]; bits; bits &= bits - 1)
            s->place[count++] = 64 * word + __builtin_ctzll(bits);
    for (int32_t at = 0; at < count; at++) {
        const float score = own + halves[2 * s->place[at] + 1];
        s->score[at] = score > 0.0f ? score : score * slope;
        s->where[s->place[at]] = at;
    }
    for (int32_t edge = s->start[source]; edge < s->start[source + 1]; edge++)
        if (s->number[s->target[edge]] >= 0)
            s->score[s->where[s->number[s->target[edge]]]] += s->weight[edge];
    for (int32_t at = 0; at < count; at++)
        if (s->score[at] != 0.0f)
            s->place[left] = s->place[at], s->score[left++] = s->score[at];
    return left;
}

static int32_t above(float threshold, int32_t *place, float *score, int32_t count) {
    int32_t left = 0;
    for (int32_t at = 0; at < count; at++)
        if (score[at] - threshold > 0.0f)
            place[left] = place[at], score[left++] = score[at];
    return left;
}

/* The support of the sparsemax of some scores, whose weights take their place; Michelot's algorithm. */
static int32_t sparsemax(int32_t *place, float *score, int32_t count) {
    float largest = -__builtin_inff(), threshold = -1.0f;
    for (int32_t at = 0; at < count; at++)
        largest = score[at] > largest || score[at] != score[at] ? score[at] : largest;
    for (int32_t at = 0; at < count; at++)
        score[at] -= largest;
    count = above(threshold, place, score, count);
    for (int32_t before = -1; before != count;) {
        float sum = 0.0f;
        for (int32_t at = 0; at < count; at++)
            sum += score[at];
        threshold = (sum - 1.0f) / (float)count;
        before = count, count = above(threshold, place, score, count);
    }
    for (int32_t at = 0; at < count; at++)
        score[at] -= threshold;
    return count;
}

/* The edges that `kept` chosen nodes learn, as a matrix (kept, kept) with targets as rows. A node's are the sparsemax of
   LeakyReLU(halves[source][0] + halves[target][1]) + structure * weight of the edge there is, over the chosen nodes
   within HOPS; a score of exactly 0 is none. Returns how many there are; only up to `capacity` they are written. -1
   where memory is lacking. */
int64_t learn_edges(const int32_t *pointer, const int32_t *column, const float *value, int64_t nodes,
                    const int64_t *chosen, int64_t kept, const float *halves, float slope, float structure,
                    int32_t *out_pointer, int32_t *out_column, float *out_value, int64_t capacity) {
    const int64_t entries = pointer[nodes];
    const int64_t words = kept / 64 + 1;
    uint64_t *memory = calloc(words + (4 * nodes + 3 + 2 * entries + 3 * kept + 3 * capacity + 1) / 2, sizeof(uint64_t));
    if (!memory)
        return -1;
    struct search s;
    s.bits = memory, s.start = (int32_t *)(memory + words), s.number = s.start + nodes + 2, s.reached = s.number + nodes, s.by = s.reached + nodes + 1;
    s.target = s.by + nodes, s.weight = (float *)(s.target + entries), s.place = (int32_t *)(s.weight + entries);
    s.where = s.place + kept, s.score = (float *)(s.where + kept);
    int32_t *const from = (int32_t *)(s.score + kept), *const to = from + capacity;
    float *const weight = (float *)(to + capacity);
    turn(pointer, column, value, nodes, structure, &s);
    memset(s.number, -1, nodes * sizeof(int32_t));
    memset(s.by, -1, nodes * sizeof(int32_t));
    memset(out_pointer, 0, (kept + 1) * sizeof(int32_t));
    for (int32_t number = 0; number < kept; number++)
        s.number[chosen[number]] = number;
    int64_t edges = 0;
    for (int32_t source = 0; source < kept; source++) {
        const int32_t some = candidates((int32_t)chosen[source], halves, slope, &s);
        const int32_t count = sparsemax(s.place, s.score, some);
        for (int32_t at = 0; at < count; at++, edges++)
            if (edges < capacity)
                from[edges] = source, to[edges] = s.place[at], weight[edges] = s.score[at];
    }
    if (edges <= capacity) {
        for (int64_t edge = 0; edge < edges; edge++)
            out_pointer[to[edge] + 1]++;
        for (int64_t row = 0; row < kept; row++)
            out_pointer[row + 1] += out_pointer[row];
        /* Sources ascend, so that those of a row do as well. */
        memcpy(s.where, out_pointer, kept * sizeof(int32_t));
        for (int64_t edge = 0; edge < edges; edge++) {
            const int32_t place = s.where[to[edge]]++;
            out_column[place] = from[edge], out_value[place] = weight[edge];
        }
    }
    free(memory);
    return edges;
}
