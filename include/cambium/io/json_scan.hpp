#pragma once
// Plain JSON in one pass, without a tree. It accepts less than JSON: a caller that meets `false` reads the text again with
// io/json_entry.hpp, which reads all of JSON and whose messages name the place and the reason.

#include <charconv>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <system_error>
#include <vector>

namespace cambium {

/// A place in a JSON text. Every function passes blanks, reads one thing and moves behind it; it returns false if there
/// is something else. After false the place is unspecified.
class json_cursor {
 public:
  explicit json_cursor(std::string_view text) : at_(text.data()), end_(text.data() + text.size()) {}

  bool take(char c)
  {
    if (next() != c || at_ == end_) return false;
    ++at_;
    return true;
  }
  char next()  ///< 0 at the end
  {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) ++at_;
    return at_ == end_ ? '\0' : *at_;
  }
  bool ends() { return next() == '\0' && at_ == end_; }

  /// What stands between quotes: escapes and invalid characters are not looked at.
  bool raw_text(std::string_view& out)
  {
    if (!take('"')) return false;
    for (char const* close = at_; close != end_; ++close) {
      close = static_cast<char const*>(std::memchr(close, '"', static_cast<std::size_t>(end_ - close)));
      if (close == nullptr) return false;
      char const* last = close;
      while (last != at_ && last[-1] == '\\') --last;
      if ((close - last) % 2 != 0) continue;
      out = {at_, static_cast<std::size_t>(close - at_)};
      at_ = close + 1;
      return true;
    }
    return false;
  }

  bool integer(std::int64_t& out)
  {
    number_text n;
    if (!scan(n) || !n.whole || n.digits > 18) return false;
    out = static_cast<std::int64_t>(n.minus ? 0 - n.value : n.value);
    return true;
  }

  /// The nearest double. Products and quotients of exact numbers are rounded once.
  bool number(double& out)
  {
    static constexpr double ten[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                     1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    number_text n;
    if (!scan(n)) return false;
    if (n.digits <= 15 && -22 <= n.exponent && n.exponent <= 22) {
      out = static_cast<double>(n.value);
      out = n.exponent < 0 ? out / ten[-n.exponent] : out * ten[n.exponent];
      if (n.minus && !(n.whole && n.value == 0)) out = -out;  // -0 is an integer, which has no sign
      return true;
    }
#if defined(__cpp_lib_to_chars)
    return std::from_chars(n.begin, at_, out).ec == std::errc{};
#else
    return false;
#endif
  }

  /// A list: one() reads each of its values.
  template <class One>
  bool list(One const& one)
  {
    if (!take('[')) return false;
    if (take(']')) return true;
    do
      if (!one()) return false;
    while (take(','));
    return take(']');
  }

  /// An object: one(key) reads the value of each key.
  template <class One>
  bool object(One const& one)
  {
    if (!take('{')) return false;
    if (take('}')) return true;
    std::string_view key;
    do
      if (!raw_text(key) || !take(':') || !one(key)) return false;
    while (take(','));
    return take('}');
  }

  static bool is_plain(std::string_view text)
  {
    for (char const c : text)
      if (c < ' ' || c > '~' || c == '\\') return false;
    return true;
  }

  /// Any value, which is of no interest.
  bool ignore(int depth = 8)
  {
    std::string_view text;
    double value;
    switch (next()) {
      case '"':
        return raw_text(text) && is_plain(text);
      case '[':
        return depth > 0 && list([&] { return ignore(depth - 1); });
      case '{':
        return depth > 0 && object([&](std::string_view key) { return is_plain(key) && ignore(depth - 1); });
      case 't':
        return word("true");
      case 'f':
        return word("false");
      case 'n':
        return word("null");
      default:
        return number(value);
    }
  }

  /// The text of a value, found by its brackets and quotes alone. Whether it is JSON is not looked at.
  bool span(std::string_view& out)
  {
    char const first = next();
    char const* const begin = at_;
    if (first == '{' || first == '[') {
      for (std::size_t depth = 0;;) {
        if (at_ == end_) return false;
        std::string_view inside;
        char const c = *at_;
        if (c == '"') {
          if (!raw_text(inside)) return false;
          continue;
        }
        ++at_;
        if (c == '{' || c == '[') ++depth;
        if ((c == '}' || c == ']') && --depth == 0) break;
      }
    } else if (first == '"') {
      if (!raw_text(out)) return false;
    } else {
      while (at_ != end_ && std::string_view(",]} \n\r\t").find(*at_) == std::string_view::npos) ++at_;
    }
    out = {begin, static_cast<std::size_t>(at_ - begin)};
    return at_ != begin;
  }

  /// The texts of a list's values.
  bool spans(std::vector<std::string_view>& out)
  {
    return list([&] { return span(out.emplace_back()); });
  }

 private:
  struct number_text {
    char const* begin;
    bool minus = false;
    bool whole = true;        ///< neither a point nor an exponent
    std::uint64_t value = 0;  ///< of all digits; wraps around
    int digits = 0;
    int exponent = 0;  ///< of ten
  };

  bool scan(number_text& n)
  {
    n.minus = next() == '-';
    n.begin = at_;
    at_ += n.minus;
    auto const digits = [&] {
      char const* const first = at_;
      for (; at_ != end_ && '0' <= *at_ && *at_ <= '9'; ++at_)
        n.value = 10 * n.value + static_cast<std::uint64_t>(*at_ - '0');
      return static_cast<int>(at_ - first < 1000 ? at_ - first : 1000);
    };
    char const* const first = at_;
    n.digits = digits();
    if (n.digits == 0 || (*first == '0' && n.digits > 1)) return false;
    if (at_ != end_ && *at_ == '.') {
      ++at_;
      n.whole = false;
      int const behind = digits();
      if (behind == 0) return false;
      n.digits += behind, n.exponent = -behind;
    }
    if (at_ != end_ && (*at_ == 'e' || *at_ == 'E')) {
      ++at_;
      n.whole = false;
      bool const minus = at_ != end_ && *at_ == '-';
      if (minus || (at_ != end_ && *at_ == '+')) ++at_;
      char const* const begin = at_;
      int power = 0;
      for (; at_ != end_ && '0' <= *at_ && *at_ <= '9'; ++at_)
        if (power < 10000) power = 10 * power + (*at_ - '0');
      if (at_ == begin) return false;
      n.exponent += minus ? -power : power;
    }
    return true;
  }

  bool word(std::string_view text)
  {
    if (std::string_view(at_, static_cast<std::size_t>(end_ - at_)).substr(0, text.size()) != text) return false;
    at_ += text.size();
    return true;
  }

  char const* at_;
  char const* end_;
};

}  // namespace cambium
