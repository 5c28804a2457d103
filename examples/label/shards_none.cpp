// The shards of a program that was built without libarchive.

#include "join.hpp"
#include "shard_run.hpp"
#include "shards.hpp"

namespace labelling {

namespace {

[[noreturn]] void refuse()
{
  throw usage_error(
      "this program was built without libarchive, which tar shards need; install it (on Debian libarchive-dev) and "
      "build the program again");
}

}  // namespace

void find_members(settings&, option_table const&, std::set<std::string> const&, std::set<std::string> const&,
                  std::string const&)
{
  refuse();
}

std::vector<std::string> output_names(std::vector<std::string> const&) { refuse(); }

int run_shards(settings const&, crew&) { refuse(); }

int join(std::string const&) { refuse(); }

}  // namespace labelling
