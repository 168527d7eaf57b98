// Attention of one query over chosen tokens: in ascending order, all heads of a token together,
// in blocks that stay in the cache between keys and values.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "decode.h"
#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace {

constexpr int LANES = 16;
constexpr int BLOCK = 2 * LANES;  // tokens whose logits are held at a time
#if defined(__AVX512F__)
constexpr int AT_ONCE = 4;  // tokens that share what is loaded of the query: as registers allow
#else
constexpr int AT_ONCE = 1;
#endif
constexpr float NEVER = -std::numeric_limits<float>::infinity();

typedef uint32_t words __attribute__((vector_size(4 * LANES)));

// Tiny weights times tiny values would be computed in full, a hundred times slower.
struct WithoutDenormals {
#if defined(__SSE2__)
  unsigned before = _mm_getcsr();
  WithoutDenormals() { _mm_setcsr(before | 0x8040); }
  ~WithoutDenormals() { _mm_setcsr(before); }
#endif
};

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

inline void store(float* at, floats some) { std::memcpy(at, &some, sizeof some); }

constexpr std::make_integer_sequence<int, LANES> ALL{};

// Lanes of a and b in turns of HALF, from those that begin at OFFSET in each 2·HALF.
template <int HALF, int OFFSET, int... I>
inline floats turns(floats a, floats b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(
      a, b, (I / (2 * HALF) * 2 * HALF + I % HALF + (I / HALF % 2 ? LANES : 0) + OFFSET)...);
}

template <int HALF>
inline floats fold(floats a, floats b) {
  return turns<HALF, 0>(a, b, ALL) + turns<HALF, HALF>(a, b, ALL);
}

// Sums of four vectors, in each quarter a part of all four.
inline floats quarters(floats a, floats b, floats c, floats d) {
  return fold<2>(fold<1>(a, b), fold<1>(c, d));
}

// Sums of four vectors, four times over.
inline floats totals(floats a, floats b, floats c, floats d) {
  const floats four = quarters(a, b, c, d), eight = fold<4>(four, four);
  return fold<8>(eight, eight);
}

inline float total(floats x) { return totals(x, x, x, x)[0]; }

template <int HALF>
inline floats higher(floats x) {
  const floats a = turns<HALF, 0>(x, x, ALL), b = turns<HALF, HALF>(x, x, ALL);
  return a > b ? a : b;
}

inline float highest(floats x) { return higher<8>(higher<4>(higher<2>(higher<1>(x))))[0]; }

// Even and odd places of 32 floats, and back.
template <int... I>
inline Pair part(floats a, floats b, std::integer_sequence<int, I...>) {
  return {__builtin_shufflevector(a, b, 2 * I...), __builtin_shufflevector(a, b, (2 * I + 1)...)};
}
template <int... I>
inline std::pair<floats, floats> join(Pair p, std::integer_sequence<int, I...>) {
  return {__builtin_shufflevector(p.even, p.odd, (I / 2 + I % 2 * LANES)...),
          __builtin_shufflevector(p.even, p.odd, (LANES / 2 + I / 2 + I % 2 * LANES)...)};
}

// e^x for x ≤ 0 to about 1e-7: 2^n by its bits, the rest by a polynomial (Cephes' expf).
inline floats exponential(floats x) {
  const floats low = x < -87.0f ? -87.0f + floats{} : x;
  const floats shifted = low * 1.44269504f + 12582912.0f;  // rounds to the nearest integer
  const floats n = shifted - 12582912.0f;
  const floats rest = low - n * 0.693359375f + n * 2.12194440e-4f;
  floats y = rest * 1.9875691500e-4f + 1.3981999507e-3f;
  y = y * rest + 8.3334519073e-3f;
  y = y * rest + 4.1665795894e-2f;
  y = y * rest + 1.6666665459e-1f;
  y = y * rest + 5.0000001201e-1f;
  y = y * rest * rest + rest + 1.0f;
  y = (floats)((ints)y + (__builtin_convertvector(n, ints) << 23));
  return x < -87.0f ? floats{} : y;
}

const uint16_t* row(const Request& r, int token) {
  const size_t bytes = size_t(2) * r.G * r.D;
  return r.kv + (size_t(r.table[token / PAGE]) * PAGE + token % PAGE) * bytes;
}

// Begins to fetch what one key head of a row holds, or a whole row.
inline void fetch(const uint16_t* at, int numbers) {
  const char* bytes = reinterpret_cast<const char*>(at);
  for (int line = 0; line < 2 * numbers; line += 64) __builtin_prefetch(bytes + line, 0, 2);
}

