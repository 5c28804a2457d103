#pragma once
// The order in which the CPU schedule of the random walk takes its steps.
//
// All steps read the same weights: 34 a cell with IRNet's radius, many times the size of the scores. On a large map a
// whole step reads more than the caches hold. So a thread takes several steps on each visit of the weights. They follow
// each other down the map, `border` bands apart, because a step of a band reads the step before of the bands below:
//
//   band     0 1 2 3 4 5 6 ...      border = 1: a step reads one band above and one below
//   step 0   1 2 4 7                the numbers are the order of one thread, three steps a visit
//   step 1     3 5 8
//   step 2       6 9
//
// The threads of a team claim visits in order. A thread follows the thread of the visit before.

#include <cambium/exec/caches.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/walk/lanes.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>

namespace cambium {

/// More steps of one visit gain nothing.
inline constexpr index_t most_steps_of_visit = 16;

/// The number of steps of a visit: as many as keep their bands in the core's own cache, or, if those are less than four,
/// in its share of the cache of all cores. All visits of a walk have about the same number, so no thread idles.
template <class T>
index_t steps_of_visit(lane_map const& map, index_t channels, index_t border, index_t steps, index_t threads)
{
  // a step in flight holds the weights of `border` bands, and two buffers of scores
  index_t const elements = border * (map.weight_band + 2 * channels * map.rows * map.score_row);
  index_t const size = elements * static_cast<index_t>(sizeof(T));
  index_t most = own_cache_bytes() * 3 / 4 / size - 1;
  if (most < 4) most = shared_cache_bytes() / 4 / threads / size - 1;
  if (most < 4) most = std::min<index_t>(4, shared_cache_bytes() / 2 / threads / size - 1);  // of wide maps
  // a thread begins its next visit while the last thread of the team is still on the map
  most = std::min(most, (map.bands / threads - 2) / border - 1);
  most = std::clamp<index_t>(most, 1, most_steps_of_visit);
  if (steps == 0) return 1;
  index_t const rounds = (steps - 1) / (most * threads) + 1;  // rounded up, for any number of steps
  return (steps - 1) / (rounds * threads) + 1;
}

/// Run steps on the lane layout. Step i computes form(i) from the current scores and overwrites the older ones. Returns
/// the buffer with the result.
template <class T, class Form>
T* walk_lanes(cpu const& where, walk_scratch<T>& s, index_t steps, Form const& form)
{
  lane_map const& map = s.map;
  T* const buffer[2] = {s.a.data(), s.b.data()};
  if (map.bands == 0 || map.segment == 0 || s.channels == 0) return buffer[0];
  index_t const border = std::max<index_t>(1, (map.reach_y + map.rows - 1) / map.rows);
  index_t const useful = std::max<index_t>(1, map.bands / (2 * border + 2));
  index_t const most = std::min<index_t>({thread_count(where), static_cast<index_t>(s.members.size()), useful});
  for (auto& member : s.members) member.done = 0;
  stop_of_team stop(where);

  // Weights that no cache holds are prefetched four blocks ahead. The processor's own prefetcher restarts at every page,
  // and a block is two pages.
  bool const streams = map.weight_size() * static_cast<index_t>(sizeof(T)) > index_t{64} << 20;
  index_t const ahead = streams ? (map.reach_x + 4) * map.weight_position : 0;
  auto const step_band = [&](index_t step, index_t band, bool first) {
    index_t const y = band * map.rows, row = map.score(y, 0);
    step_form<T> const f = form(step);
    for (index_t c = 0; c < s.channels; c += most_channels) {
      index_t const cells = c * map.score_plane + row;
      int const together = static_cast<int>(std::min<index_t>(most_channels, s.channels - c));
      run_widest(s.set, band_step<T>{&map, &s.program, together, f, buffer[step % 2] + cells,
                                     s.weights.data() + map.weight(band), s.inverse_degree.data() + map.degree(y),
                                     s.seeds.empty() ? nullptr : s.seeds.data() + cells, buffer[(step + 1) % 2] + cells,
                                     first && c == 0 ? ahead : 0});
    }
  };
  // At most `most` visits are begun and not finished, so as many members are enough.
  auto const member_of = [&](index_t v) -> progress& { return s.members[static_cast<std::size_t>(v % most)]; };
  index_t const visit = steps_of_visit<T>(map, s.channels, border, steps, team_of_chain(most));
  // Visits that begin after a stop do nothing, so a team gets a limited number of them.
  index_t const visits = steps == 0 ? 0 : (steps - 1) / visit + 1, at_once = 4096;
  auto const make_visit = [&](index_t v) {
    flush_denormals const quick;
    index_t const begin = v * visit, deep = std::min(visit, steps - begin);
    for (index_t at = 0; at < map.bands + (deep - 1) * border; ++at) {
      if (stop.seen())
        return member_of(v).publish(std::numeric_limits<index_t>::max());  // nobody waits for this visit any more
      if (v > 0 && at < map.bands)
        member_of(v - 1).wait_for((v - 1) * map.bands + std::min(at + border + 1, map.bands));
      for (index_t i = 0; i < deep; ++i)
        if (index_t const band = at - i * border; 0 <= band && band < map.bands) step_band(begin + i, band, i == 0);
      if (index_t const done = at - (deep - 1) * border; done >= 0) member_of(v).publish(v * map.bands + done + 1);
    }
  };
  for (index_t first = 0; first < visits && !stop.seen(); first += at_once)
    as_team(static_cast<int>(most), std::min(at_once, visits - first), claims::chained,
            [&](index_t i) { make_visit(first + i); });
  stop.throw_if_seen();
  return buffer[steps % 2];
}

}  // namespace cambium
