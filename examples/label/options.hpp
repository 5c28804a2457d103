#pragma once
// The options of a program as a table. A row holds a flag, the member that it sets, a check and its help. The command
// line, --help and the manifest's parameters are made of these rows.

#include "settings.hpp"

#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace CLI {
class Validator;
}

namespace labelling {

using json = nlohmann::ordered_json;

/// --exp-times and the original's --exp_times.
std::string both(std::string const& name);

/// A condition on the word behind a flag.
using check = std::shared_ptr<CLI::Validator const>;
check positive();
check odd();
check within(double low, double high);
check whole(std::int64_t low, std::int64_t high);
check one_of(std::vector<std::string> const& words);
check true_or_false();
check has_id();  ///< a path with {id} in it
check has_id_or_is_tar();

/// An enumeration that is given as a word: one of `words`, in the order of the enumeration.
struct choice {
  template <class Enum>
  choice(Enum& to, std::vector<std::string> all)
      : words(std::move(all)),
        set([&to](std::size_t i) { to = static_cast<Enum>(i); }),
        get([&to] { return static_cast<std::size_t>(to); })
  {
  }
  std::vector<std::string> words;
  std::function<void(std::size_t)> set;
  std::function<std::size_t()> get;
};

/// The member that a flag sets; or a value for the manifest alone, null where it says nothing. A bool without a check
/// is a switch. A text is the name of a file: the manifest does not hold it, since records hold the hashes of files.
using member = std::variant<bool*, int*, std::int64_t*, double*, std::string*, choice, std::function<json()>>;

enum class option_is { usual, required, unrecorded };

struct option {
  std::string flags;  ///< "--exp-times,--exp_times"; the manifest calls it exp_times
  member to;
  check valid = nullptr;
  std::string help = "";
  option_is kind = option_is::usual;
  std::function<json()> recorded{};  ///< what the manifest says instead of the member

  std::string name() const { return flags.substr(0, flags.find(',')); }
};

/// Rows under a heading of --help, and the modes of the program in which they mean anything. The manifest holds those
/// of its mode, in the order of the table.
struct option_group {
  std::string heading;  ///< "": the first one
  std::vector<option> rows;
  unsigned modes = ~0u;
};
using option_table = std::vector<option_group>;

/// --tags, or what a program calls it, and how its numbers are meant.
std::vector<option> tag_options(std::string const& flag, std::string& tags, tag_numbers& how, std::string const& text);

/// Whether a flag is in a table, by any of its names.
bool knows(option_table const& table, std::string const& flag);

/// The manifest's entries of a table.
json recorded(option_table const& table, unsigned mode);

/// Set the members of a table to what a manifest says.
/// @throws io_error, json::exception: an entry is missing, or is of another kind
void restore(option_table const& table, json const& parameters);

/// A program's name, and what --help says around the options.
struct program_words {
  std::string name, description, footer;
};

/// Set the members of a table from a command line.
/// @param given  gets the first name of each flag that the line has
/// @return nothing, to go on; else the status to end with: 0 after --help, 2 after a mistake, which stderr has
/// @throws usage_error: a number is not finite
std::optional<int> parse(program_words const& words, option_table const& table, int count, char const* const* arguments,
                         std::set<std::string>* given = nullptr);

/// Run a program. What it throws goes to stderr, with where help is.
/// @return what run() returns; 2 where it throws
int run_program(std::string const& name, std::function<int()> const& run);

}  // namespace labelling
