// study --real, run as people run it: a drawn folder, its figures against the test's own.

#include "programs/process.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

#include <cambium/io/file.hpp>
#include <cambium/io/jpeg.hpp>
#include <cambium/io/npy.hpp>
#include <cambium/io/photograph.hpp>
#include <cambium/io/png.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <queue>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

using namespace cambium;
using namespace programs;
namespace fs = std::filesystem;
using json = nlohmann::json;
using map2 = grid<std::int32_t, 2>;

namespace {

/// A disc on a drawn image.
struct drawn_object {
  int category;  ///< 1..
  double y, x, radius;
};

struct drawn_image {
  std::string id;
  index_t H, W;
  std::vector<int> tags;
  std::vector<drawn_object> objects;
  std::set<int> annotated{};  ///< empty: all
  map2 semantic{}, instances{};
  grid<float, 3> cams{};
};

struct photographs : scratch {
  std::vector<drawn_image> images;

  photographs()
  {
    images = {{"one", 60, 84, {3}, {{3, 20, 20, 13}, {3, 30, 60, 12}}},
              {"two", 72, 64, {3, 7}, {{3, 22, 20, 12}, {7, 45, 42, 15}}},
              {"three", 50, 90, {7, 3}, {{7, 25, 25, 14}, {3, 28, 70, 12}}, {7}}};
    std::string tags;
    for (auto& image : images) {
      draw(image);
      tags += image.id;
      for (int const c : image.tags) tags += " " + std::to_string(c);
      tags += "\n";
    }
    replace_file(root / "real/tags.txt", tags);
    replace_file(root / "real/ids.txt", "one\ntwo\nthree\n");
    replace_file(root / "real/manifest.json",
                 R"({"voc_classes": {"3": "bird", "7": "car"}, "images": {"one": {"annotated_classes": "all"},
                     "three": {"annotated_classes": "car"}}})");
    fs::create_directories(root / "docs");
  }

  void draw(drawn_image& image) const
  {
    index_t const H = image.H, W = image.W, h = (H - 1) / 4 + 1, w = (W - 1) / 4 + 1;
    image.semantic = map2(H, W), image.instances = map2(H, W);
    auto pixels = support::uniform<std::uint8_t, 3>({H, W, 3}, 0, 40, static_cast<std::uint64_t>(H));
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x)
        for (std::size_t i = 0; i < image.objects.size(); ++i) {
          auto const& o = image.objects[i];
          double const d = std::hypot(static_cast<double>(y) - o.y, static_cast<double>(x) - o.x);
          if (d > o.radius + 1) continue;
          bool const rim = d > o.radius, counted = image.annotated.empty() || image.annotated.contains(o.category);
          if (counted) image.semantic(y, x) = rim ? 255 : o.category;
          if (counted) image.instances(y, x) = rim ? 255 : static_cast<std::int32_t>(i + 1);
          for (index_t c = 0; c < 3; ++c) pixels(y, x, c) = static_cast<std::uint8_t>(200 - pixels(y, x, c));
        }
    image.cams = grid<float, 3>(image.tags.size(), h, w);
    auto boundary = support::uniform<float, 2>({h, w}, 0, 0.05, 7);
    for (index_t y = 0; y < h; ++y)
      for (index_t x = 0; x < w; ++x)
        for (auto const& o : image.objects) {
          double const d = std::hypot(4 * static_cast<double>(y) + 1.5 - o.y, 4 * static_cast<double>(x) + 1.5 - o.x);
          for (std::size_t c = 0; c < image.tags.size(); ++c) {
            auto& cell = image.cams(c, y, x);
            double const near = std::exp(-d * d / (o.radius * o.radius * (image.tags[c] == o.category ? 0.7 : 0.1)));
            cell = std::max(cell, static_cast<float>(near * (image.tags[c] == o.category ? 0.99 : 0.3)));
          }
          if (std::abs(d - o.radius) < 2.5) boundary(y, x) = 0.9f;
        }
    auto const folder = root / "real" / image.id;
    replace_file(folder / "image.jpg", format_jpeg(pixels));
    write_npy<3>(folder / "cam.npy", image.cams);
    write_npy<2>(folder / "boundary.npy", boundary);
    replace_file(folder / "semantic.png", format_labels(image.semantic, voc_palette()));
    replace_file(folder / "instances.png", format_labels(image.instances, voc_palette()));
  }

  outcome study(std::vector<std::string> words = {}) const
  {
    words.insert(words.begin(), {"--docs", at("docs"), "--real", at("real")});
    return run_program(root, CAMBIUM_PHOTOGRAPHS, words);
  }
};

