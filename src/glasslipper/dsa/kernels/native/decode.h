// What the parts of the CPU kernel say to each other. Byte layouts are those of `dsa/cache.py`.
// Letters: J index heads, I index dimensions, H heads of queries, G of keys, D their width.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

constexpr int PAGE = 64;  // tokens in a page
constexpr int RUN = 16;   // tokens under one pooled key
constexpr int RUNS = PAGE / RUN;

// One query of one layer; Python fills it in, field by field in this order.
struct Request {
  const int8_t* codes;    // [J][I] query codes
  const float* weight;    // [J], the codes' scale folded in
  const float* q;         // [H][D]
  const uint16_t* kv;     // the layer's pages of keys and values, bfloat16
  const uint8_t* index;   // the layer's pages of index keys
  const uint8_t* pooled;  // the layer's pages of pooled index keys
  const int32_t* table;   // the sequence's pages
  int32_t* chosen;        // out [k], ascending; or in, where `count` is given
  float* score;           // out [k]
  float* out;             // out [H][D]
  float* lse;             // out [H]
  int32_t length;         // tokens that the query sees
  int32_t k;
  int32_t candidates;     // runs scored token by token hold this many times k; 0: score all
  int32_t J, I, H, G, D;
  int32_t threads;
  float scale;
};

// Scores of 16 neighbouring tokens, `lanes` of them at a stride from one 4-byte group to the next.
void score_tokens(const Request&, int first_run, int last_run, float* score);
void score_runs(const Request&, const int32_t* run, int count, float* score);
void score_pooled(const Request&, int first_page, int last_page, float* score);

// The k highest of `count` scores, the earlier of equals first to come; ascending places.
int best(const float* score, int count, int k, std::vector<float>& scratch, int32_t* place);

typedef float floats __attribute__((vector_size(64)));

// Floats that begin at a cache line: loads that cross lines cost double.
struct Aligned {
  std::vector<floats> lines;
  void assign(std::size_t count, float value) { lines.assign((count + 15) / 16, floats{} + value); }
  float* data() { return reinterpret_cast<float*>(lines.data()); }
  const float* data() const { return reinterpret_cast<const float*>(lines.data()); }
};

// A partial attention over chosen[first, last), unnormalised: out += exp(logit - most) v.
struct Partial {
  Aligned out;
  std::vector<float> most, sum;
};
void attend(const Request&, int first, int last, Partial&);
void merge(const Request&, const std::vector<Partial>&);
