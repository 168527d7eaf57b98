// The threads of `crew.h`. They are never joined: they sleep until the process ends.
#include "crew.h"

#include <unistd.h>

Crew& Crew::here() {
  static std::mutex making;
  static Crew* crew = nullptr;
  static pid_t owner = 0;
  const std::lock_guard hold(making);
  if (!crew || owner != getpid()) crew = new Crew, owner = getpid();
  return *crew;
}

void Crew::begin(int helpers, void (*new_call)(void*), void* new_about) {
  {
    const std::lock_guard hold(changing);
    call = new_call, about = new_about, wanted = helpers, round++;
    for (; members < helpers; members++) std::thread([this] { serve(); }).detach();
  }
  called.notify_all();
}

void Crew::finish() {
  {
    const std::lock_guard hold(changing);
    wanted = 0;  // who has not come yet is not needed any more
  }
  for (int now = inside; now > 0;) now = wait_while(inside, now);
}

void Crew::serve() {
  unsigned seen = 0;
  for (;;) {
    {
      std::unique_lock hold(changing);
      called.wait(hold, [&] { return round != seen && wanted > 0; });
      seen = round, wanted--, inside++;
    }
    call(about);
    inside--;
    inside.notify_all();
  }
}