// logit[h][t] of HEADS heads that share a key, for TOKENS tokens.
template <int HEADS, int TOKENS>
void look(const Request& r, const uint16_t* const* key, size_t into, const float* q, float* logit) {
  floats sum[HEADS][TOKENS] = {};
  for (int d = 0; d < r.D; d += 2 * LANES) {
    Pair k[TOKENS];
    for (int t = 0; t < TOKENS; t++) k[t] = widen(key[t] + into + d);
    for (int h = 0; h < HEADS; h++) {
      const floats even = load(q + h * r.D + d), odd = load(q + h * r.D + d + LANES);
      for (int t = 0; t < TOKENS; t++) {
        sum[h][t] += k[t].even * even;
        sum[h][t] += k[t].odd * odd;
      }
    }
  }
  constexpr int LAST = HEADS - 1;
  if constexpr (TOKENS == 4) {
    floats four[4];
    for (int h = 0; h < 4; h++) {
      const floats* mine = sum[std::min(h, LAST)];
      four[h] = quarters(mine[0], mine[1], mine[2], mine[3]);
    }
    const floats all = fold<8>(fold<4>(four[0], four[1]), fold<4>(four[2], four[3]));
    for (int h = 0; h < HEADS; h++)
      std::memcpy(logit + h * BLOCK, reinterpret_cast<const float*>(&all) + 4 * h, 16);
  } else {
    const floats all = totals(sum[0][0], sum[std::min(1, LAST)][0], sum[std::min(2, LAST)][0],
                              sum[std::min(3, LAST)][0]);
    for (int h = 0; h < HEADS; h++) logit[h * BLOCK] = all[h];
  }
}

