// Attention of one query over chosen tokens: token by token in ascending order, all heads of a
// token together, in blocks that stay in the cache between keys and values.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "decode.h"

namespace {

constexpr int LANES = 16;
constexpr int BLOCK = 32;  // tokens whose logits are held at a time

typedef uint32_t words __attribute__((vector_size(4 * LANES)));
typedef int32_t ints __attribute__((vector_size(4 * LANES)));

// 32 bfloat16 as two vectors: the even places, and the odd ones. Queries and sums are kept in
// this order too, so that nothing has to be moved across lanes.
struct Pair {
  floats even, odd;
};

inline Pair widen(const uint16_t* at) {
  words both;
  std::memcpy(&both, at, sizeof both);
  return {(floats)(both << 16), (floats)(both & 0xFFFF0000u)};
}

inline floats load(const float* at) {
  floats some;
  std::memcpy(&some, at, sizeof some);
  return some;
}

// Lanes of a and b in turns of HALF, from those that begin at OFFSET in each 2·HALF.
template <int HALF, int OFFSET, int... I>
inline floats turns(floats a, floats b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(
      a, b, (I / (2 * HALF) * 2 * HALF + I % HALF + (I / HALF % 2 ? LANES : 0) + OFFSET)...);
}

template <int HALF>
inline floats fold(floats a, floats b) {
  constexpr std::make_integer_sequence<int, LANES> all{};
  return turns<HALF, 0>(a, b, all) + turns<HALF, HALF>(a, b, all);
}

// Sums of four vectors, four times over.
inline floats totals(floats a, floats b, floats c, floats d) {
  const floats four = fold<2>(fold<1>(a, b), fold<1>(c, d));
  const floats eight = fold<4>(four, four);
  return fold<8>(eight, eight);
}

inline float total(floats x) { return totals(x, x, x, x)[0]; }

inline float highest(floats x) {
  float most = x[0];
  for (int i = 1; i < LANES; i++) most = std::max(most, x[i]);
  return most;
}

// e^x for x ≤ 0 to about 1e-7: 2^n by its bits, the rest by a polynomial (Cephes' expf).
inline floats exponential(floats x) {
  x = x < -87.0f ? -87.0f + floats{} : x;
  const floats shifted = x * 1.44269504f + 12582912.0f;  // rounds to the nearest integer
  const floats n = shifted - 12582912.0f;
  const floats rest = x - n * 0.693359375f + n * 2.12194440e-4f;
  floats y = rest * 1.9875691500e-4f + 1.3981999507e-3f;
  y = y * rest + 8.3334519073e-3f;
  y = y * rest + 4.1665795894e-2f;
  y = y * rest + 1.6666665459e-1f;
  y = y * rest + 5.0000001201e-1f;
  y = y * rest * rest + rest + 1.0f;
  return (floats)((ints)y + (__builtin_convertvector(n, ints) << 23));
}

const uint16_t* row(const Request& r, int token) {
  const size_t bytes = size_t(2) * r.G * r.D;
  return r.kv + (size_t(r.table[token / PAGE]) * PAGE + token % PAGE) * bytes;
}

void fetch(const Request& r, int token) {
  const char* at = reinterpret_cast<const char*>(row(r, token));
  for (int line = 0; line < 4 * r.G * r.D; line += 64) __builtin_prefetch(at + line, 0, 2);
}

// logit[h][t] of HEADS heads that share a key.
template <int HEADS>
void look(const Request& r, const uint16_t* key, const float* q, float* logit) {
  floats sum[4] = {};
  for (int d = 0; d < r.D; d += 2 * LANES) {
    const Pair k = widen(key + d);
    for (int h = 0; h < HEADS; h++) {
      sum[h] += k.even * load(q + h * r.D + d);
      sum[h] += k.odd * load(q + h * r.D + d + LANES);
    }
  }
  const floats all = totals(sum[0], sum[1], sum[2], sum[3]);
  for (int h = 0; h < HEADS; h++) logit[h * BLOCK] = all[h] * r.scale;
}

// out[h] += Σ_t weight[h][t] · value[t], in steps of WIDE pairs.
template <int HEADS, int WIDE>
void gather(const Request& r, const uint16_t* const* value, int count, const float* weight,
            float* out) {
  for (int d = 0; d < r.D; d += 2 * WIDE * LANES) {
    floats sum[HEADS][2 * WIDE];
    for (int h = 0; h < HEADS; h++)
      for (int i = 0; i < 2 * WIDE; i++) sum[h][i] = load(out + h * r.D + d + i * LANES);
    for (int t = 0; t < count; t++) {
      Pair v[WIDE];
      for (int i = 0; i < WIDE; i++) v[i] = widen(value[t] + d + 2 * i * LANES);
      for (int h = 0; h < HEADS; h++)
        for (int i = 0; i < WIDE; i++) {
          sum[h][2 * i] += weight[h * BLOCK + t] * v[i].even;
          sum[h][2 * i + 1] += weight[h * BLOCK + t] * v[i].odd;
        }
    }
    for (int h = 0; h < HEADS; h++)
      for (int i = 0; i < 2 * WIDE; i++)
        std::memcpy(out + h * r.D + d + i * LANES, &sum[h][i], sizeof(floats));
  }
}

// Calls body<n>(first head) for the heads of one key head, at most four at a time.
template <class Body>
void by_fours(int heads, Body body) {
  int head = 0;
  for (; head + 4 <= heads; head += 4) body.template operator()<4>(head);
  if (heads - head == 3) body.template operator()<3>(head);
  if (heads - head == 2) body.template operator()<2>(head);
  if (heads - head == 1) body.template operator()<1>(head);
}

// Where a dimension lies among even and odd places.
int place(int d) { return d / 32 * 32 + d % 32 / 2 + d % 2 * 16; }

Aligned spread(const Request& r) {
  Aligned q;
  q.assign(size_t(r.H) * r.D, 0.0f);
  for (int h = 0; h < r.H; h++)
    for (int d = 0; d < r.D; d++) q.data()[size_t(h) * r.D + place(d)] = r.q[size_t(h) * r.D + d];
  return q;
}

void soften(const Request& r, int count, float* logit, Partial& part) {
  for (int h = 0; h < r.H; h++) {
    float* mine = logit + h * BLOCK;
    float most = part.most[h];
    for (int t = count; t < BLOCK; t++) mine[t] = -std::numeric_limits<float>::infinity();
    for (int t = 0; t < BLOCK; t += LANES) most = std::max(most, highest(load(mine + t)));
    const float faded = std::exp(part.most[h] - most);
    floats sum = {};
    for (int t = 0; t < BLOCK; t += LANES) {
      floats weight = exponential(load(mine + t) - most);
      std::memcpy(mine + t, &weight, sizeof weight);
      sum += weight;  // what lies past the end weighs e^-87
    }
    part.most[h] = most;
    part.sum[h] = part.sum[h] * faded + total(sum);
    if (faded != 1.0f)
      for (int d = 0; d < r.D; d++) part.out.data()[size_t(h) * r.D + d] *= faded;
  }
}

}  // namespace

