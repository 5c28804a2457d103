// demo: draws scenes, simulates what networks would say of them, labels them, and writes one page to look at.
//
//   demo OUT [IMAGES]

#include "method_irnet.hpp"
#include "overlay.hpp"
#include "run.hpp"
#include "scenes.hpp"
#include "simulated.hpp"

#include <cambium/io/jpeg.hpp>
#include <cambium/io/npy.hpp>
#include <cambium/io/png.hpp>

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

namespace {

using namespace cambium;
using namespace demo;
namespace fs = std::filesystem;

auto const palette = voc_palette();

/// An [H,W,3] picture from a colour for every pixel.
template <class Colour>
grid<std::uint8_t, 3> paint(index_t H, index_t W, Colour const& colour)
{
  grid<std::uint8_t, 3> out(H, W, 3);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      rgb const c = colour(y, x);
      out(y, x, 0) = c.red, out(y, x, 1) = c.green, out(y, x, 2) = c.blue;
    }
  return out;
}

std::uint8_t level(double v) { return static_cast<std::uint8_t>(std::lround(255 * std::clamp(v, 0.0, 1.0))); }

/// Each class in its colour, as bright as its CAM, over a dim photograph.
grid<std::uint8_t, 3> paint_cams(scene const& s, network_outputs const& n)
{
  return paint(s.photograph.shape()[0], s.photograph.shape()[1], [&](index_t y, index_t x) {
    double const grey = (s.photograph(y, x, 0) + s.photograph(y, x, 1) + s.photograph(y, x, 2)) / 765.0;
    double c[3] = {0.35 * grey, 0.35 * grey, 0.35 * grey};
    for (std::size_t k = 0; k < n.classes.size(); ++k) {
      rgb const p = palette[static_cast<std::size_t>(n.classes[k])];
      double const v = n.cams(k, y / 4, x / 4);
      c[0] += v * (p.red + 60) / 190.0, c[1] += v * (p.green + 60) / 190.0, c[2] += v * (p.blue + 60) / 190.0;
    }
    return rgb{level(c[0]), level(c[1]), level(c[2])};
  });
}

/// Direction as hue, length as saturation: the displacement wheel.
grid<std::uint8_t, 3> paint_wheel(grid<float, 3> const& field, index_t H, index_t W)
{
  float longest = 1e-6f;
  for (index_t y = 0; y < field.shape()[1]; ++y)
    for (index_t x = 0; x < field.shape()[2]; ++x)
      longest = std::max(longest, std::hypot(field(0, y, x), field(1, y, x)));
  return paint(H, W, [&](index_t y, index_t x) {
    double const dy = field(0, y / 4, x / 4), dx = field(1, y / 4, x / 4);
    double const angle = std::atan2(dy, dx) / 6.283185307179586 + 0.5,
                 length = std::min(1.0, 1.3 * std::hypot(dy, dx) / longest);
    auto const channel = [&](double shift) {
      double const k = std::fmod(shift + 6 * angle, 6.0);
      return level(1 - length * std::max(0.0, std::min({k, 4 - k, 1.0})));
    };
    return rgb{channel(5), channel(3), channel(1)};
  });
}

grid<std::uint8_t, 3> paint_labels(grid<std::int32_t, 2> const& labels, bool instances)
{
  return paint(labels.shape()[0], labels.shape()[1], [&](index_t y, index_t x) {
    auto const v = labels(y, x);
    return v == 0 ? rgb{} : instances ? labelling::distinct_colour(v - 1) : palette[static_cast<std::size_t>(v & 255)];
  });
}

std::string percent(nlohmann::json const& v)
{
  if (!v.is_number()) return "–";
  char text[16];
  std::snprintf(text, sizeof text, "%.1f", 100 * v.get<double>());
  return text;
}

nlohmann::json read_json(fs::path const& path)
{
  auto const content = read_file(path);
  return nlohmann::json::parse(content.begin(), content.end());
}

char const* const head = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>cambium: weak supervision in, masks out</title>
<style>
 body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1500px; padding: 0 1rem; color: #222; background: #fafaf7 }
 h1 { font-weight: 600 } table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .25rem .9rem; text-align: right; border-bottom: 1px solid #ddd }
 td:first-child, th:first-child { text-align: left }
 .rows { display: grid; grid-template-columns: repeat(7, 1fr); gap: 6px; align-items: start }
 .rows b { font-weight: 600; font-size: 13px; position: sticky; top: 0; background: #fafaf7; padding: 4px 0 }
 .rows img { width: 100%; display: block; border-radius: 3px } .note { max-width: 60rem; color: #555 }
</style></head><body>
<h1>cambium: weak supervision in, masks out</h1>
)";

}  // namespace

