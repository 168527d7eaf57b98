// Threads that wait for work, and work that is cut into pieces. Knows nothing of attention.
//
// Starting a thread costs as much as a small step takes; waking one, much less. Pieces are taken
// by whoever is free, so that nobody waits for a thread that the system lets sleep.
#pragma once
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

// Lets the processor breathe while a thread waits for a moment.
inline void breathe() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits until `value` is no longer `old`: for some microseconds awake, then asleep.
inline int wait_while(const std::atomic<int>& value, int old) {
  for (int i = 0; i < 400; i++) {
    const int now = value.load(std::memory_order_acquire);
    if (now != old) return now;
    breathe();
  }
  value.wait(old, std::memory_order_acquire);
  return value.load(std::memory_order_acquire);
}

// One part of the work. It opens when the number of its pieces is known; whoever finishes the
// last of them opens the next part.
class Part {
 public:
  void close() { next = 0, done = 0, pieces = -1; }

  // At least one piece, unless nothing comes after this part.
  void open(int count) {
    pieces.store(count, std::memory_order_release);
    pieces.notify_all();
  }

  // Does pieces until there are none: piece(i, the one that this thread does then, or -1).
  template <class Piece, class Last>
  void work(Piece piece, Last last) {
    int count = pieces.load(std::memory_order_acquire);
    while (count < 0) count = wait_while(pieces, -1);
    for (int i = take(count), then; i >= 0; i = then) {
      then = take(count);
      piece(i, then);
      if (done.fetch_add(1, std::memory_order_acq_rel) + 1 == count) {
        last();
        done.notify_all();
      }
    }
  }

  // Waits until all pieces are done.
  void end() {
    const int count = pieces.load(std::memory_order_acquire);
    for (int now = done.load(std::memory_order_acquire); now < count;) now = wait_while(done, now);
  }

 private:
  int take(int count) {
    const int i = next.fetch_add(1, std::memory_order_relaxed);
    return i < count ? i : -1;
  }

  std::atomic<int> next{0}, done{0}, pieces{-1};
};

class Crew {
 public:
  // The crew of this process; a forked child has one of its own.
  static Crew& here();

  // Calls work() on up to `size` threads, this one among them; returns when all have returned.
  template <class Work>
  void together(int size, Work work) {
    if (size <= 1 || !is_free.try_lock()) return work();
    const std::lock_guard hold(is_free, std::adopt_lock);
    begin(size - 1, [](void* about) { (*static_cast<Work*>(about))(); }, &work);
    work();
    finish();
  }

 private:
  void begin(int helpers, void (*call)(void*), void* about);
  void finish();
  void serve();

  std::mutex is_free, changing;
  std::condition_variable called;
  std::atomic<int> inside{0};
  void (*call)(void*) = nullptr;
  void* about = nullptr;
  unsigned round = 0;
  int wanted = 0, members = 0;
};