json const& arm(json const& figures, std::string const& name)
{
  for (auto const& one : figures.at("arms"))
    if (one.at("name") == name) return one;
  FAIL("no arm " << name);
  return figures;
}

/// Predicted objects of one image, all of one score.
struct predicted {
  map2 semantic, label;
  std::vector<int> category;  ///< of object i + 1
};

/// Mean intersection over union, by counting pixels of each class.
double own_miou(std::vector<drawn_image const*> const& images, std::vector<predicted const*> const& found)
{
  double sum = 0;
  int classes = 0;
  for (int c = 0; c < 20; ++c) {
    double both = 0, either = 0;
    for (std::size_t k = 0; k < images.size(); ++k)
      for (std::size_t i = 0; i < images[k]->semantic.cells().size(); ++i) {
        int const t = images[k]->semantic.cells()[i], p = found[k]->semantic.cells()[i];
        bool const passed = t == 0 && p != 0 && !images[k]->annotated.empty() && !images[k]->annotated.contains(p);
        if (t == 255 || passed) continue;
        both += t == c && p == c;
        either += t == c || p == c;
      }
    if (either > 0) sum += both / either, ++classes;
  }
  return sum / classes;
}

/// Average precision at an overlap of half, all predictions equally sure: later ones first.
double own_ap50(std::vector<drawn_image const*> const& images, std::vector<predicted const*> const& found)
{
  double sum = 0;
  int classes = 0;
  for (int c = 1; c < 20; ++c) {
    std::vector<bool> hits;
    int positives = 0;
    for (std::size_t k = images.size(); k-- > 0;) {
      auto const& image = *images[k];
      auto const pixels = [&](auto const& counts) {
        int n = 0;
        for (std::size_t i = 0; i < image.instances.cells().size(); ++i)
          n += image.instances.cells()[i] != 255 && counts(image.instances.cells()[i], found[k]->label.cells()[i]);
        return n;
      };
      std::vector<int> free;
      for (std::size_t o = 0; o < image.objects.size(); ++o)
        if (image.objects[o].category == c && (image.annotated.empty() || image.annotated.contains(c)))
          free.push_back(static_cast<int>(o + 1)), ++positives;
      if (!image.annotated.empty() && !image.annotated.contains(c)) continue;
      for (std::size_t p = found[k]->category.size(); p-- > 0;) {
        if (found[k]->category[p] != c) continue;
        int const mine = static_cast<int>(p + 1);
        bool hit = false;
        for (auto& o : free) {
          int const both = pixels([&](int t, int q) { return t == o && q == mine; });
          int const either = pixels([&](int t, int q) { return t == o || q == mine; });
          if (o != 0 && 2 * both >= either && either > 0) hit = true, o = 0;
        }
        hits.push_back(hit);
      }
    }
    if (positives == 0) continue;
    ++classes;
    for (std::size_t i = 0, n = 0; i < hits.size(); ++i) {
      if (!hits[i]) continue;
      double best = 0;
      int so_far = static_cast<int>(++n);
      for (std::size_t j = i, m = static_cast<std::size_t>(so_far); j < hits.size(); ++j) {
        if (j > i) m += hits[j];
        best = std::max(best, static_cast<double>(m) / static_cast<double>(j + 1));
      }
      sum += best / positives;
    }
  }
  return sum / classes;
}

using own_figure = std::function<double(std::vector<drawn_image const*> const&, std::vector<predicted const*> const&)>;