int main(int count, char** arguments)
{
  if (count < 2 || count > 3) {
    std::fprintf(stderr, "usage: demo OUT [IMAGES]\n");
    return 2;
  }
  fs::path const out = arguments[1], set = out / "set";
  int const images = count == 3 ? std::atoi(arguments[2]) : 8;
  if (images < 1 || images > 99) {
    std::fprintf(stderr, "demo: IMAGES is %s; 1 to 99 are possible\n", arguments[2]);
    return 2;
  }
  try {
    std::string ids, tags;
    std::vector<scene> scenes;
    std::vector<network_outputs> outputs;
    for (int i = 0; i < images; ++i) {
      index_t const H = i % 3 == 1 ? 375 : 300, W = i % 3 == 2 ? 333 : 400;  // sizes that are no multiple of 4, too
      scenes.push_back(draw_scene(i + 1, H, W));
      outputs.push_back(simulate(scenes.back(), i + 1));
      scene const& s = scenes.back();
      network_outputs const& n = outputs.back();
      replace_file(set / "images" / (s.id + ".jpg"), format_jpeg(s.photograph, 92));
      replace_file(set / "instances" / (s.id + ".png"), format_ids(s.instance));
      replace_file(set / "semantic" / (s.id + ".png"), format_labels(s.semantic, palette));
      write_npy<3>(set / "cams" / (s.id + ".npy"), n.cams);
      write_npy<2>(set / "boundaries" / (s.id + ".npy"), n.boundary);
      write_npy<3>(set / "displacements" / (s.id + ".npy"), n.displacement);
      ids += s.id + "\n";
      tags += s.id;
      for (int const c : n.classes) tags += " " + std::to_string(c);
      tags += "\n";
    }
    replace_file(set / "ids.txt", ids);
    replace_file(set / "tags.txt", tags);
    std::printf("%d scenes drawn; their CAMs, boundaries and displacements are simulated from the masks\n", images);

    labelling::settings s;
    auto const how = std::make_shared<labelling::irnet_method>();
    s.how = how;
    s.images = set / "images/{id}.jpg", how->cams = set / "cams/{id}.npy",
    how->boundaries = set / "boundaries/{id}.npy";
    s.truth_instances = set / "instances/{id}.png", s.truth_semantic = set / "semantic/{id}.png";
    s.ids = set / "ids.txt", s.tags = set / "tags.txt";
    s.overlay = true;
    s.out = out / "components";
    std::puts("\n--- instances as boundary-aware components");
    int status = labelling::run(s);
    if (status != 0) return status;
    how->displacements = set / "displacements/{id}.npy";
    s.out = out / "labels";
    std::puts("\n--- instances from the displacement field");
    status = labelling::run(s);
    if (status != 0) return status;

    auto const with = read_json(out / "labels/scores.json"), without = read_json(out / "components/scores.json");
    std::string page = head;
    page +=
        "<p class=note>" + std::to_string(images) +
        " scenes were drawn with known masks. What networks would say of them is <b>simulated from those masks</b>, "
        "with gaps, false edges and noise; nothing was learned. Labels and scores are what "
        "<code>label</code> made of "
        "it.</p><table><tr><th>percent<th>mIoU<th>AP@0.25<th>AP@0.5<th>AP@0.7<th>AP@0.75</tr>";
    page += "<tr><td>CAM alone<td>" + percent(with["cam_miou"]) + "<td><td><td><td></tr>";
    for (auto const& [name, scores] :
         {std::pair{"walk, boundary-aware components", &without}, {"walk, displacement field", &with}})
      page += std::string("<tr><td>") + name + "<td>" + percent((*scores)["miou"]) + "<td>" +
              percent((*scores)["ap25"]) + "<td>" + percent((*scores)["ap50"]) + "<td>" + percent((*scores)["ap70"]) +
              "<td>" + percent((*scores)["ap75"]) + "</tr>";
    page += "</table><div class=rows>";
    for (char const* title : {"photograph", "CAM (simulated)", "boundary (simulated)", "displacement (simulated)",
                              "semantic labels", "instances", "truth"})
      page += std::string("<b>") + title + "</b>";
    for (std::size_t i = 0; i < scenes.size(); ++i) {
      scene const& sc = scenes[i];
      network_outputs const& n = outputs[i];
      index_t const H = sc.photograph.shape()[0], W = sc.photograph.shape()[1];
      auto const boundary = paint(H, W, [&](index_t y, index_t x) {
        std::uint8_t const v = level(1 - n.boundary(y / 4, x / 4));
        return rgb{v, v, v};
      });
      std::pair<char const*, grid<std::uint8_t, 3>> const pictures[] = {
          {"cam", paint_cams(sc, n)},
          {"boundary", boundary},
          {"displacement", paint_wheel(n.displacement, H, W)},
          {"semantic", paint_labels(read_labels(out / "labels/semantic" / (sc.id + ".png")), false)},
          {"truth", paint_labels(sc.instance, true)}};
      for (auto const& [name, picture] : pictures)
        replace_file(out / "pictures" / (sc.id + "_" + name + ".png"), format_photograph_png(picture));
      std::string const own[] = {"set/images/" + sc.id + ".jpg",        "pictures/" + sc.id + "_cam.png",
                                 "pictures/" + sc.id + "_boundary.png", "pictures/" + sc.id + "_displacement.png",
                                 "pictures/" + sc.id + "_semantic.png", "labels/overlay/" + sc.id + ".jpg",
                                 "pictures/" + sc.id + "_truth.png"};
      for (auto const& source : own) page += "\n<img loading=lazy src=\"" + source + "\" alt=\"" + source + "\">";
    }
    page += "\n</div></body></html>\n";
    replace_file(out / "index.html", page);
    std::printf("\nlook at %s\n", (out / "index.html").c_str());
    return 0;
  } catch (std::exception const& e) {
    std::fprintf(stderr, "demo: %s\n", e.what());
    return 1;
  }
}
