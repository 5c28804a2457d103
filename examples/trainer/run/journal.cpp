#include "run/journal.hpp"

#include "run/curves.hpp"

#include <cambium/core/error.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/png.hpp>

#include <nlohmann/json.hpp>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <string_view>

#include <unistd.h>

namespace trainer {

using cambium::io_error;
using nlohmann::ordered_json;

namespace {

std::string line_of(journal_entry const& e)
{
  auto const number = [](double v) { return std::isfinite(v) ? ordered_json(v) : ordered_json(nullptr); };
  ordered_json losses = ordered_json::object();
  for (auto const& [name, value] : e.losses) losses[name] = number(value);
  ordered_json const line{{"step", e.step},
                          {"epoch", number(e.epoch)},
                          {"rate", number(e.rate)},
                          {"losses", losses},
                          {"seconds", number(e.seconds)}};
  return line.dump() + "\n";
}

journal_entry entry_of(std::string_view line)
{
  auto const number = [](ordered_json const& v) {
    return v.is_null() ? std::numeric_limits<double>::quiet_NaN() : v.get<double>();
  };
  ordered_json const v = ordered_json::parse(line);
  journal_entry e{v.at("step").get<std::int64_t>(), number(v.at("epoch")), number(v.at("rate")), {}, 0};
  if (!v.at("losses").is_object()) throw io_error("losses are no object");
  for (auto const& [name, value] : v.at("losses").items()) e.losses.emplace_back(name, number(value));
  e.seconds = number(v.at("seconds"));
  return e;
}

std::string clock(double seconds)
{
  auto const s = static_cast<long long>(std::min(std::max(seconds, 0.0), 3.6e9) + 0.5);
  char text[40];
  std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
  return text;
}

std::string short_number(double v, char const* format)
{
  char text[40];
  std::snprintf(text, sizeof text, format, v);
  return text;
}

}  // namespace

std::vector<journal_entry> read_journal(std::filesystem::path const& log)
{
  cambium::bytes const file = cambium::read_file(log);
  std::string_view rest(reinterpret_cast<char const*>(file.data()), file.size());
  std::vector<journal_entry> out;
  for (int number = 1; !rest.empty(); ++number) {
    auto const end = rest.find('\n');
    if (end == std::string_view::npos) break;  // torn: a whole line ends with its mark
    std::string_view const line = rest.substr(0, end);
    rest = rest.substr(end + 1);
    auto const refuse = [&](std::string const& reason) {
      throw io_error(log.string() + ": line " + std::to_string(number) + ": " + reason);
    };
    try {
      out.push_back(entry_of(line));
    } catch (std::exception const& e) {
      // A machine that lost its power can leave a last line of the right length and the wrong content.
      if (rest.empty()) break;
      refuse(e.what());
    }
    if (out.size() > 1 && out[out.size() - 2].step >= out.back().step)
      refuse("step " + std::to_string(out.back().step) + " is not after step " +
             std::to_string(out[out.size() - 2].step));
  }
  return out;
}

std::string progress_line(std::int64_t now, std::int64_t total, std::int64_t done, double seconds,
                          std::vector<std::pair<std::string, double>> const& losses)
{
  std::string text = std::to_string(now) + (total > 0 ? "/" + std::to_string(total) : "") + " steps";
  for (auto const& [name, value] : losses) text += ", " + name + " " + short_number(value, "%.4g");
  double const rate = static_cast<double>(done) / std::max(seconds, 1e-9);
  text += ", " + short_number(rate, rate < 10 ? "%.2f" : "%.0f") + " steps/s";
  if (total > 0 && rate > 0) text += ", " + clock(static_cast<double>(total - now) / rate) + " left";
  return text;
}

struct journal::state {
  std::filesystem::path folder;
  std::int64_t first_step = 0;
  journal_options options;
  std::FILE* screen = stderr;
  bool terminal = false;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file{nullptr, &std::fclose};
  std::vector<journal_entry> entries;
  double seconds_before = 0;  ///< of earlier runs
  double shown = -1e9;
  bool bar_stands = false;
  std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();

