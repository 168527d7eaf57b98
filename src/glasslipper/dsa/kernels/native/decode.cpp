// One decoding step of one layer: score, choose, attend, on a few threads.
//
// What is added up depends on how the tokens are cut into parts and never on the threads, so the
// outcome is the same to the last bit for any number of them.
#include "decode.h"

#include <algorithm>
#include <numeric>

#include "crew.h"

namespace {

constexpr int NAN_QUERY = -2, NO_SUCH_PAGE = -3;  // best() says -1 where a score is NaN
constexpr int PAGES_A_PIECE = 32;
constexpr int POOLED_PAGES_A_PIECE = 128;
constexpr int RUNS_A_PIECE = 128;
constexpr int TOKENS_A_PART = 256;  // a multiple of the block in attend.cpp
constexpr int MOST_PARTS = 64;      // as merge() has room for

int pieces(int count, int size) { return (count + size - 1) / size; }

// What a step needs room for. A thread keeps its own: fresh memory costs more than a short step.
struct Desk {
  std::vector<int8_t> codes;
  std::vector<float> weight;
  Sought sought;
  Aligned q, score;
  Chooser chooser;
  std::vector<int32_t> run, place, all;
  std::vector<Partial> parts;
  Part scoring, looking, attending;
  int count = 0;
};

Desk& desk() {
  thread_local Desk mine;
  return mine;
}

class Step {
 public:
  Step(const Request& r, Desk& desk) : r(r), desk(desk) {
    desk.scoring.close(), desk.looking.close(), desk.attending.close();
  }

  void choose_and_attend() {
    seek(r, desk.sought);
    desk.score.room(size_t(RUN) * pieces(r.length, RUN));
    if (r.q) spread(r, desk.q);
    const int full = r.length / RUN;
    const bool by_runs = r.candidates && full > runs_wanted();
    if (by_runs) desk.scoring.open(pieces(pieces(full, RUNS), POOLED_PAGES_A_PIECE));
    else desk.scoring.open(pieces(pieces(r.length, PAGE), PAGES_A_PIECE));
    Crew::here().together(r.threads, [&, this] {
      if (by_runs) {
        desk.scoring.work([&](int i, int) { score_pages_pooled(i); }, [&] { choose_runs(); });
        desk.looking.work([&](int i, int) { score_chosen_runs(i); }, [&] { choose_in_runs(); });
      } else {
        desk.scoring.work([&](int i, int) { score_pages(i); }, [&] { choose(); });
      }
      attend_parts();
    });
    if (r.q && desk.count > 0) merge(r, desk.parts, parts());
  }

  void attend_chosen(int count) {
    desk.count = count;
    spread(r, desk.q);
    open_parts();
    Crew::here().together(r.threads, [&] { attend_parts(); });
    merge(r, desk.parts, parts());
  }

 private:
  int64_t runs_wanted() const {
    return std::max<int64_t>(1, int64_t(r.candidates) * r.k / RUN);
  }

  void score_pages(int i) {
    const int last = std::min((i + 1) * PAGES_A_PIECE * RUNS, pieces(r.length, RUN));
    score_tokens(r, desk.sought, i * PAGES_A_PIECE * RUNS, last, desk.score.data());
  }

  void score_pages_pooled(int i) {
    const int last = std::min((i + 1) * POOLED_PAGES_A_PIECE, pieces(r.length / RUN, RUNS));
    score_pooled(r, desk.sought, i * POOLED_PAGES_A_PIECE, last, desk.score.data());
  }

  void choose() {
    desk.count = desk.chooser.best(desk.score.data(), r.length, r.k, r.chosen);
    for (int i = 0; i < desk.count; i++) r.score[i] = desk.score.data()[r.chosen[i]];
    open_parts();
  }

  void choose_runs() {
    const int full = r.length / RUN, wanted = int(runs_wanted());
    desk.run.resize(wanted + 1);
    int found = desk.chooser.best(desk.score.data(), full, wanted, desk.run.data());
    if (found < 0) return desk.count = found, desk.looking.open(0), open_parts();
    if (r.length % RUN) desk.run[found++] = full;
    desk.run.resize(found);
    desk.looking.open(pieces(found, RUNS_A_PIECE));
  }

