// Index scores and the exact choice among them. Compiled without fused multiply-add: the order
// of rounding is part of the format (see `dsa/codes.py`).
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "decode.h"
#if defined(DSA_PLAIN)
#elif defined(__AVX512VNNI__) && defined(__AVX512BW__)
#include <immintrin.h>
#define DSA_VNNI 1
#elif defined(__AVX2__)
#include <immintrin.h>
#define DSA_AVX2 1
#endif

namespace {

#ifdef DSA_VNNI
// Bytes of keys become unsigned by adding 128; 128·Σq is taken off again.
struct Keys16 {  // [I/4][16][4], one after the other
  const uint8_t* at;
  __m512i load(int group) const { return _mm512_loadu_si512(at + 64 * group); }
};
struct Pooled16 {  // four pages of [I/4][4][4]
  const uint8_t* at[4];
  __m512i load(int group) const {
    auto part = [&](int i) {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at[i] + 16 * group));
    };
    __m256i low = _mm256_set_m128i(part(1), part(0)), high = _mm256_set_m128i(part(3), part(2));
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
  }
};

template <int HEADS, class Keys>
void dots(const Request& r, const int32_t* offset, int head, const Keys& keys, ints* dot) {
  const __m512i flip = _mm512_set1_epi8(static_cast<char>(0x80));
  __m512i sum[HEADS];
  for (int h = 0; h < HEADS; h++) sum[h] = _mm512_setzero_si512();
  for (int group = 0; group < r.I / 4; group++) {
    const __m512i key = _mm512_xor_si512(keys.load(group), flip);
    for (int h = 0; h < HEADS; h++) {
      int32_t four;
      std::memcpy(&four, r.codes + (head + h) * r.I + 4 * group, 4);
      sum[h] = _mm512_dpbusd_epi32(sum[h], key, _mm512_set1_epi32(four));
    }
  }
  for (int h = 0; h < HEADS; h++)
    dot[h] = (ints)_mm512_sub_epi32(sum[h], _mm512_set1_epi32(offset[head + h]));
}
#elif defined(DSA_AVX2)
// |q| · (sign(q) k): two such products fit 16 bits, as codes are within ±127.
struct Keys16 {
  const uint8_t* at;
  __m256i load(int group, int half) const {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at + 64 * group + 32 * half));
  }
};
struct Pooled16 {
  const uint8_t* at[4];
  __m256i load(int group, int half) const {
    auto part = [&](int i) {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at[i] + 16 * group));
    };
    return _mm256_set_m128i(part(2 * half + 1), part(2 * half));
  }
};

inline __m256i add_dots(__m256i sum, __m256i q, __m256i key) {
  const __m256i size = _mm256_abs_epi8(q), other = _mm256_sign_epi8(key, q);
#ifdef __AVXVNNI__
  return _mm256_dpbusd_avx_epi32(sum, size, other);
#else
  const __m256i twos = _mm256_maddubs_epi16(size, other);
  return _mm256_add_epi32(sum, _mm256_madd_epi16(twos, _mm256_set1_epi16(1)));
#endif
}

template <int HEADS, class Keys>
void dots(const Request& r, const int32_t*, int head, const Keys& keys, ints* dot) {
  __m256i sum[HEADS][2] = {};
  for (int group = 0; group < r.I / 4; group++) {
    const __m256i low = keys.load(group, 0), high = keys.load(group, 1);
    for (int h = 0; h < HEADS; h++) {
      int32_t four;
      std::memcpy(&four, r.codes + (head + h) * r.I + 4 * group, 4);
      const __m256i q = _mm256_set1_epi32(four);
      sum[h][0] = add_dots(sum[h][0], q, low);
      sum[h][1] = add_dots(sum[h][1], q, high);
    }
  }
  for (int h = 0; h < HEADS; h++) std::memcpy(&dot[h], sum[h], sizeof dot[h]);
}
#else
struct Keys16 {
  const uint8_t* at;
  const int8_t* four(int group, int lane) const {
    return reinterpret_cast<const int8_t*>(at) + 64 * group + 4 * lane;
  }
};
struct Pooled16 {
  const uint8_t* at[4];
  const int8_t* four(int group, int lane) const {
    return reinterpret_cast<const int8_t*>(at[lane / 4]) + 16 * group + 4 * (lane % 4);
  }
};

template <int HEADS, class Keys>
void dots(const Request& r, const int32_t*, int head, const Keys& keys, ints* dot) {
  for (int h = 0; h < HEADS; h++) {
    int32_t sum[16] = {};
    for (int group = 0; group < r.I / 4; group++) {
      const int8_t* q = r.codes + (head + h) * r.I + 4 * group;
      for (int lane = 0; lane < 16; lane++) {
        const int8_t* key = keys.four(group, lane);
        sum[lane] += q[0] * key[0] + q[1] * key[1] + q[2] * key[2] + q[3] * key[3];
      }
    }
    std::memcpy(&dot[h], sum, sizeof sum);
  }
}
#endif

