// One decoding step of one layer: score, choose, attend, on a few threads.
#include "decode.h"

#include <algorithm>
#include <barrier>
#include <exception>
#include <thread>

namespace {

struct Team {
  explicit Team(int size) : size(size), meet(size) {}
  int size;
  std::barrier<> meet;

  // The part of `count` that a member does, in whole `grain`s.
  std::pair<int, int> share(int member, int count, int grain) const {
    const int grains = (count + grain - 1) / grain;
    const auto edge = [&](int i) { return std::min<int64_t>(int64_t(grains) * i / size * grain, count); };
    return {int(edge(member)), int(edge(member + 1))};
  }
};

struct Work {
  std::vector<float> score, scratch;
  std::vector<int32_t> run, place;
  int count = 0;
};

// Every member calls this; the first one chooses.
void choose_flat(const Request& r, Team& team, int member, Work& work) {
  const auto [first, last] = team.share(member, (r.length + RUN - 1) / RUN, 1);
  score_tokens(r, first, last, work.score.data());
  team.meet.arrive_and_wait();
  if (member == 0) {
    work.count = best(work.score.data(), r.length, r.k, work.scratch, r.chosen);
    for (int i = 0; i < work.count; i++) r.score[i] = work.score[r.chosen[i]];
  }
  team.meet.arrive_and_wait();
}

void choose_by_runs(const Request& r, Team& team, int member, Work& work) {
  const int full = r.length / RUN;
  const auto [first, last] = team.share(member, (full + RUNS - 1) / RUNS, 4);
  score_pooled(r, first, last, work.score.data());
  team.meet.arrive_and_wait();
  if (member == 0) {
    const int wanted = std::max<int64_t>(1, int64_t(r.candidates) * r.k / RUN);
    work.run.resize(std::min(wanted, full) + 1);
    int found = best(work.score.data(), full, wanted, work.scratch, work.run.data());
    if (found >= 0 && r.length % RUN) work.run[found++] = full;
    work.count = found;
    work.score.resize(std::max<size_t>(work.score.size(), size_t(RUN) * std::max(found, 0)));
  }
  team.meet.arrive_and_wait();
  if (work.count < 0) return;
  const auto [from, to] = team.share(member, work.count, 1);
  score_runs(r, work.run.data() + from, to - from, work.score.data() + size_t(RUN) * from);
  team.meet.arrive_and_wait();
  if (member == 0) {
    const int unseen = r.length % RUN ? RUN - r.length % RUN : 0;
    const int tokens = RUN * work.count - unseen;
    work.place.resize(std::min(tokens, r.k));
    work.count = best(work.score.data(), tokens, r.k, work.scratch, work.place.data());
    for (int i = 0; i < work.count; i++) {
      r.chosen[i] = work.run[work.place[i] / RUN] * RUN + work.place[i] % RUN;
      r.score[i] = work.score[work.place[i]];
    }
  }
  team.meet.arrive_and_wait();
}

template <class Body>
void together(int size, Body body) {
  std::vector<std::thread> others;
  for (int member = 1; member < size; member++) others.emplace_back(body, member);
  body(0);
  for (std::thread& other : others) other.join();
}

}  // namespace

extern "C" {

// Chooses, and attends where `q` is given. Returns how many tokens were chosen; -1: NaN.
int dsa_decode(const Request* request) {
  const Request& r = *request;
  Team team(std::max(1, r.threads));
  Work work;
  work.score.resize(size_t(RUN) * ((r.length + RUN - 1) / RUN));
  std::vector<Partial> parts(team.size);
  together(team.size, [&](int member) {
    if (r.candidates) choose_by_runs(r, team, member, work);
    else choose_flat(r, team, member, work);
    if (work.count < 0 || !r.q) return;
    const auto [first, last] = team.share(member, work.count, 32);
    attend(r, first, last, parts[member]);
  });
  if (work.count >= 0 && r.q) merge(r, parts);
  return work.count;
}

// Attends to `count` tokens that were chosen before.
void dsa_attend(const Request* request, int count) {
  const Request& r = *request;
  Team team(std::max(1, r.threads));
  std::vector<Partial> parts(team.size);
  together(team.size, [&](int member) {
    const auto [first, last] = team.share(member, count, 32);
    attend(r, first, last, parts[member]);
  });
  merge(r, parts);
}

// Attends to all tokens: the dense baseline, with the same inner loops.
void dsa_dense(const Request* request) {
  Request r = *request;
  std::vector<int32_t> all(r.length);
  for (int i = 0; i < r.length; i++) all[i] = i;
  r.chosen = all.data();
  dsa_attend(&r, r.length);
}
}