  void score_chosen_runs(int i) {
    const int from = i * RUNS_A_PIECE, all = int(desk.run.size());
    score_runs(r, desk.sought, desk.run.data() + from, std::min(RUNS_A_PIECE, all - from),
               desk.score.data() + size_t(RUN) * from);
  }

  void choose_in_runs() {
    const int unseen = r.length % RUN ? RUN - r.length % RUN : 0;
    const int tokens = RUN * int(desk.run.size()) - unseen;
    desk.place.resize(std::min(tokens, r.k));
    desk.count = desk.chooser.best(desk.score.data(), tokens, r.k, desk.place.data());
    for (int i = 0; i < desk.count; i++) {
      const int place = desk.place[i];
      r.chosen[i] = desk.run[place / RUN] * RUN + place % RUN;
      r.score[i] = desk.score.data()[place];
    }
    open_parts();
  }

  int part_tokens() const {
    return std::max(TOKENS_A_PART,
                    pieces(desk.count, MOST_PARTS * TOKENS_A_PART) * TOKENS_A_PART);
  }
  int parts() const { return pieces(desk.count, part_tokens()); }

  void open_parts() {
    const int count = r.q && desk.count > 0 ? parts() : 0;
    if (int(desk.parts.size()) < count) desk.parts.resize(count);
    desk.attending.open(count);
  }

  Span part(int i) const {
    if (i < 0) return {};
    return {i * part_tokens(), std::min((i + 1) * part_tokens(), desk.count)};
  }

  void attend_parts() {
    bool is_first = true;
    desk.attending.work(
        [&](int i, int then) {
          if (is_first) fetch(r, part(i));
          is_first = false;
          attend(r, desk.q, part(i), part(then), desk.parts[i]);
        },
        [] {});
    desk.attending.end();
  }

  const Request& r;
  Desk& desk;
};

bool has_pages(const Request& r, int known, int there) {
  const int used = pieces(r.length, PAGE);
  bool is_good = used <= known;
  for (int i = 0; i < used && is_good; i++) is_good &= uint32_t(r.table[i]) < uint32_t(there);
  return is_good;
}

}  // namespace

extern "C" {

// Chooses, and attends where `q` is given. Returns how many tokens were chosen; -1: NaN.
int dsa_decode(const Request* request) {
  Desk& mine = desk();
  Step(*request, mine).choose_and_attend();
  return mine.count;
}

// A whole step by a prepared layer, from a query that is not encoded yet. Negative: why not.
int dsa_step(const Request* layer, int there, const int32_t* table, int known, int length,
             const float* index_q, const float* index_weight, const void* q, int is_half,
             int32_t* chosen, float* score, void* out, float* lse, int k, int candidates,
             int threads, float scale) {
  Desk& mine = desk();
  Request r = *layer;
  mine.codes.resize(size_t(r.J) * r.I);
  mine.weight.resize(r.J);
  if (dsa_encode(index_q, index_weight, r.J, r.I, mine.codes.data(), mine.weight.data()) < 0)
    return NAN_QUERY;
  r.codes = mine.codes.data(), r.weight = mine.weight.data();
  r.q = q, r.is_half = is_half, r.scale = scale;
  r.table = table, r.length = length, r.k = k, r.candidates = candidates, r.threads = threads;
  r.chosen = chosen, r.score = score, r.out = out, r.lse = lse;
  if (!has_pages(r, known, there)) return NO_SUCH_PAGE;
  Step(r, mine).choose_and_attend();
  return mine.count;
}

// Attends to `count` tokens that were chosen before.
void dsa_attend(const Request* request, int count) {
  Step(*request, desk()).attend_chosen(count);
}

// Attends to all tokens: the dense baseline, with the same inner loops.
void dsa_dense(const Request* request) {
  Request r = *request;
  std::vector<int32_t>& all = desk().all;
  all.resize(r.length);
  std::iota(all.begin(), all.end(), 0);
  r.chosen = all.data();
  dsa_attend(&r, r.length);
}
}