// out[h] += Σ_t weight[h][t] · value[t], in steps of WIDE pairs.
template <int HEADS, int WIDE>
void gather(const Request& r, const uint16_t* const* row, size_t into, int count,
            const float* weight, float* out) {
  for (int d = 0; d < r.D; d += 2 * WIDE * LANES) {
    floats sum[HEADS][2 * WIDE];
    for (int h = 0; h < HEADS; h++)
      for (int i = 0; i < 2 * WIDE; i++) sum[h][i] = load(out + h * r.D + d + i * LANES);
    for (int t = 0; t < count; t++) {
      Pair v[WIDE];
      for (int i = 0; i < WIDE; i++) v[i] = widen(row[t] + into + d + 2 * i * LANES);
      for (int h = 0; h < HEADS; h++)
        for (int i = 0; i < WIDE; i++) {
          sum[h][2 * i] += weight[h * BLOCK + t] * v[i].even;
          sum[h][2 * i + 1] += weight[h * BLOCK + t] * v[i].odd;
        }
    }
    for (int h = 0; h < HEADS; h++)
      for (int i = 0; i < 2 * WIDE; i++) store(out + h * r.D + d + i * LANES, sum[h][i]);
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

// Turns a block's logits into weights against the highest so far.
void soften(const Request& r, int count, float* logit, Partial& part) {
  for (int h = 0; h < r.H; h++) {
    float* mine = logit + h * BLOCK;
    for (int t = count; t < BLOCK; t++) mine[t] = NEVER;
    const floats a = load(mine), b = load(mine + LANES);
    const float most = std::max(part.most[h], highest(a > b ? a : b));
    floats sum = load(part.sum.data() + LANES * h);
    if (most > part.most[h]) {
      const float faded = std::exp(part.most[h] - most);
      float* out = part.out.data() + size_t(h) * r.D;
      for (int d = 0; d < r.D; d += LANES) store(out + d, load(out + d) * faded);
      sum *= faded;
      part.most[h] = most;
    }
    const floats x = exponential(a - most), y = exponential(b - most);
    store(mine, x);
    store(mine + LANES, y);
    store(part.sum.data() + LANES * h, sum + x + y);
  }
}

}  // namespace

void spread(const Request& r, Aligned& q) {
  float* to = q.room(size_t(r.H) * r.D);
  for (size_t i = 0; i < size_t(r.H) * r.D; i += 2 * LANES) {
    Pair pair;
    if (r.is_half) {
      pair = widen(static_cast<const uint16_t*>(r.q) + i);
    } else {
      const float* from = static_cast<const float*>(r.q) + i;
      pair = part(load(from), load(from + LANES), ALL);
    }
    store(to + i, pair.even * r.scale);
    store(to + i + LANES, pair.odd * r.scale);
  }
}

void fetch(const Request& r, Span some) {
  for (int t = some.first; t < std::min(some.first + BLOCK, some.last); t++)
    fetch(row(r, r.chosen[t]), 2 * r.G * r.D);
}

void attend(const Request& r, const Aligned& q, Span now, Span after, Partial& part) {
  const WithoutDenormals scope;
  const int group = r.H / r.G;
  std::fill_n(part.out.room(size_t(r.H) * r.D), size_t(r.H) * r.D, 0.0f);
  std::fill_n(part.sum.room(size_t(r.H) * LANES), size_t(r.H) * LANES, 0.0f);
  part.most.assign(r.H, NEVER);
  thread_local Aligned logits;
  float* logit = logits.room(size_t(r.H) * BLOCK);
  const uint16_t* rows[2][BLOCK];
  const auto name = [&](Span some, const uint16_t** row_at) {
    const int count = std::clamp(some.last - some.first, 0, BLOCK);
    for (int t = 0; t < count; t++) row_at[t] = row(r, r.chosen[some.first + t]);
    return count;
  };
  int count = name(now, rows[0]);
  for (int turn = 0; now.first < now.last; turn ^= 1) {
    const uint16_t **here = rows[turn], **next = rows[turn ^ 1];
    now.first += BLOCK;
    const int coming = name(now.first < now.last ? now : after, next);
    for (int t = 0; t < count;) {
      const int step = AT_ONCE > 1 && t + AT_ONCE <= count ? AT_ONCE : 1;
      for (int g = 0; g < r.G; g++) {
        for (int i = t; i < std::min(t + step, coming); i++) {
          fetch(next[i] + g * r.D, r.D);
          fetch(next[i] + (r.G + g) * r.D, r.D);
        }
        by_fours(group, [&]<int N>(int head) {
          const size_t h = size_t(g) * group + head;
          float* to = logit + h * BLOCK + t;
          const float* mine = q.data() + h * r.D;
          if (step > 1) look<N, AT_ONCE>(r, here + t, g * r.D, mine, to);
          else look<N, 1>(r, here + t, g * r.D, mine, to);
        });
      }
      t += step;
    }
    soften(r, count, logit, part);
    for (int g = 0; g < r.G; g++)
      by_fours(group, [&]<int N>(int head) {
        const size_t h = size_t(g) * group + head, into = size_t(r.G + g) * r.D;
        float* to = part.out.data() + h * r.D;
        if (r.D % (4 * LANES) == 0) gather<N, 2>(r, here, into, count, logit + h * BLOCK, to);
        else gather<N, 1>(r, here, into, count, logit + h * BLOCK, to);
      });
    count = coming;
  }
}

void merge(const Request& r, const std::vector<Partial>& parts, int count) {
  for (int h = 0; h < r.H; h++) {
    float most = NEVER, sum = 0.0f;
    for (int i = 0; i < count; i++) most = std::max(most, parts[i].most[h]);
    float share[64];
    for (int i = 0; i < count; i++) {
      share[i] = std::exp(parts[i].most[h] - most);
      sum += total(load(parts[i].sum.data() + LANES * h)) * share[i];
    }
    r.lse[h] = most + std::log(sum);
    const float unit = sum > 0.0f ? 1.0f / sum : 0.0f;
    for (int d = 0; d < r.D; d += 2 * LANES) {
      const size_t at = size_t(h) * r.D + d;
      Pair pair{};
      for (int i = 0; i < count; i++) {
        pair.even += load(parts[i].out.data() + at) * share[i];
        pair.odd += load(parts[i].out.data() + at + LANES) * share[i];
      }
      pair.even *= unit;
      pair.odd *= unit;
      if (r.is_half) {
        // To the nearest bfloat16, of two as near the even one.
        words low = (words)pair.even, high = (words)pair.odd;
        low = (low + 0x7FFFu + (low >> 16 & 1u)) >> 16;
        high = (high + 0x7FFFu + (high >> 16 & 1u)) & 0xFFFF0000u;
        const words both = low | high;
        std::memcpy(static_cast<uint16_t*>(r.out) + at, &both, sizeof both);
      } else {
        const auto [a, b] = join(pair, ALL);
        store(static_cast<float*>(r.out) + at, a);
        store(static_cast<float*>(r.out) + at + LANES, b);
      }
    }
  }
}