/// Every draw of three images with replacement, each as often as it can be drawn, sorted by their figure.
std::vector<double> of_all_draws(std::function<double(std::vector<std::size_t> const&)> const& figure)
{
  std::vector<double> out;
  for (std::size_t code = 0; code < 27; ++code) {
    std::vector<std::size_t> of{code % 3, code / 3 % 3, code / 9};
    std::sort(of.begin(), of.end());
    out.push_back(figure(of));
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::function<double(std::vector<std::size_t> const&)> drawn(own_figure const& figure,
                                                             std::vector<drawn_image> const& images,
                                                             std::vector<predicted> const& found)
{
  return [&, figure](std::vector<std::size_t> const& of) {
    std::vector<drawn_image const*> some;
    std::vector<predicted const*> theirs;
    for (auto const i : of) some.push_back(&images[i]), theirs.push_back(&found[i]);
    return figure(some, theirs);
  };
}

/// The class of the largest CAM above a threshold; cells lie 4 pixels apart. The largest pixel of all is 1.
map2 own_cam_labels(drawn_image const& image, double threshold)
{
  map2 out(image.H, image.W);
  index_t const h = image.cams.shape()[1], w = image.cams.shape()[2];
  auto const pair = [](index_t pixel, index_t cells) {
    double const at = std::clamp((static_cast<double>(pixel) + 0.5) / 4 - 0.5, 0.0, static_cast<double>(cells - 1));
    auto const low = static_cast<index_t>(at);
    return std::tuple{low, std::min(low + 1, cells - 1), at - static_cast<double>(low)};
  };
  auto const value = [&](index_t c, index_t y, index_t x) {
    auto const [y0, y1, fy] = pair(y, h);
    auto const [x0, x1, fx] = pair(x, w);
    return (1 - fy) * ((1 - fx) * image.cams(c, y0, x0) + fx * image.cams(c, y0, x1)) +
           fy * ((1 - fx) * image.cams(c, y1, x0) + fx * image.cams(c, y1, x1));
  };
  auto const each = [&](auto const& visit) {
    for (index_t y = 0; y < image.H; ++y)
      for (index_t x = 0; x < image.W; ++x)
        for (index_t c = 0; c < image.cams.shape()[0]; ++c) visit(c, y, x, value(c, y, x));
  };
  double top = 0;
  each([&](index_t, index_t, index_t, double v) { top = std::max(top, v); });
  grid<double, 2> best(image.H, image.W);
  std::fill(best.cells().begin(), best.cells().end(), threshold * top);
  each([&](index_t c, index_t y, index_t x, double v) {
    if (v > best(y, x)) best(y, x) = v, out(y, x) = image.tags[static_cast<std::size_t>(c)];
  });
  return out;
}

/// The masks of the true objects' boxes: larger ones are painted first; with a map, only where it has their class.
predicted own_boxes(drawn_image const& image, map2 const* only)
{
  struct painted {
    index_t top, left, bottom, right;
    int category;
  };
  std::vector<painted> boxes;
  for (std::size_t o = 0; o < image.objects.size(); ++o) {
    painted b{image.H, image.W, 0, 0, image.objects[o].category};
    for (index_t y = 0; y < image.H; ++y)
      for (index_t x = 0; x < image.W; ++x)
        if (image.instances(y, x) == static_cast<std::int32_t>(o + 1))
          b = {std::min(b.top, y), std::min(b.left, x), std::max(b.bottom, y + 1), std::max(b.right, x + 1),
               b.category};
    if (b.bottom > 0) boxes.push_back(b);
  }
  predicted out{map2(image.H, image.W), map2(image.H, image.W), {}};
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < boxes.size(); ++i) order.push_back(i), out.category.push_back(boxes[i].category);
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) {
    auto const area = [&](auto i) { return (boxes[i].bottom - boxes[i].top) * (boxes[i].right - boxes[i].left); };
    return area(a) > area(b);
  });
  for (auto const i : order)
    for (index_t y = boxes[i].top; y < boxes[i].bottom; ++y)
      for (index_t x = boxes[i].left; x < boxes[i].right; ++x)
        if (only == nullptr || (*only)(y, x) == boxes[i].category)
          out.semantic(y, x) = boxes[i].category, out.label(y, x) = static_cast<std::int32_t>(i + 1);
  return out;
}

