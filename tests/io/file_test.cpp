#include <cambium/io/file.hpp>

#include "support/catch.hpp"
#include "support/temporary.hpp"

#include <algorithm>
#include <csignal>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#if defined(__unix__)
#include <sys/resource.h>
#endif

using namespace cambium;
namespace fs = std::filesystem;

namespace {

std::string text_of(fs::path const& path)
{
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// The names in a folder.
std::vector<std::string> names(fs::path const& folder)
{
  std::vector<std::string> all;
  for (auto const& entry : fs::directory_iterator(folder)) all.push_back(entry.path().filename().string());
  std::sort(all.begin(), all.end());
  return all;
}

}  // namespace

TEST_CASE("what is written is read", "[io][property]")
{
  support::temporary_folder const folder;
  bytes content;
  for (std::size_t const n : {0u, 1u, 65535u, 65536u, 200001u}) {  // around the size of what is read at once
    content.resize(n);
    for (std::size_t i = 0; i < n; ++i) content[i] = static_cast<unsigned char>(i * 7 + i / 251);
    replace_file(folder / "a", content);
    CHECK(read_file(folder / "a") == content);
    CHECK(text_of(folder / "a") == std::string(content.begin(), content.end()));
  }
  replace_file(folder / "a", "text\r\n\0 with a zero");  // a C string ends at its zero
  CHECK(text_of(folder / "a") == "text\r\n");
  replace_file(folder / "a", std::string_view("\0\n", 2));
  CHECK(read_file(folder / "a") == bytes{0, '\n'});
  CHECK(names(folder.path()) == std::vector<std::string>{"a"});  // no .partial is left behind
}

TEST_CASE("a file is written piece by piece, completely or not at all", "[io][property]")
{
  support::temporary_folder const folder;
  replace_file(folder / "a", "before");
  {
    file_replacement file(folder / "a");
    file.write("one, ");
    file.write("", 0);
    CHECK(text_of(folder / "a") == "before");
  }
  CHECK(text_of(folder / "a") == "before");  // it was not finished
  CHECK(names(folder.path()) == std::vector<std::string>{"a"});
  {
    file_replacement file(folder / "b/c");
    file.write("one, ");
    file.write(std::string_view("two\0", 4));
    CHECK_FALSE(fs::exists(folder / "b/c"));
    file.finish();
    CHECK(file.path() == folder / "b/c");
  }
  CHECK(text_of(folder / "b/c") == std::string("one, two\0", 9));
  CHECK(names(folder / "b") == std::vector<std::string>{"c"});
}

TEST_CASE("folders that are missing are made", "[io][property]")
{
  support::temporary_folder const folder;
  auto const path = folder / "sem seg" / "2012" / "a.png";
  replace_file(path, "x");
  CHECK(text_of(path) == "x");
  CHECK(names(path.parent_path()) == std::vector<std::string>{"a.png"});
}

TEST_CASE("a file that cannot be put in place leaves nothing", "[io][errors]")
{
  support::temporary_folder const folder;
  fs::create_directories(folder / "taken" / "inside");
  CAMBIUM_THROWS_SAYING(replace_file(folder / "taken", "x"), io_error, (folder / "taken").string() + ": ");
  CHECK(names(folder.path()) == std::vector<std::string>{"taken"});
  CHECK(fs::is_directory(folder / "taken" / "inside"));

  replace_file(folder / "file", "old");
  CAMBIUM_THROWS_SAYING(replace_file(folder / "file" / "below", "x"), io_error, "below: cannot make its folder");
  CHECK(text_of(folder / "file") == "old");
  CHECK(names(folder.path()) == std::vector<std::string>{"file", "taken"});
}

TEST_CASE("the old file stays when there is no place for the new one", "[io][errors]")
{
  support::temporary_folder const folder;
  replace_file(folder / "label.png", "old");
  fs::create_directories(folder / "label.png.partial" / "in the way");
  CAMBIUM_THROWS_SAYING(replace_file(folder / "label.png", "new"), io_error, (folder / "label.png").string() + ": ");
  CHECK(text_of(folder / "label.png") == "old");
  CHECK(fs::is_directory(folder / "label.png.partial" / "in the way"));  // not ours to remove
}

#if defined(__unix__)
TEST_CASE("the old file stays when the disk is full", "[io][errors]")
{
  // A limit on the size of files stands in for a full disk.
  support::temporary_folder const folder;
  replace_file(folder / "label.png", "old");
  bytes const content(300000, 'x');
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  rlimit const small{100000, before.rlim_max};
  auto const handler = std::signal(SIGXFSZ, SIG_IGN);
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  std::string const text = support::refusal([&] { replace_file(folder / "label.png", content); });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  CHECK(text.rfind((folder / "label.png").string() + ": ", 0) == 0);
  CHECK(text.size() > (folder / "label.png").string().size() + 4);  // and a reason
  CHECK(text_of(folder / "label.png") == "old");
  CHECK(names(folder.path()) == std::vector<std::string>{"label.png"});
}
#endif

TEST_CASE("read_file rejects what it documents", "[io][errors]")
{
  support::temporary_folder const folder;
  CAMBIUM_THROWS_SAYING(read_file(folder / "none"), io_error, (folder / "none").string() + ": No such file");
  CAMBIUM_THROWS_SAYING(read_file(folder.path()), io_error, folder.path().string() + ": is a folder");
  replace_file(folder / "a", "x");
  CAMBIUM_THROWS_SAYING(read_file(folder / "a" / "b"), io_error, "b: ");
}