// Σ_j weight[j] · ReLU(dot[j]); over runs, ReLU(dot[j] · scale + reach[j] · spread).
template <class Keys, class Seen>
floats weigh(const Request& r, const Sought& sought, const Keys& keys, Seen seen) {
  floats total = {};
  ints dot[4];
  for (int head = 0; head < r.J; head += 4) {
    const int heads = std::min(4, r.J - head);
    if (heads == 4) dots<4>(r, sought.offset.data(), head, keys, dot);
    else if (heads == 3) dots<3>(r, sought.offset.data(), head, keys, dot);
    else if (heads == 2) dots<2>(r, sought.offset.data(), head, keys, dot);
    else dots<1>(r, sought.offset.data(), head, keys, dot);
    for (int h = 0; h < heads; h++) {
      const floats x = seen(__builtin_convertvector(dot[h], floats), head + h);
      total += r.weight[head + h] * (x > 0.0f ? x : floats{});
    }
  }
  return total;
}

inline floats load(const void* at) {
  floats some;
  std::memcpy(&some, at, sizeof some);
  return some;
}

const uint8_t* page_of(const Request& r, int run) {
  return r.index + size_t(r.table[run / RUNS]) * PAGE * (r.I + 4);
}

void fetch(const uint8_t* at, int bytes) {
  for (int line = 0; line < bytes; line += 64) __builtin_prefetch(at + line);
}

void fetch_run(const Request& r, int run) {
  const uint8_t* page = page_of(r, run);
  fetch(page + RUN * r.I * (run % RUNS), RUN * r.I);
  __builtin_prefetch(page + PAGE * r.I + 4 * RUN * (run % RUNS));
}

void score_run(const Request& r, const Sought& sought, int run, float* score) {
  const uint8_t* page = page_of(r, run);
  const int within = run % RUNS;
  const floats scale = load(page + PAGE * r.I + 4 * RUN * within);
  const floats total = weigh(r, sought, Keys16{page + RUN * r.I * within},
                             [](floats dot, int) { return dot; }) * scale;
  std::memcpy(score, &total, sizeof total);
}

constexpr int AHEAD = 8;  // runs that are fetched early

}  // namespace

void seek(const Request& r, Sought& sought) {
  sought.offset.assign(r.J, 0);
  sought.reach.assign(r.J, 0.0f);
  for (int j = 0; j < r.J; j++) {
    int32_t sum = 0, square = 0;
    for (int i = 0; i < r.I; i++) {
      const int32_t code = r.codes[j * r.I + i];
      sum += code;
      square += code * code;
    }
    sought.offset[j] = 128 * sum;
    sought.reach[j] = 0.5f * static_cast<float>(std::sqrt(double(square)));
  }
}

void score_tokens(const Request& r, const Sought& sought, int first_run, int last_run,
                  float* score) {
  const int end = (r.length + RUN - 1) / RUN;
  for (int run = first_run; run < std::min(first_run + AHEAD, end); run++) fetch_run(r, run);
  for (int run = first_run; run < last_run; run++) {
    if (run + AHEAD < end) fetch_run(r, run + AHEAD);
    score_run(r, sought, run, score + size_t(RUN) * run);
  }
}

void score_runs(const Request& r, const Sought& sought, const int32_t* run, int count,
                float* score) {
  for (int i = 0; i < std::min(AHEAD, count); i++) fetch_run(r, run[i]);
  for (int i = 0; i < count; i++) {
    if (i + AHEAD < count) fetch_run(r, run[i + AHEAD]);
    score_run(r, sought, run[i], score + size_t(RUN) * i);
  }
}

void score_pooled(const Request& r, const Sought& sought, int first_page, int last_page,
                  float* score) {
  const int page_bytes = RUNS * (r.I + 8);
  const auto at = [&](int page) { return r.pooled + size_t(r.table[page]) * page_bytes; };
  for (int page = first_page; page < std::min(first_page + AHEAD, last_page); page++)
    fetch(at(page), page_bytes);
  for (int page = first_page; page < last_page; page += 4) {
    Pooled16 keys;
    float scale[16], spread[16];
    for (int i = 0; i < 4; i++) {
      if (page + AHEAD + i < last_page) fetch(at(page + AHEAD + i), page_bytes);
      keys.at[i] = at(std::min(page + i, last_page - 1));
      std::memcpy(scale + 4 * i, keys.at[i] + RUNS * r.I, 16);
      std::memcpy(spread + 4 * i, keys.at[i] + RUNS * r.I + 16, 16);
    }
    const floats scales = load(scale), spreads = load(spread);
    const floats total = weigh(r, sought, keys, [&](floats dot, int head) {
      return dot * scales + sought.reach[head] * spreads;
    });
    const int pages = std::min(4, last_page - page);
    std::memcpy(score + RUNS * page, &total, sizeof(float) * RUNS * pages);
  }
}