/// The regions that scribbles are drawn in: objects and, as the last number, the background.
map2 own_regions(drawn_image const& image)
{
  map2 region(image.H, image.W);
  for (index_t y = 0; y < image.H; ++y)
    for (index_t x = 0; x < image.W; ++x)
      region(y, x) = image.instances(y, x) == 255 ? 0
                     : image.instances(y, x) > 0  ? image.instances(y, x)
                                                  : static_cast<std::int32_t>(image.objects.size() + 1);
  return region;
}

/// Scribbles: the deep ridges of each region. Depth by looking at squares.
map2 own_scribbles(drawn_image const& image)
{
  index_t const H = image.H, W = image.W;
  auto const region = own_regions(image);
  map2 out(H, W);
  grid<int, 2> depth(H, W);
  std::map<std::int32_t, int> deepest;
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x)
      for (int r = 0; region(y, x) != 0; ++r) {
        bool inside = true;
        for (index_t v = y - r; v <= y + r; ++v)
          for (index_t u = x - r; u <= x + r; ++u)
            inside = inside && v >= 0 && u >= 0 && v < H && u < W && region(v, u) == region(y, x);
        if (!inside) break;
        depth(y, x) = r + 1, deepest[region(y, x)] = std::max(deepest[region(y, x)], r + 1);
      }
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      if (region(y, x) == 0 || depth(y, x) < 0.5 * deepest[region(y, x)]) continue;
      bool top = true;
      for (index_t v = std::max<index_t>(0, y - 1); v <= std::min(H - 1, y + 1); ++v)
        for (index_t u = std::max<index_t>(0, x - 1); u <= std::min(W - 1, x + 1); ++u)
          top = top && (region(v, u) != region(y, x) || depth(v, u) <= depth(y, x));
      if (top) out(y, x) = region(y, x);
    }
  return out;
}

/// Scribbles: skeletons of the regions, by the paper's two conditions on the ring of neighbours.
map2 own_skeletons(drawn_image const& image)
{
  auto out = own_regions(image);
  index_t const dy[] = {-1, -1, 0, 1, 1, 1, 0, -1}, dx[] = {0, 1, 1, 1, 0, -1, -1, -1};
  auto const region = out;
  for (int half = 0, quiet = 0; quiet < 2; ++half) {
    std::vector<std::pair<index_t, index_t>> deleted;
    for (index_t y = 0; y < image.H; ++y)
      for (index_t x = 0; x < image.W; ++x) {
        if (out(y, x) == 0) continue;
        bool p[8];
        for (int k = 0; k < 8; ++k) {
          index_t const v = y + dy[k], u = x + dx[k];
          p[k] = v >= 0 && u >= 0 && v < image.H && u < image.W && out(v, u) == region(y, x);
        }
        int branches = 0, pairs[2]{};
        for (int k = 0; k < 8; k += 2) {
          branches += !p[k] && (p[k + 1] || p[(k + 2) % 8]);
          pairs[0] += p[(k + 7) % 8] || p[k];
          pairs[1] += p[k] || p[k + 1];
        }
        int const few = std::min(pairs[0], pairs[1]), turn = half % 2 == 0 ? 0 : 4;
        bool const stays = (p[turn] || p[turn + 1] || !p[(turn + 3) % 8]) && p[turn + 2];
        if (branches == 1 && few >= 2 && few <= 3 && !stays) deleted.emplace_back(y, x);
      }
    for (auto const& [y, x] : deleted) out(y, x) = 0;
    quiet = deleted.empty() ? quiet + 1 : 0;
  }
  return out;
}

/// The seed of the cheapest path to each pixel, where a step costs the root of its squared length and colour change.
map2 own_cheapest(grid<std::uint8_t, 3> const& photograph, map2 const& seeds)
{
  index_t const H = seeds.shape()[0], W = seeds.shape()[1];
  map2 out = seeds;
  grid<double, 2> cost(H, W);
  std::priority_queue<std::tuple<double, index_t, index_t>> open;
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      cost(y, x) = seeds(y, x) != 0 ? 0 : 1e30;
      if (seeds(y, x) != 0) open.emplace(0, y, x);
    }
  while (!open.empty()) {
    auto const [minus, y, x] = open.top();
    open.pop();
    if (-minus > cost(y, x)) continue;
    for (index_t v = std::max<index_t>(0, y - 1); v <= std::min(H - 1, y + 1); ++v)
      for (index_t u = std::max<index_t>(0, x - 1); u <= std::min(W - 1, x + 1); ++u) {
        double squares = static_cast<double>((v - y) * (v - y) + (u - x) * (u - x));
        for (index_t c = 0; c < 3; ++c)
          squares += std::pow(static_cast<double>(photograph(v, u, c)) - static_cast<double>(photograph(y, x, c)), 2);
        double const there = cost(y, x) + std::sqrt(squares);
        if (there < cost(v, u)) cost(v, u) = there, out(v, u) = out(y, x), open.emplace(-there, v, u);
      }
  }
  return out;
}