void attend(const Request& r, int first, int last, Partial& part) {
  const int group = r.H / r.G;
  part.out.assign(size_t(r.H) * r.D, 0.0f);
  part.most.assign(r.H, -std::numeric_limits<float>::infinity());
  part.sum.assign(r.H, 0.0f);
  Aligned logit;
  logit.assign(size_t(r.H) * BLOCK, 0.0f);
  const Aligned q = spread(r);
  const uint16_t* rows[BLOCK];
  const uint16_t* value[BLOCK];
  for (int t = first; t < std::min(first + BLOCK, last); t++) fetch(r, r.chosen[t]);
  for (int from = first; from < last; from += BLOCK) {
    const int count = std::min(BLOCK, last - from);
    for (int t = 0; t < count; t++) {
      if (from + BLOCK + t < last) fetch(r, r.chosen[from + BLOCK + t]);
      rows[t] = row(r, r.chosen[from + t]);
      for (int g = 0; g < r.G; g++)
        by_fours(group, [&]<int N>(int head) {
          const int h = g * group + head;
          look<N>(r, rows[t] + g * r.D, q.data() + size_t(h) * r.D,
                  logit.data() + size_t(h) * BLOCK + t);
        });
    }
    soften(r, count, logit.data(), part);
    for (int g = 0; g < r.G; g++) {
      for (int t = 0; t < count; t++) value[t] = rows[t] + (r.G + g) * r.D;
      by_fours(group, [&]<int N>(int head) {
        const size_t h = size_t(g) * group + head;
        if (r.D % (4 * LANES) == 0)
          gather<N, 2>(r, value, count, logit.data() + h * BLOCK, part.out.data() + h * r.D);
        else
          gather<N, 1>(r, value, count, logit.data() + h * BLOCK, part.out.data() + h * r.D);
      });
    }
  }
}

void merge(const Request& r, const std::vector<Partial>& parts) {
  for (int h = 0; h < r.H; h++) {
    float most = -std::numeric_limits<float>::infinity(), sum = 0.0f;
    for (const Partial& part : parts) most = std::max(most, part.most[h]);
    float* out = r.out + size_t(h) * r.D;
    std::fill(out, out + r.D, 0.0f);
    for (const Partial& part : parts) {
      if (part.sum[h] == 0.0f) continue;
      const float share = std::exp(part.most[h] - most);
      sum += part.sum[h] * share;
      for (int d = 0; d < r.D; d++) out[d] += part.out.data()[size_t(h) * r.D + place(d)] * share;
    }
    for (int d = 0; d < r.D; d++) out[d] = sum > 0.0f ? out[d] / sum : 0.0f;
    r.lse[h] = most + std::log(sum);
  }
}