namespace {

// Floats as integers that sort alike; zeros are one, whatever their sign.
inline ints ordered(floats x) {
  const ints bits = (ints)(x + 0.0f);
  return bits ^ ((bits >> 31) & 0x7FFFFFFF);
}

inline float disordered(int32_t x) {
  const int32_t bits = x ^ ((x >> 31) & 0x7FFFFFFF);
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// The k-th highest of some scores, by halving what is possible: no branch depends on the data.
// Turns the scores into their integers, which are padded to whole vectors.
float kth(float* score, int count, int k) {
  const int rows = (count + 15) / 16;
  for (int i = count; i < 16 * rows; i++) score[i] = -std::numeric_limits<float>::infinity();
  for (int i = 0; i < rows; i++) {
    const ints keys = ordered(load(score + 16 * i));
    std::memcpy(score + 16 * i, &keys, sizeof keys);
  }
  int64_t low = std::numeric_limits<int32_t>::min(), high = std::numeric_limits<int32_t>::max();
  while (low < high) {  // the highest x that at least k reach
    const int32_t middle = int32_t((low + high + 1) >> 1);
    ints reached = {};
    for (int i = 0; i < rows; i++) reached += (ints)load(score + 16 * i) >= middle;
    int many = 0;
    for (int lane = 0; lane < 16; lane++) many -= reached[lane];
    if (many >= k) low = middle;
    else high = int64_t(middle) - 1;
  }
  return disordered(int32_t(low));
}

}  // namespace

// A score that about 1.3 k + some of the scores reach: what lies below cannot be among the k.
float Chooser::guess(const float* score, int count, int k) {
  constexpr int SAMPLE = 2048;
  if (count < 4 * SAMPLE || k >= count / 2) return -std::numeric_limits<float>::infinity();
  float* some = sample.room(SAMPLE);
  const double step = double(count) / SAMPLE;
  for (int i = 0; i < SAMPLE; i++) some[i] = score[int(i * step)];
  const double share = double(k) / count * SAMPLE;
  return kth(some, SAMPLE, std::min<int>(SAMPLE, int(share + 4 * std::sqrt(share) + 5)));
}

// Collects the scores from `least` on, and their places, both ascending.
int Chooser::gather(const float* score, int count, float least) {
  float* to = found.room(size_t(count) + 16);
  if (at.size() < size_t(count) + 16) at.resize(size_t(count) + 16);
  int32_t* place = at.data();
  int i = 0;
#ifdef DSA_VNNI
  const __m512 bound = _mm512_set1_ps(least);
  __m512i here = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  for (; i + 16 <= count; i += 16) {
    const __m512 some = _mm512_loadu_ps(score + i);
    const __mmask16 mask = _mm512_cmp_ps_mask(some, bound, _CMP_GE_OQ);
    if (mask) {
      _mm512_storeu_ps(to, _mm512_maskz_compress_ps(mask, some));
      _mm512_storeu_si512(place, _mm512_maskz_compress_epi32(mask, here));
      to += __builtin_popcount(mask);
      place += __builtin_popcount(mask);
    }
    here = _mm512_add_epi32(here, _mm512_set1_epi32(16));
  }
#endif
  for (; i < count; i++) {
    *to = score[i];
    *place = i;
    to += score[i] >= least;
    place += score[i] >= least;
  }
  return int(to - found.data());
}

int Chooser::best(const float* score, int count, int k, int32_t* place) {
  if (count <= k) {
    for (int i = 0; i < count; i++) place[i] = i;
    return count;
  }
  int many = gather(score, count, guess(score, count, k));
  if (many < k) many = gather(score, count, -std::numeric_limits<float>::infinity());
  if (many < k) return -1;  // NaN among the scores
  const float last = kth(found.data(), many, k);
  int above = 0;
  for (int i = 0; i < many; i++) above += score[at[i]] > last;
  int ties = k - above, kept = 0;
  for (int i = 0; i < many && kept < k; i++) {
    const float mine = score[at[i]];
    if (mine < last || (mine == last && ties-- <= 0)) continue;
    place[kept++] = at[i];
  }
  return kept;
}

extern "C" {

// Rotates and encodes one index query, in the order of `codes.hadamard` and `codes.encode`.
// Returns -1 where something is NaN or infinite.
int dsa_encode(const float* q, const float* weight, int J, int I, int8_t* codes, float* folded) {
  std::vector<float> one(I), other(I);
  const float factor = static_cast<float>(std::pow(double(I), -0.5));
  for (int j = 0; j < J; j++) {
    one.assign(q + j * I, q + (j + 1) * I);
    for (int half = 1; half < I; half *= 2) {
      for (int i = 0; i < I; i += 2 * half)
        for (int low = i; low < i + half; low++) {
          other[low] = one[low] + one[low + half];
          other[low + half] = one[low] - one[low + half];
        }
      one.swap(other);
    }
    float most = 0.0f;
    for (float& x : one) {
      x *= factor;
      if (!std::isfinite(x)) return -1;
      most = std::max(most, std::fabs(x));
    }
    const float scale = most / 127.0f, unit = scale > 0.0f ? scale : 1.0f;
    for (int i = 0; i < I; i++)
      codes[j * I + i] = int8_t(std::clamp(std::nearbyint(one[i] / unit), -127.0f, 127.0f));
    folded[j] = weight[j] * scale;
    if (!std::isfinite(folded[j])) return -1;
  }
  return 0;
}
}