void check_figure(json const& got, double value, std::vector<double> const& draws)
{
  // of 27 equally likely draws the 2.5th percentile is the first and the 97.5th the last
  CHECK(got.at("value").get<double>() == Approx(value).margin(1e-6));
  CHECK(got.at("low").get<double>() == Approx(draws.front()).margin(1e-6));
  CHECK(got.at("high").get<double>() == Approx(draws.back()).margin(1e-6));
}

}  // namespace

TEST_CASE("study --real: figures and intervals are those of the drawn photographs", "[photographs][reference]")
{
  photographs const p;
  auto const r = p.study({"--threads", "2"});
  INFO(r.err << r.out);
  REQUIRE(r.status == 0);
  auto const figures = parse(p.root / "docs/photographs.json");
  CHECK(figures.at("images") == 3);
  CHECK(text_of(p.root / "docs/photographs.md") == r.out);
  CHECK(contains(r.out, "3 photographs"));

  SECTION("CAM")
  {
    auto const& cam = arm(figures, "cam");
    double const threshold = std::stod(cam.at("setting").get<std::string>());
    std::vector<predicted> found;
    for (auto const& image : p.images) found.push_back({own_cam_labels(image, threshold), {}, {}});
    auto const figure = drawn(own_miou, p.images, found);
    auto const draws = of_all_draws(figure);
    CHECK(cam.at("miou").at("value").get<double>() == Approx(figure({0, 1, 2})).margin(1e-3));
    CHECK(cam.at("miou").at("low").get<double>() == Approx(draws.front()).margin(1e-3));
    CHECK(cam.at("miou").at("high").get<double>() == Approx(draws.back()).margin(1e-3));
    CHECK(figure({0, 1, 2}) > 0.4);
    CHECK(figure({0, 1, 2}) < 0.99);
  }

  SECTION("scribbles")
  {
    std::vector<double> of_rule;
    for (std::string const rule : {"scribbles", "skeletons"}) {
      CAPTURE(rule);
      std::vector<predicted> found;
      for (auto const& image : p.images) {
        auto const nearest = own_cheapest(read_photograph(p.root / "real" / image.id / "image.jpg"),
                                          rule == "scribbles" ? own_scribbles(image) : own_skeletons(image));
        auto& one = found.emplace_back(predicted{map2(image.H, image.W), map2(image.H, image.W), {}});
        for (auto const& o : image.objects) one.category.push_back(o.category);
        for (std::size_t i = 0; i < nearest.cells().size(); ++i)
          if (auto const at = static_cast<std::size_t>(nearest.cells()[i]); at <= image.objects.size())
            one.label.cells()[i] = nearest.cells()[i], one.semantic.cells()[i] = image.objects[at - 1].category;
      }
      auto const miou = drawn(own_miou, p.images, found), ap50 = drawn(own_ap50, p.images, found);
      auto const& scribbled = arm(figures, rule);
      CHECK(scribbled.at("miou").at("value").get<double>() == Approx(miou({0, 1, 2})).margin(1e-3));
      CHECK(scribbled.at("ap50").at("value").get<double>() == Approx(ap50({0, 1, 2})));
      CHECK(scribbled.at("setting") == "");
      of_rule.push_back(miou({0, 1, 2}));
    }
    CHECK(of_rule[0] < 1);
    CHECK(of_rule[1] > of_rule[0] + 0.02);  // neither rule passes for the other
  }

  SECTION("boxes, and the walk inside them: differences are paired")
  {
    std::vector<predicted> boxes, walk;
    double const threshold = std::stod(arm(figures, "boxes_walk").at("setting").get<std::string>());
    auto const labelled = run_program(p.root, CAMBIUM_LABEL,
                                      {"--images", p.at("real/{id}/image.jpg"), "--cams", p.at("real/{id}/cam.npy"),
                                       "--boundaries", p.at("real/{id}/boundary.npy"), "--tags", p.at("real/tags.txt"),
                                       "--out", p.at("out"), "--sem-seg-bg-thres", std::to_string(threshold)});
    REQUIRE(labelled.status == 0);
    for (auto const& image : p.images) {
      boxes.push_back(own_boxes(image, nullptr));
      auto const map = read_labels(p.root / "out/semantic" / (image.id + ".png"));
      walk.push_back(own_boxes(image, &map));
    }
    for (auto const& [name, figure] :
         {std::pair{"miou", own_figure(own_miou)}, std::pair{"ap50", own_figure(own_ap50)}}) {
      INFO(name);
      auto const less = drawn(figure, p.images, boxes), more = drawn(figure, p.images, walk);
      auto const difference = [&](auto const& of) { return more(of) - less(of); };
      std::vector<std::size_t> const all{0, 1, 2};
      check_figure(arm(figures, "boxes").at(name), less(all), of_all_draws(less));
      check_figure(arm(figures, "boxes_walk").at(name), more(all), of_all_draws(more));
      check_figure(arm(figures, "boxes_walk").at(std::string(name) + "_difference"), difference(all),
                   of_all_draws(difference));
    }
    CHECK(arm(figures, "boxes").at("miou").at("value") < 1);
  }
}

