// What the parts of the CPU kernel say to each other. Byte layouts are those of `dsa/cache.py`.
// Letters: J index heads, I index dimensions, H heads of queries, G of keys, D their width.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

constexpr int PAGE = 64;  // tokens in a page
constexpr int RUN = 16;   // tokens under one pooled key
constexpr int RUNS = PAGE / RUN;

// One query of one layer; Python fills it in, field by field in this order.
struct Request {
  const int8_t* codes;    // [J][I] query codes
  const float* weight;    // [J], the codes' scale folded in
  const void* q;          // [H][D], float or bfloat16; null: choose only
  const uint16_t* kv;     // the layer's pages of keys and values, bfloat16
  const uint8_t* index;   // the layer's pages of index keys
  const uint8_t* pooled;  // the layer's pages of pooled index keys
  const int32_t* table;   // the sequence's pages
  int32_t* chosen;        // out [k], ascending; or in, where `count` is given
  float* score;           // out [k]
  void* out;              // out [H][D], of the kind that q is
  float* lse;             // out [H]
  int32_t length;         // tokens that the query sees
  int32_t k;
  int32_t candidates;     // runs scored token by token hold this many times k; 0: score all
  int32_t J, I, H, G, D;
  int32_t threads;
  int32_t is_half;        // q and out are bfloat16
  float scale;
};

typedef float floats __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));

// Floats that begin at a cache line: loads that cross lines cost double. Never shrinks.
class Aligned {
 public:
  // Room for `count`; what is in it is left as it is, or lost where it must grow.
  float* room(size_t count) {
    if (lines * 16 < count) {
      lines = (count + 15) / 16;
      held.reset(new floats[lines]);
    }
    return data();
  }
  float* data() { return reinterpret_cast<float*>(held.get()); }
  const float* data() const { return reinterpret_cast<const float*>(held.get()); }

 private:
  std::unique_ptr<floats[]> held;
  size_t lines = 0;
};

// What a query is looked for by, in the forms that scoring needs.
struct Sought {
  std::vector<int32_t> offset;  // what makes keys unsigned adds to each head's dot product
  std::vector<float> reach;     // how far each head sees beyond a run's mean
};
void seek(const Request&, Sought&);
void score_tokens(const Request&, const Sought&, int first_run, int last_run, float* score);
void score_runs(const Request&, const Sought&, const int32_t* run, int count, float* score);
void score_pooled(const Request&, const Sought&, int first_page, int last_page, float* score);

// Rotates and encodes one index query, as `codes.encode_queries`; -1: NaN or infinity.
extern "C" int dsa_encode(const float* q, const float* weight, int J, int I, int8_t* codes,
                          float* folded);

// Chooses the k highest of scores, the earlier of equals first to come.
class Chooser {
 public:
  // Writes ascending places and returns how many; -1: NaN among the scores.
  int best(const float* score, int count, int k, int32_t* place);

 private:
  float guess(const float* score, int count, int k);
  int gather(const float* score, int count, float least);
  Aligned found, sample;
  std::vector<int32_t> at;
};

// Of the chosen tokens, those from first to before last.
struct Span {
  int first = 0, last = 0;
};

// A partial attention over a span, unnormalised: out += exp(logit - most) v.
struct Partial {
  Aligned out, sum;
  std::vector<float> most;
};

// Queries with their dimensions in the order that keys are widened in, scaled.
void spread(const Request&, Aligned& q);
// Begins to fetch the first rows of a part.
void fetch(const Request&, Span);
// Attends to a part; `after` is where this thread goes on then, to fetch it early.
void attend(const Request&, const Aligned& q, Span now, Span after, Partial&);
void merge(const Request&, const std::vector<Partial>&, int count);
