#pragma once
// JSON that was written by others: fields are read one by one, and errors name them.

#include <cambium/core/error.hpp>
#include <cambium/core/index.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/other_tools.hpp>

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

namespace cambium {

/// An entry of a list in a JSON file: reads its fields and throws errors that name them.
struct json_entry {
  nlohmann::json const& value;
  std::string const& file;
  std::string const& list;  ///< "annotations", or "" if the file itself is the list
  std::size_t index;

  /// "annotations[12].bbox: reason (id 17)"
  std::string sentence(std::string const& field, std::string const& reason) const
  {
    auto const id = value.is_object() && field != "id" ? value.find("id") : value.end();
    return list + "[" + std::to_string(index) + "]" + (field.empty() ? "" : "." + field) + ": " + reason +
           (id != value.end() && id->is_number() ? " (id " + id->dump() + ")" : "");
  }
  [[noreturn]] void fail(std::string const& field, std::string const& reason) const
  {
    throw io_error(file + ": " + sentence(field, reason));
  }
  nlohmann::json const* find(char const* field) const  ///< null counts as missing
  {
    auto const found = value.find(field);
    return found == value.end() || found->is_null() ? nullptr : &*found;
  }
  nlohmann::json const& at(char const* field) const
  {
    auto const* const found = find(field);
    if (found == nullptr) fail(field, "is missing");
    return *found;
  }
  /// `field` is a text, or a function that makes one. It is called only on failure.
  template <class Field>
  static std::string name_of(Field const& field)
  {
    if constexpr (std::is_invocable_v<Field const&>)
      return field();
    else
      return field;
  }
  /// Describe a value that is not a number. NaN and infinities are texts: see parse_json.
  static std::string no_number(nlohmann::json const& v, char const* what)
  {
    if (v == "NaN" || v == "Infinity" || v == "-Infinity")
      return "is " + v.get<std::string>() + ", which JSON does not know, though Python's json writes it";
    return v.is_string()
               ? "is the text " + v.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + ", not " + what
               : std::string("is not ") + what;
  }
  template <class Field>
  std::int64_t integer(nlohmann::json const& v, Field const& field) const  ///< 1.0 is an integer
  {
    if (v.is_number_float())
      if (auto const d = v.get<double>(); d == std::floor(d) && std::abs(d) < 9e15) return static_cast<std::int64_t>(d);
    if (!v.is_number_integer()) fail(name_of(field), no_number(v, "an integer"));
    if (v.is_number_unsigned() && v.get<std::uint64_t>() > std::uint64_t{1} << 62) fail(name_of(field), "is too large");
    return v.get<std::int64_t>();
  }
  std::int64_t integer(char const* field) const { return integer(at(field), field); }
  template <class Field>
  double number(nlohmann::json const& v, Field const& field) const
  {
    if (!v.is_number()) fail(name_of(field), no_number(v, "a number"));
    return v.get<double>();
  }
  double number(char const* field) const { return number(at(field), field); }
  std::string text(char const* field) const  ///< "" if missing
  {
    auto const* const v = find(field);
    if (v == nullptr) return "";
    if (!v->is_string()) fail(field, "is not a text");
    return v->get<std::string>();
  }
};

/// [pixels] Larger numbers count as damage: a few bytes must not allocate gigabytes.
inline constexpr index_t largest_side = index_t{1} << 20;

/// Call one(entry) for every entry of a list. Each entry must be an object.
template <class One>
void for_each_entry(nlohmann::json const& list, std::string const& file, std::string const& name, One const& one)
{
  std::size_t index = 0;
  for (auto const& value : list) {
    json_entry const entry{value, file, name, index++};
    if (!value.is_object()) entry.fail("", "is not an object");
    one(entry);
  }
}

/// Replace the words NaN, Infinity and -Infinity, which Python's json writes, by texts.
[[nodiscard]] inline bytes quote_no_numbers(bytes const& file)
{
  std::string_view const all(reinterpret_cast<char const*>(file.data()), file.size());
  bytes out;
  bool text = false;
  for (std::size_t i = 0; i < all.size();) {
    std::string_view word = all.substr(i, 1);
    if (text && all[i] == '\\') word = all.substr(i, 2);
    if (all[i] == '"') text = !text;
    bool quoted = false;
    for (std::string_view const one : {"NaN", "Infinity", "-Infinity"})
      if (!text && all.substr(i, one.size()) == one) word = one, quoted = true;
    if (quoted) out.push_back('"');
    out.insert(out.end(), word.begin(), word.end());
    if (quoted) out.push_back('"');
    i += word.size();
  }
  return out;
}

/// Parse JSON. NaN, Infinity and -Infinity are not JSON. They become texts, so the reader of a field can name them.
/// @throws io_error "name: reason"
[[nodiscard]] inline nlohmann::json parse_json(bytes const& file, std::string const& name)
{
  try {
    auto value = nlohmann::json::parse(file.begin(), file.end(), nullptr, false);
    if (!value.is_discarded()) return value;
    if (std::string const what = name_foreign_text(file); !what.empty()) throw io_error(name + ": " + what);
    bytes const quoted = quote_no_numbers(file);
    return nlohmann::json::parse(quoted.begin(), quoted.end());
  } catch (nlohmann::json::exception const& e) {
    std::string const text = e.what();
    auto const end = text.find("] ");  // of the library's own number for the mistake
    throw io_error(name + ": " + (end == std::string::npos ? text : text.substr(end + 2)));
  }
}

}  // namespace cambium