TEST_CASE("study --real chooses what sweep chooses, and labels as label does", "[photographs][same]")
{
  photographs const p;
  REQUIRE(p.study().status == 0);
  auto const figures = parse(p.root / "docs/photographs.json");
  std::vector<std::string> const truth{"--truth-semantic", p.at("real/{id}/semantic.png"), "--truth-instances",
                                       p.at("real/{id}/instances.png")};
  std::vector<std::string> words{"--images",     p.at("real/{id}/image.jpg"),
                                 "--cams",       p.at("real/{id}/cam.npy"),
                                 "--boundaries", p.at("real/{id}/boundary.npy"),
                                 "--tags",       p.at("real/tags.txt"),
                                 "--out",        p.at("out"),
                                 "--ids",        p.at("real/ids.txt")};
  auto kept = words;
  kept.push_back("--keep-scores");
  REQUIRE(run_program(p.root, CAMBIUM_LABEL, kept).status == 0);
  REQUIRE(
      run_program(p.root, CAMBIUM_SWEEP, {"--labels", p.at("out"), "--crf", "--images", p.at("real/{id}/image.jpg")})
          .status == 0);
  auto const swept = parse(p.root / "out/sweep.json");
  auto const setting = [&](char const* name) { return std::stod(arm(figures, name).at("setting").get<std::string>()); };
  CHECK(setting("walk") == Approx(swept.at("plain").at("chosen").get<double>()));
  CHECK(setting("walk_crf") == Approx(swept.at("crf").at("chosen").get<double>()));
  CHECK(setting("points") == setting("walk"));

  // the image that lacks a class in its truth counts otherwise here: it is left out
  auto const without_three = [&](std::vector<std::string> more) {
    replace_file(p.root / "real/ids.txt", "one\ntwo\n");
    replace_file(p.root / "real/tags.txt", "one 3\ntwo 3 7\n");
    more.insert(more.end(), truth.begin(), truth.end());
    auto all = words;
    all.insert(all.end(), more.begin(), more.end());
    auto const r = run_program(p.root, CAMBIUM_LABEL, all);
    INFO(r.err);
    REQUIRE(r.status == 0);
    REQUIRE(p.study().status == 0);
  };
  fs::remove_all(p.root / "out");
  without_three({});
  auto const two = parse(p.root / "docs/photographs.json");
  auto const chosen = arm(two, "walk").at("setting").get<std::string>();
  fs::remove_all(p.root / "out");
  without_three({"--sem-seg-bg-thres", chosen, "--ins-seg-bg-thres", chosen, "--component-thres", "2"});
  auto const scores = parse(p.root / "out/scores.json");
  CHECK(arm(two, "walk").at("miou").at("value").get<double>() == Approx(scores.at("miou").get<double>()));
  CHECK(arm(two, "walk").at("ap50").at("value").get<double>() == Approx(scores.at("ap50").get<double>()));
  without_three({"--sem-seg-bg-thres", chosen, "--ins-seg-bg-thres", chosen});
  auto const parted = parse(p.root / "out/scores.json");
  CHECK(arm(two, "walk_parted").at("ap50").at("value").get<double>() == Approx(parted.at("ap50").get<double>()));
}