  std::filesystem::path log() const { return folder / "log.jsonl"; }
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); }

  void show(journal_entry const& e)
  {
    double const now = seconds();
    bool const last = e.step == options.steps;
    if (options.quiet || (!last && now - shown < (terminal ? 0.1 : options.every_seconds))) return;
    shown = now;
    std::string const text = progress_line(e.step, options.steps, e.step - first_step, now, e.losses);
    if (!terminal || options.steps <= 0) {
      std::fprintf(screen, terminal ? "\r\033[K%s" : "%s\n", text.c_str());
    } else {
      double const part = static_cast<double>(e.step) / static_cast<double>(options.steps);
      auto const filled = static_cast<std::size_t>(24 * std::min(part, 1.0));
      std::fprintf(screen, "\r\033[K[%s%s] %s%s", std::string(filled, '#').c_str(),
                   std::string(24 - filled, '.').c_str(), text.c_str(), last ? "\n" : "");
    }
    bar_stands = terminal && !last;
    std::fflush(screen);
  }
};

journal::journal(std::filesystem::path folder, std::int64_t first_step, journal_options options)
    : state_(std::make_unique<state>())
{
  cambium::expects(first_step >= 0, "journal: first_step is ", first_step, "; expected a number of steps >= 0");
  state& s = *state_;
  s.folder = std::move(folder);
  s.first_step = first_step;
  s.options = options;
  if (options.screen != nullptr) s.screen = options.screen;
  s.terminal = ::isatty(::fileno(s.screen)) == 1;
  std::error_code failure;
  std::filesystem::create_directories(s.folder, failure);
  if (failure) throw io_error(s.folder.string() + ": cannot make this folder: " + failure.message());
  std::string kept;
  if (first_step > 0 && std::filesystem::exists(s.log()))
    for (journal_entry& e : read_journal(s.log())) {
      if (e.step > first_step) break;
      kept += line_of(e);
      s.seconds_before = std::isfinite(e.seconds) ? e.seconds : s.seconds_before;
      s.entries.push_back(std::move(e));
    }
  cambium::replace_file(s.log(), kept);
  s.file.reset(std::fopen(s.log().c_str(), "ab"));
  if (!s.file) throw io_error(s.log().string() + ": " + std::strerror(errno));
}

journal::~journal()
{
  if (state_ && state_->bar_stands) std::fputc('\n', state_->screen);
}
journal::journal(journal&&) noexcept = default;
journal& journal::operator=(journal&&) noexcept = default;

void journal::write(journal_entry entry)
{
  state& s = *state_;
  std::int64_t const last = s.entries.empty() ? s.first_step : std::max(s.first_step, s.entries.back().step);
  cambium::expects(entry.step > last, "journal: step ", entry.step, " is not after step ", last);
  entry.seconds = std::round((s.seconds_before + s.seconds()) * 1000) / 1000;
  std::string const line = line_of(entry);
  if (std::fwrite(line.data(), 1, line.size(), s.file.get()) != line.size() || std::fflush(s.file.get()) != 0)
    throw io_error(s.log().string() + ": " + std::strerror(errno));
  s.show(entry);
  s.entries.push_back(std::move(entry));
}

void journal::say(std::string const& line)
{
  if (state_->options.quiet) return;
  std::fprintf(state_->screen, state_->terminal ? "\r\033[K%s\n" : "%s\n", line.c_str());
  std::fflush(state_->screen);
  state_->bar_stands = false;
}

void journal::draw() const
{
  cambium::replace_file(state_->folder / "curves.png", cambium::format_photograph_png(draw_curves(state_->entries)));
}

std::vector<journal_entry> const& journal::entries() const { return state_->entries; }

}  // namespace trainer
