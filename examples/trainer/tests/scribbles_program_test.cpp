// 'trainer scribbles', run as people run it.

#include "programs/process.hpp"

#include <cambium/io/label_map.hpp>
#include <cambium/io/png.hpp>

#include <string>
#include <vector>

using namespace cambium;
using namespace programs;

namespace {

/// A folder in VOC's layout: eight photographs of 32 x 32 with a square, a scribble on it and one beside it.
struct folder : scratch {
  folder()
  {
    std::string list;
    for (int i = 0; i < 8; ++i) {
      std::string const id = "p" + std::to_string(i);
      list += id + "\n";
      grid<std::uint8_t, 3> photograph(32, 32, 3);
      for (index_t y = 0; y < 32; ++y)
        for (index_t x = 0; x < 32; ++x)
          for (index_t c = 0; c < 3; ++c) photograph(y, x, c) = y > 8 + i && x > 8 && y < 20 + i && x < 20 ? 220 : 40;
      replace_file(root / "JPEGImages" / (id + ".png"), format_photograph_png(photograph));
      scribble(id, 14);
      replace_file(root / "Points" / (id + ".txt"), std::string_view("14 17 0 1\n"));
    }
    replace_file(root / "train.txt", list);
  }

  void scribble(std::string const& id, index_t until) const
  {
    grid<std::int32_t, 2> marks(32, 32);
    std::fill(marks.cells().begin(), marks.cells().end(), 255);
    for (index_t x = 10; x < until; ++x) marks(17, x) = 1, marks(3, x) = 0;
    replace_file(root / "Scribbles" / (id + ".png"), format_labels(marks, voc_palette()));
  }

  outcome run(std::vector<std::string> const& more, std::string const& out,
              std::string const& command = "scribbles") const
  {
    std::vector<std::string> words{command};
    if (more[0] != "--data")
      words.insert(words.end(), {"--data", root.string(), "--list", "train.txt", "--classes", "square"});
    words.insert(words.end(), {"--quiet", "--out", at(out)});
    words.insert(words.end(), more.begin(), more.end());
    return run_program(root, CAMBIUM_TRAINER, words);
  }
};

}  // namespace

TEST_CASE("trainer scribbles: a run that is done is not done again, and corrected scribbles are another training",
          "[program]")
{
  folder f;
  std::vector<std::string> const short_run{"--side", "32", "--iterations", "2", "--no-score"};
  auto const first = f.run(short_run, "out");
  INFO(first.err);
  REQUIRE(first.status == 0);
  auto const made = everything(f.root / "out");
  REQUIRE(made.contains("scribbles.safetensors"));
  CHECK(read_labels(f.root / "out/semantic/p3.png").shape() == std::array<index_t, 2>{32, 32});

  CHECK(f.run(short_run, "out").status == 0);
  CHECK(everything(f.root / "out") == made);

  f.scribble("p5", 15);  // one pixel more of each scribble
  auto const corrected = f.run(short_run, "out");
  CHECK(corrected.status == 1);
  CHECK(contains(corrected.err, "was made with other settings"));
  CHECK(everything(f.root / "out").at("scribbles.safetensors") == made.at("scribbles.safetensors"));
  CHECK(f.run(short_run, "other").status == 0);
  CHECK(everything(f.root / "other").at("scribbles.safetensors") != made.at("scribbles.safetensors"));
}

TEST_CASE("trainer scribbles: points need a background", "[program][errors]")
{
  folder f;
  std::vector<std::string> words{"--side", "32", "--iterations", "1", "--no-score", "--point-files", "Points"};
  auto const alone = f.run(words, "out");
  CHECK(alone.status == 1);
  CHECK(contains(alone.err, "no image has a mark of the background"));
  CHECK_FALSE(std::filesystem::exists(f.root / "out/semantic"));
  words.push_back("--frame");
  CHECK(f.run(words, "framed").status == 0);
}

TEST_CASE("trainer scribbles: flags that mean nothing are refused", "[program][errors]")
{
  folder f;
  auto const refused = [&](std::vector<std::string> const& more, std::string const& words,
                           std::string const& command = "scribbles") {
    auto const r = f.run(more, "out", command);
    INFO(r.err);
    CHECK(r.status != 0);
    CHECK(contains(r.err, words));
    CHECK_FALSE(std::filesystem::exists(f.root / "out"));
  };
  refused({"--iterations", "-5"}, "--iterations");
  refused({"--limit", "-1", "--spread"}, "--limit");
  refused({"--limit", "2"}, "--limit requires --spread");
  refused({"--confidence", "0.4"}, "--confidence requires --spread");
  refused({"--confidence", "1.4", "--spread"}, "--confidence");
  refused({"--tree-weight", "0.7", "--no-tree"}, "--no-tree excludes --tree-weight");
  refused({"--tree-sigma", "0"}, "--tree-sigma");
  refused({"--marks", "skeleton", "--scribbles", "Scribbles"}, "--marks skeleton: marks are drawn from the truth");
  refused({"--data", "scenes", "--marks", "files"}, "has no files of marks");
  refused({"--scribbles", "Scribbles"}, "--scribbles", "boxes");
}