TEST_CASE("study --real gives the same bytes for every number of threads", "[photographs][property]")
{
  photographs const p;
  REQUIRE(p.study({"--threads", "1"}).status == 0);
  auto const one = text_of(p.root / "docs/photographs.json");
  REQUIRE(p.study({"--threads", "3"}).status == 0);
  CHECK(text_of(p.root / "docs/photographs.json") == one);
  REQUIRE(p.study({"--seed", "2", "--draws", "5"}).status == 0);
  CHECK(text_of(p.root / "docs/photographs.json") != one);
}

TEST_CASE("study --real counts nothing that the truth of a photograph does not have", "[photographs][property]")
{
  photographs const p;
  REQUIRE(p.study().status == 0);
  auto const with = parse(p.root / "docs/photographs.json");
  fs::remove(p.root / "real/manifest.json");
  REQUIRE(p.study().status == 0);
  auto const without = parse(p.root / "docs/photographs.json");
  auto const value = [](json const& figures, char const* figure) {
    return arm(figures, "cam").at(figure).at("value").get<double>();
  };
  // a class 3 of the third photograph is found, but only the first two have it in their truth
  CHECK(value(with, "miou") > value(without, "miou") + 0.01);
  CHECK(value(with, "ap50") > value(without, "ap50") + 0.01);
}

TEST_CASE("study --real says what is wrong with a folder and writes nothing", "[photographs][errors]")
{
  photographs const p;
  auto const refuses = [&](int status, std::string const& words) {
    auto const r = p.study();
    INFO(r.err);
    CHECK(r.status == status);
    CHECK(contains(r.err, words));
    CHECK(everything(p.root / "docs").empty());
  };
  SECTION("no folder")
  {
    auto const r = run_program(p.root, CAMBIUM_PHOTOGRAPHS, {"--docs", p.at("docs"), "--real", p.at("nowhere")});
    CHECK(r.status == 2);
    CHECK(contains(r.err, "nowhere: is no folder"));
  }
  SECTION("no tags")
  {
    fs::remove(p.root / "real/tags.txt");
    refuses(2, "tags.txt: is missing");
  }
  SECTION("no photograph")
  {
    fs::remove(p.root / "real/ids.txt");
    for (auto const& image : p.images) fs::remove_all(p.root / "real" / image.id);
    refuses(2, "no file matches");
  }
  SECTION("a manifest with a class that it does not name")
  {
    replace_file(p.root / "real/manifest.json",
                 R"({"voc_classes": {"7": "car"}, "images": {"three": {"annotated_classes": "car, tram"}}})");
    refuses(2, "annotated_classes of 'three': 'tram' is no class of voc_classes");
  }
  SECTION("a manifest that is none")
  {
    replace_file(p.root / "real/manifest.json", "{");
    refuses(2, "manifest.json: ");
  }
  SECTION("a missing map")
  {
    fs::remove(p.root / "real/two/boundary.npy");
    refuses(1, "two/boundary.npy");
  }
  SECTION("a truth of another size")
  {
    replace_file(p.root / "real/two/semantic.png", format_labels(map2(9, 9), voc_palette()));
    refuses(1, "two/semantic.png: the image is 72 x 64, so the truth cannot be 9 x 9");
  }
  SECTION("CAMs of another number of classes")
  {
    write_npy<3>(p.root / "real/one/cam.npy", grid<float, 3>(2, 15, 21));
    refuses(1, "tags.txt: names 1 classes for 'one', but its CAM has 2 channels");
  }
}
