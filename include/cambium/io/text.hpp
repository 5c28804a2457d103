#pragma once
// Text files of any editor, and lines that begin with an id. One reader and one writer serve all programs, so each
// program reads the files of the others.

#include <cambium/core/error.hpp>
#include <cambium/io/file.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cambium {

/// The text of a file without its UTF-8 byte order mark.
/// @throws io_error "name: reason": UTF-16 or UTF-32, with a byte order mark or without; other zero bytes
[[nodiscard]] inline std::string_view text_of(bytes const& file, std::string const& name)
{
  std::string_view const text(reinterpret_cast<char const*>(file.data()), file.size());
  auto const begins = [&](std::string_view mark) { return text.substr(0, mark.size()) == mark; };
  auto const fail = [&](std::string const& what) {
    throw io_error(name + ": is " + what + "; save it as UTF-8, which is read with a mark at its beginning or without");
  };
  if (begins(std::string_view("\xFF\xFE\0\0", 4)) || begins(std::string_view("\0\0\xFE\xFF", 4))) fail("UTF-32 text");
  if (begins("\xFF\xFE")) fail("UTF-16 text (little-endian)");
  if (begins("\xFE\xFF")) fail("UTF-16 text (big-endian)");
  if (auto const zero = text.find('\0'); zero != std::string_view::npos)
    fail("no text, or UTF-16 without its mark: its byte " + std::to_string(zero) + " is zero");
  return begins("\xEF\xBB\xBF") ? text.substr(3) : text;
}

/// A line of a text file.
struct text_line {
  int number = 0;                       ///< from 1
  std::string_view text;                ///< the line without blanks around it
  std::vector<std::string_view> words;  ///< of the line without its comment, which begins with '#'
};

inline constexpr std::string_view blanks = " \t";

/// Remove blanks around a text.
[[nodiscard]] inline std::string_view trimmed(std::string_view text)
{
  auto const first = text.find_first_not_of(blanks);
  return first == std::string_view::npos ? std::string_view()
                                         : text.substr(first, text.find_last_not_of(blanks) + 1 - first);
}

/// The position of a comment: a '#' at the beginning of a text or after a blank. The text's size without a comment.
[[nodiscard]] inline std::size_t comment_of(std::string_view text, std::size_t from = 0)
{
  for (; (from = text.find('#', from)) != std::string_view::npos; ++from)
    if (from == 0 || blanks.find(text[from - 1]) != std::string_view::npos) return from;
  return text.size();
}

/// Split a text into words at blanks and tabs.
[[nodiscard]] inline std::vector<std::string_view> split_words(std::string_view text)
{
  std::vector<std::string_view> out;
  for (std::size_t at = 0; (at = text.find_first_not_of(blanks, at)) != std::string_view::npos;) {
    auto const stop = std::min(text.find_first_of(blanks, at), text.size());
    out.push_back(text.substr(at, stop - at));
    at = stop;
  }
  return out;
}

/// The lines of a text that are not blank, comments included. Lines end with LF, CR LF or CR. The result refers to the
/// text.
/// @throws io_error as text_of
[[nodiscard]] inline std::vector<text_line> lines_of(bytes const& file, std::string const& name)
{
  std::vector<text_line> out;
  std::string_view rest = text_of(file, name);
  for (int number = 1; !rest.empty(); ++number) {
    auto const end = std::min(rest.find_first_of("\r\n"), rest.size());
    if (auto const text = trimmed(rest.substr(0, end)); !text.empty())
      out.push_back({number, text, split_words(text.substr(0, text.find('#')))});
    rest.remove_prefix(std::min(rest.size(), end + (rest.substr(end, 2) == "\r\n" ? 2 : 1)));
  }
  return out;
}

/// The lines of a text that have words, without their comments.
/// @throws io_error as text_of
[[nodiscard]] inline std::vector<text_line> words_of(bytes const& file, std::string const& name)
{
  auto out = lines_of(file, name);
  std::erase_if(out, [](text_line const& line) { return line.words.empty(); });
  return out;
}

// --- ids -----------------------------------------------------------------------------------------------------

/// A line that begins with an id.
struct id_line {
  int number = 0;                       ///< from 1
  std::string id;                       ///< without quotes
  bool known = false;                   ///< the caller knows the id, or it was in quotes
  std::string_view behind;              ///< the rest of the line from the id on, with leading blanks, without a comment
  std::vector<std::string_view> words;  ///< the words of `behind`
  std::string_view text;                ///< the whole line
};

