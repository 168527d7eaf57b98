// Index scores and the exact choice among them. Compiled without fused multiply-add: the order
// of rounding is part of the format (see `dsa/codes.py`).
#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "decode.h"
#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && !defined(DSA_PLAIN)
#include <immintrin.h>
#define DSA_VNNI 1
#endif

namespace {

typedef int32_t ints __attribute__((vector_size(64)));

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

// What makes keys unsigned adds to each head's dot product.
std::vector<int32_t> offsets(const Request& r) {
  std::vector<int32_t> offset(r.J);
  for (int j = 0; j < r.J; j++)
    for (int i = 0; i < r.I; i++) offset[j] += 128 * r.codes[j * r.I + i];
  return offset;
}

template <class Keys>
floats weigh(const Request& r, const int32_t* offset, const Keys& keys) {
  floats total = {};
  ints dot[4];
  const ints zero = {};
  for (int head = 0; head < r.J; head += 4) {
    const int heads = std::min(4, r.J - head);
    if (heads == 4) dots<4>(r, offset, head, keys, dot);
    else if (heads == 3) dots<3>(r, offset, head, keys, dot);
    else if (heads == 2) dots<2>(r, offset, head, keys, dot);
    else dots<1>(r, offset, head, keys, dot);
    for (int h = 0; h < heads; h++) {
      const ints positive = dot[h] > zero ? dot[h] : zero;
      total += r.weight[head + h] * __builtin_convertvector(positive, floats);
    }
  }
  return total;
}

void score_run(const Request& r, const int32_t* offset, int run, float* score) {
  const size_t page_bytes = size_t(PAGE) * (r.I + 4);
  const uint8_t* page = r.index + r.table[run / RUNS] * page_bytes;
  const int within = run % RUNS;
  floats scale;
  std::memcpy(&scale, page + PAGE * r.I + 4 * RUN * within, sizeof scale);
  const floats total = weigh(r, offset, Keys16{page + RUN * r.I * within}) * scale;
  std::memcpy(score, &total, sizeof total);
}

}  // namespace

void score_tokens(const Request& r, int first_run, int last_run, float* score) {
  const std::vector<int32_t> offset = offsets(r);
  for (int run = first_run; run < last_run; run++)
    score_run(r, offset.data(), run, score + RUN * run);
}

void score_runs(const Request& r, const int32_t* run, int count, float* score) {
  const size_t page_bytes = size_t(PAGE) * (r.I + 4);
  const std::vector<int32_t> offset = offsets(r);
  for (int i = 0; i < count; i++) {
    if (i + 4 < count) {
      const int next = run[i + 4];
      const uint8_t* page = r.index + r.table[next / RUNS] * page_bytes;
      const uint8_t* codes = page + RUN * r.I * (next % RUNS);
      for (int line = 0; line < RUN * r.I; line += 64) __builtin_prefetch(codes + line);
      __builtin_prefetch(page + PAGE * r.I + 4 * RUN * (next % RUNS));
    }
    score_run(r, offset.data(), run[i], score + RUN * i);
  }
}

void score_pooled(const Request& r, int first_page, int last_page, float* score) {
  const size_t page_bytes = size_t(RUNS) * (r.I + 4);
  const std::vector<int32_t> offset = offsets(r);
  for (int page = first_page; page < last_page; page += 4) {
    Pooled16 keys;
    float scale[16];
    for (int i = 0; i < 4; i++) {
      const int there = std::min(page + i, last_page - 1);
      keys.at[i] = r.pooled + r.table[there] * page_bytes;
      std::memcpy(scale + 4 * i, keys.at[i] + RUNS * r.I, 16);
    }
    floats scales;
    std::memcpy(&scales, scale, sizeof scales);
    const floats total = weigh(r, offset.data(), keys) * scales;
    const int pages = std::min(4, last_page - page);
    std::memcpy(score + RUNS * page, &total, sizeof(float) * RUNS * pages);
  }
}

namespace {

// A score that about 1.3 k + some of the scores reach: what lies below cannot be among the k.
float guess(const float* score, int count, int k, std::vector<float>& scratch) {
  constexpr int SAMPLE = 2048;
  if (count < 4 * SAMPLE || k >= count / 2) return -std::numeric_limits<float>::infinity();
  scratch.resize(SAMPLE);
  const double step = double(count) / SAMPLE;
  for (int i = 0; i < SAMPLE; i++) scratch[i] = score[int(i * step)];
  const double share = double(k) / count * SAMPLE;
  const int rank = std::min<int>(SAMPLE - 1, int(share + 4 * std::sqrt(share) + 4));
  std::nth_element(scratch.begin(), scratch.begin() + rank, scratch.end(), std::greater<>());
  return scratch[rank];
}

int gather(const float* score, int count, float least, std::vector<float>& found) {
  found.resize(count + 16);
  float* to = found.data();
  int i = 0;
#ifdef DSA_VNNI
  const __m512 bound = _mm512_set1_ps(least);
  for (; i + 16 <= count; i += 16) {
    const __m512 some = _mm512_loadu_ps(score + i);
    const __mmask16 mask = _mm512_cmp_ps_mask(some, bound, _CMP_GE_OQ);
    _mm512_storeu_ps(to, _mm512_maskz_compress_ps(mask, some));
    to += __builtin_popcount(mask);
  }
#endif
  for (; i < count; i++) {
    *to = score[i];
    to += score[i] >= least;
  }
  return int(to - found.data());
}

}  // namespace

int best(const float* score, int count, int k, std::vector<float>& scratch, int32_t* place) {
  if (count <= k) {
    for (int i = 0; i < count; i++) place[i] = i;
    return count;
  }
  int found = gather(score, count, guess(score, count, k, scratch), scratch);
  if (found < k) {
    found = gather(score, count, -std::numeric_limits<float>::infinity(), scratch);
  }
  if (found < k) return -1;  // NaN among the scores
  std::nth_element(scratch.begin(), scratch.begin() + k - 1, scratch.begin() + found,
                   std::greater<>());
  const float last = scratch[k - 1];
  int above = 0;
  for (int i = 0; i < k; i++) above += scratch[i] > last;
  int ties = k - above, kept = 0;
  for (int i = 0; i < count && kept < k; i++) {
    if (score[i] < last) continue;
    if (score[i] == last && ties-- <= 0) continue;
    place[kept++] = i;
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