/// Whether lines have words after the id, or an id alone.
enum class id_lines_of { words, ids };

/// Read lines `<id> <word> <word> …`, or lists with one id per line. An id may contain blanks and '#':
///
///   * A quoted id is the text between the quotes: "img # 3" 1 2. Two quotes inside are one quote.
///   * Otherwise the id is a beginning of the line, up to a blank or the line's end, for which `known` returns true.
///   * If no beginning is known, the id is the first word; in a list of ids, the line.
///
/// '#' begins a comment at the beginning of a line, and at the beginning of a word after the id.
///
/// @param known  (std::string) whether an image with this id exists
/// @throws io_error "name:line: reason": two beginnings are known; a quote does not end; words after the id in a list
///         of ids. As text_of
template <class Known>
[[nodiscard]] std::vector<id_line> read_id_lines(bytes const& file, std::string const& name, Known const& known,
                                                 id_lines_of form = id_lines_of::words)
{
  std::vector<id_line> out;
  for (auto const& line : lines_of(file, name)) {
    std::string_view const text = line.text;
    if (text[0] == '#') continue;
    auto const fail = [&](std::string const& reason) {
      throw io_error(name + ":" + std::to_string(line.number) + ": " + reason);
    };
    id_line found{line.number, {}, false, {}, {}, text};
    std::size_t end = 0;
    if (text[0] == '"') {
      for (end = 1; end < text.size() && (text[end] != '"' || text.substr(end, 2) == "\"\""); ++end) {
        if (text[end] == '"') ++end;
        found.id += text[end];
      }
      if (end >= text.size()) fail("a quote does not end: " + std::string(text));
      if (++end < text.size() && blanks.find(text[end]) == std::string_view::npos)
        fail("a blank is needed behind the quotes: " + std::string(text));
      found.known = true;
    } else {
      std::vector<std::size_t> ends;  // of the beginnings
      for (std::size_t stop = 0; stop < text.size(); stop = text.find_first_not_of(blanks, stop))
        ends.push_back(stop = std::min(text.find_first_of(blanks, stop), text.size()));
      std::size_t const bare = trimmed(text.substr(0, comment_of(text))).size();  // without its comment
      for (std::size_t const stop : ends) {
        if (form == id_lines_of::ids && stop != text.size() && stop != bare) continue;
        std::string beginning(text.substr(0, stop));
        if (!known(beginning)) continue;
        if (found.known)
          fail("'" + found.id + "' and '" + beginning + "' are both images; write the id in quotes: \"" + beginning +
               "\"");
        found.id = std::move(beginning), found.known = true, end = stop;
      }
      if (!found.known) {
        end = form == id_lines_of::ids ? bare : ends[0];
        if (form == id_lines_of::ids)  // words behind an id, as tags have them?
          for (std::size_t const stop : ends)
            if (stop < bare && known(std::string(text.substr(0, stop)))) end = stop;
        found.id = text.substr(0, end);
      }
    }
    found.behind = text.substr(end, comment_of(text, end) - end);
    found.words = split_words(found.behind);
    if (form == id_lines_of::ids && !found.words.empty())
      fail("'" + std::string(trimmed(found.behind)) + "' stands behind the image '" + found.id +
           "'; a list of ids has nothing behind them");
    out.push_back(std::move(found));
  }
  return out;
}

/// Format lines `<id> <word> …` for read_id_lines. If one id needs quotes, all ids get quotes, so no line is ambiguous.
/// @param lines  ids and the rest of their lines
/// @throws precondition_error: an id that is empty or contains control characters, which a line cannot hold
[[nodiscard]] inline std::string format_id_lines(std::vector<std::pair<std::string, std::string>> const& lines)
{
  bool quotes = false;
  for (auto const& [id, behind] : lines) {
    bool const plain = std::none_of(id.begin(), id.end(), [](unsigned char c) { return c < 32; });
    expects(plain && !id.empty(), "format_id_lines: '", id, "' cannot be an id");
    quotes = quotes || id[0] == '"' || id[0] == '#' || id.find(' ') != std::string::npos;
  }
  std::string text;
  for (auto const& [id, behind] : lines) {
    if (quotes) text += '"';
    for (char const c : id) text.append(quotes && c == '"' ? 2 : 1, c);
    if (quotes) text += '"';
    text += (behind.empty() ? "" : " ") + behind + "\n";
  }
  return text;
}

}  // namespace cambium
