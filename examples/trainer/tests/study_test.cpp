// The study's frame, with arms that take no time: what is kept, what is measured again, jobs that fail, claims, the check.

#include "study/jobs.hpp"
#include "study/page.hpp"
#include "study/parts.hpp"
#include "study/published.hpp"
#include "study/results.hpp"
#include "study/runner.hpp"
#include "study/store.hpp"

#include <cambium/core/error.hpp>
#include <cambium/io/file.hpp>

#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include "support/temporary.hpp"

#include "support/catch.hpp"

using namespace trainer::study;
using cambium::precondition_error;
using support::refusal;
namespace fs = std::filesystem;

namespace {

std::string text_of(fs::path const& file)
{
  auto const b = cambium::read_file(file);
  return {b.begin(), b.end()};
}

bool has(std::string const& text, std::string const& part) { return text.find(part) != std::string::npos; }

/// An arm that counts how often it was measured.
arm counting(std::string const& name, int& times, std::vector<std::string> needs = {}, std::string recipe = "first")
{
  return {.name = name, .recipe = std::move(recipe), .needs = std::move(needs), .measure = [&times](place const& at) {
            ++times;
            return figures{{"iou", 0.5 + 0.01 * static_cast<double>(at.seed)}};
          }};
}

std::vector<std::string> shell(std::string const& script) { return {"/bin/sh", "-c", script}; }

/// What a command of the shell writes for an arm, in the form that store.hpp states.
std::string json_of_arm(std::string const& recipe, double iou)
{
  return "{\"recipe\": \"" + recipe + "\", \"figures\": {\"iou\": " + std::to_string(iou) + "}, \"seconds\": 2}";
}

/// A file that what is written to it can be read from.
class screen {
 public:
  std::FILE* file() const { return file_.get(); }
  std::string text() const
  {
    std::rewind(file_.get());
    std::string out;
    for (int c; (c = std::fgetc(file_.get())) != EOF;) out += static_cast<char>(c);
    return out;
  }

 private:
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_{std::tmpfile(), &std::fclose};
};

}  // namespace

// --- arms ---------------------------------------------------------------------------------------------

TEST_CASE("study: arms come after what they need, and carry its recipe", "[property]")
{
  int n = 0;
  std::vector<arm> const arms{counting("c", n, {"b", "a"}), counting("b", n, {"a"}, "two"), counting("a", n, {}, "one"),
                              counting("d", n)};
  CHECK_NOTHROW(check_arms(arms));
  CHECK(with_needs(arms, {"c"}) == std::vector<std::string>{"a", "b", "c"});
  CHECK(with_needs(arms, {"d", "b"}) == std::vector<std::string>{"d", "a", "b"});
  CHECK(whole_recipe(arms, "c") == "first; a: one; b: two");
  CHECK(whole_recipe(arms, "a") == "one");
  CHECK(matching(arms, "^[ad]") == std::vector<std::string>{"a", "d"});
  CHECK(matching(arms, "").size() == 4);
}

TEST_CASE("study: arms that cannot be", "[errors]")
{
  int n = 0;
  auto const refused = [](std::vector<arm> const& arms) {
    return refusal<precondition_error>([&] { check_arms(arms); });
  };
  CHECK(refused({counting("a", n), counting("a", n)}) == "study: there are two arms a");
  CHECK(refused({counting("a", n, {"b"})}) == "study: there is no arm b");
  CHECK(refused({counting("a", n, {"b"}), counting("b", n, {"a"})}) == "study: arm a needs itself");
  CHECK(has(refused({counting("../a", n)}), "arm \"../a\""));
  CHECK(has(refused({counting("a", n), counting("a/b", n)}), "the folder of arm a would hold that of a/b"));
  CHECK(refused({counting("a", n), counting("ab", n)}).empty());
  CHECK(refused({{.name = "a", .recipe = ""}}) == "study: arm a has nothing that measures it");
  std::vector<arm> const one{counting("a", n)};
  CHECK(has(refusal<precondition_error>([&] { (void)matching(one, "("); }), "--arms ( is no regular expression"));
  CHECK(has(refusal<precondition_error>([&] { (void)matching(one, "b"); }), "--arms b matches no arm"));
}

// --- what is kept -------------------------------------------------------------------------------------

TEST_CASE("study: what was measured is known, until recipe, file or left files change", "[property]")
{
  support::temporary_folder const work;
  int n = 0;
  std::vector<arm> arms{counting("a", n), counting("b/c", n, {"a"})};
  arms[0].leaves = {"weights"};
  arms[0].measure = [&](place const& at) {
    ++n;
    CHECK(fs::is_empty(at.folder()));
    std::ofstream(at.folder() / "weights") << "w";
    return figures{{"iou", 1.0 / 3}, {"count_objects", 41}};
  };
  auto const a = place_of(work.path(), "a", 7), b = place_of(work.path(), "b/c", 7);
  CHECK(file_of(b) == work.path() / "seed_7/b/c.json");
  std::string complaint;
  CHECK(!known(arms, a, &complaint));
  CHECK(complaint.empty());
  CHECK(refusal<precondition_error>([&] { measure(arms, b); }) == "study: b/c, seed 7, needs a, which is not measured");
  measure(arms, a);
  measure(arms, b);
  CHECK(n == 2);
  auto const is = known(arms, a, &complaint);
  REQUIRE(is);
  CHECK(is->found == figures{{"iou", 1.0 / 3}, {"count_objects", 41}});  // the same bits
  CHECK(is->seconds >= 0);
  CHECK(known(arms, b, &complaint)->found.at("iou") == 0.5 + 0.01 * 7);
  CHECK(complaint.empty());
  CHECK(!known(arms, place_of(work.path(), "a", 8), nullptr));

  SECTION("a changed recipe reaches the arms that need it")
  {
    arms[0].recipe = "second";
    CHECK(!known(arms, a, &complaint));
    CHECK(has(complaint, "seed_7/a.json: was measured by another recipe; it is measured again"));
    CHECK(!known(arms, b, nullptr));
    measure(arms, a);
    CHECK(known(arms, a, nullptr));
  }
  SECTION("a file that was cut, or is no JSON, or has no figure")
  {
    std::string const whole = text_of(file_of(a));
    for (std::string const& text : {whole.substr(0, whole.size() / 2), std::string(), std::string("[1, 2]")}) {
      std::ofstream(file_of(a)) << text;
      CHECK(!known(arms, a, &complaint));
      CHECK(has(complaint, "a.json: cannot be read ("));
      CHECK(has(complaint, "it is measured again"));
    }
    std::ofstream(file_of(a)) << "{\"recipe\": \"first\", \"figures\": {}}";
    CHECK(!known(arms, a, &complaint));
    CHECK(has(complaint, "has no figure"));
  }
  SECTION("a file that it leaves is gone")
  {
    fs::remove(a.folder() / "weights");
    CHECK(!known(arms, a, &complaint));
    CHECK(has(complaint, "weights is gone"));
  }
  SECTION("a file that was cut")
  {
    std::ofstream(a.folder() / "weights") << "";
    CHECK(!known(arms, a, &complaint));
    CHECK(has(complaint, "weights has another size"));
    CHECK(!known(arms, b, &complaint));  // what needs it would read it
    CHECK(has(complaint, "b/c.json: needs a, which is not known; it is measured again"));
  }
  SECTION("what was measured with another measurement of what it needs")
  {
    measure(arms, a);
    CHECK(known(arms, a, nullptr));
    CHECK(!known(arms, b, &complaint));
    CHECK(has(complaint, "b/c.json: was measured with another a"));
    measure(arms, b);
    CHECK(known(arms, b, nullptr));
  }
  SECTION("each file of a folder that it leaves counts, and an empty folder is none")
  {
    arms[0].leaves = {"maps"};
    arms[0].measure = [&](place const& at) {
      fs::create_directories(at.folder() / "maps/more");
      std::ofstream(at.folder() / "maps/1.png") << "1";
      std::ofstream(at.folder() / "maps/more/2.png") << "2";
      return figures{{"iou", 1}};
    };
    measure(arms, a);
    CHECK(known(arms, a, nullptr));
    fs::remove(a.folder() / "maps/more/2.png");
    CHECK(!known(arms, a, &complaint));
    CHECK(has(complaint, "maps/more/2.png is gone"));
    arms[0].measure = [](place const& at) {
      fs::create_directories(at.folder() / "maps");
      return figures{{"iou", 1}};
    };
    CHECK(has(refusal<precondition_error>([&] { measure(arms, a); }), "study: a has left nothing in "));
  }
  SECTION("it says when, where and by which program")
  {
    CHECK(is->date == today());
    CHECK(is->machine == machine());
    CHECK(is->program == build_of_program());
    CHECK(is->program.size() == 16);
  }
  SECTION("an arm that fails leaves no file, and old files are no part of it")
  {
    arms[0].measure = [](place const&) -> figures { throw std::runtime_error("no"); };
    CHECK(refusal<std::runtime_error>([&] { measure(arms, a); }) == "no");
    CHECK(!fs::exists(file_of(a)));
  }
}

TEST_CASE("study: figures that are none", "[errors]")
{
  support::temporary_folder const work;
  int n = 0;
  std::vector<arm> arms{counting("a", n)};
  auto const a = place_of(work.path(), "a", 1);
  auto const refused = [&](figures const& found) {
    arms[0].measure = [found](place const&) { return found; };
    auto const out = refusal<precondition_error>([&] { measure(arms, a); });
    CHECK(!fs::exists(file_of(a)));
    return out;
  };
  CHECK(refused({}) == "study: a has found no figure");
  CHECK(refused({{"iou", std::nan("")}}) == "study: a: iou is nan; expected a finite number");
  arms[0].leaves = {"x"};
  CHECK(has(refused({{"iou", 1}}), "study: a has left no "));
}

// --- jobs ---------------------------------------------------------------------------------------------

TEST_CASE("study: jobs that fail and that are killed, and those that wait for them", "[property]")
{
  support::temporary_folder const work;
  auto const log = [&](char const* name) { return work / name; };
  for (std::size_t const at_once : {1u, 3u}) {
    std::vector<job> const jobs{{"good", shell("echo said; sleep 0.05"), log("good"), {}},
                                {"bad", shell("echo why >&2; exit 3"), log("bad"), {}},
                                {"killed", shell("kill -9 $$"), log("killed"), {}},
                                {"after bad", shell("exit 0"), log("4"), {0, 1}},
                                {"after that", shell("exit 0"), log("5"), {3}},
                                {"none", {"/no/such/program"}, log("6"), {}},
                                {"after good", shell("test -s " + log("good").string()), log("7"), {0}}};
    std::vector<std::string> failures(jobs.size(), "not told");
    CHECK(run_jobs(jobs, at_once, [&](job_end const& e) { failures[e.job] = e.failure; }) == 0);
    CHECK(failures == std::vector<std::string>{"", "ended with status 3", "was ended by signal 9 (Killed)",
                                               "needs bad, which failed", "needs after bad, which failed",
                                               "ended with status 127", ""});
    CHECK(text_of(log("good")) == "said\n");
    CHECK(text_of(log("bad")) == "why\n");
    CHECK(has(text_of(log("6")), "/no/such/program: No such file"));
  }
}

TEST_CASE("study: no more jobs at a time than asked for", "[property]")
{
  support::temporary_folder const work;
  // a job finds no more than `at_once` marks of jobs at work, and leaves how many it found
  auto const script = "m=$(mktemp " + (work / "atwork.XXXXXX").string() + "); ls " + work.path().string() +
                      " | grep -c atwork >>" + (work / "found").string() + "; sleep 0.1; rm $m";
  for (int const at_once : {1, 2}) {
    fs::remove(work / "found");
    std::vector<job> const jobs(6, job{"j", shell(script), work / "log", {}});
    CHECK(run_jobs(jobs, static_cast<std::size_t>(at_once), [](job_end const& e) { CHECK(e.failure.empty()); }) == 0);
    std::ifstream in(work / "found");
    int most = 0, lines = 0;
    for (int n; in >> n; ++lines) most = std::max(most, n);
    CHECK(lines == 6);
    CHECK(most == at_once);
  }
}

TEST_CASE("study: a signal ends all jobs, also one that does not listen", "[property]")
{
  support::temporary_folder const work;
  std::fflush(nullptr);
  pid_t const study = ::fork();  // a process of its own gets the signal
  if (study == 0) {
    std::vector<job> jobs;
    for (char const* name : {"a", "b"})
      jobs.push_back({name,
                      shell(std::string(*name == 'a' ? "trap '' TERM; " : "") + "echo $$ >" + (work / name).string() +
                            "; exec sleep 60"),
                      work / "log",
                      {}});
    int const signal = run_jobs(jobs, 2, [](job_end const&) {});
    ::_exit(signal == SIGTERM ? 42 : 1);
  }
  auto const child = [&](char const* name) -> pid_t {
    for (int i = 0; i < 500; ++i) {
      pid_t id = 0;
      if (std::ifstream(work / name) >> id && id > 0) return id;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return 0;
  };
  pid_t const a = child("a"), b = child("b");
  REQUIRE(a > 0);
  REQUIRE(b > 0);
  auto const asked = std::chrono::steady_clock::now();
  ::kill(study, SIGTERM);
  int status = 0;
  REQUIRE(::waitpid(study, &status, 0) == study);
  CHECK(std::chrono::steady_clock::now() - asked < std::chrono::seconds(40));  // the jobs sleep for 60
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 42);
  CHECK(::kill(a, 0) != 0);  // nobody is there
  CHECK(::kill(b, 0) != 0);
}

TEST_CASE("study: jobs that take long are told of once", "[property]")
{
  std::vector<job> const jobs{{"quick", shell("exit 0"), "/dev/null", {}}, {"slow", shell("sleep 4"), "/dev/null", {}}};
  std::vector<std::size_t> asked, told;
  CHECK(run_jobs(
            jobs, 2, [](job_end const& e) { CHECK(e.failure.empty()); },
            [&](job_late const& j) {
              asked.push_back(j.job);
              if (j.seconds < 2) return false;
              told.push_back(j.job);
              return true;
            }) == 0);
  CHECK(told == std::vector<std::size_t>{1});
  CHECK(asked.back() == 1);
}

TEST_CASE("study: one study at a time works in a folder", "[errors]")
{
  support::temporary_folder const work;
  int n = 0;
  std::vector<arm> const arms{counting("a", n)};
  screen shown_on;
  run_options how{.work = work / "w", .seeds = {1}, .at_once = 1, .command = {}, .screen = shown_on.file()};
  std::string second = "not asked";
  how.command = [&](place const& at) {  // the first one is at work
    auto other = how;
    other.command = [](place const&) { return shell("exit 0"); };
    second = refusal<cambium::io_error>([&] { (void)run_arms(arms, {"a"}, other); });
    return shell("echo '" + json_of_arm("first", 0.5) + "' >" + file_of(at).string());
  };
  auto const first = run_arms(arms, {"a"}, how);
  CHECK(first.measured == 1);
  CHECK(has(second, "another study is at work in " + (work / "w").string()));
  CHECK(run_arms(arms, {"a"}, how).known == 1);  // it was given back
}

TEST_CASE("study: jobs that cannot be", "[errors]")
{
  auto const run = [](std::size_t at_once, std::vector<std::size_t> after) {
    return refusal<precondition_error>(
        [&] { (void)run_jobs({{"a", shell(""), "/dev/null", after}}, at_once, [](job_end const&) {}); });
  };
  CHECK(run(0, {}) == "study: no job at once");
  CHECK(run(1, {0}) == "study: job a waits for a later one");
}

// --- the whole run ------------------------------------------------------------------------------------

TEST_CASE("study: arms are measured once, failures are named, and the next run goes on", "[property]")
{
  support::temporary_folder const work;
  int n = 0;
  std::vector<arm> const arms{counting("base", n), counting("x/good", n, {"base"}), counting("x/bad", n, {"base"}),
                              counting("x/worse", n, {"x/bad"}), counting("other", n)};
  bool mended = false;
  screen shown_on;
  run_options how{.work = work.path(), .seeds = {1, 2}, .at_once = 2, .command = {}, .screen = shown_on.file()};
  how.command = [&](place const& at) {
    auto const whole = json_of_arm(whole_recipe(arms, at.arm), 0.25 * static_cast<double>(at.seed));
    auto const wait =
        at.arm == "base" ? "" : "test -s " + file_of({at.seed, at.root, "base"}).string() + " || exit 9; ";
    if (at.arm == "x/bad" && at.seed == 1 && !mended) return shell("echo first; echo 'out of luck'; kill -9 $$");
    return shell(wait + "echo '" + whole + "' >" + file_of(at).string());
  };
  auto const names = matching(arms, "^x/");
  auto const first = run_arms(arms, names, how);
  CHECK(first.known == 0);
  CHECK(first.measured == 6);
  REQUIRE(first.failed.size() == 2);
  CHECK(has(first.failed[0], "x/bad, seed 1: was ended by signal 9 (Killed): out of luck ("));
  CHECK(first.failed[1] == "x/worse, seed 1: needs x/bad, seed 1, which failed");
  auto const told = shown_on.text();
  CHECK(has(told, "x/good, seed 1: iou 25.0 %"));
  CHECK(has(told, "; 0 left"));
  CHECK(!has(told, "other"));
  std::vector<std::string> missing;
  (void)gathered(arms, names, how, missing);
  CHECK(missing == std::vector<std::string>{"x/bad, seed 1", "x/worse, seed 1"});

  mended = true;
  auto const second = run_arms(arms, names, how);
  CHECK(second.known == 6);
  CHECK(second.measured == 2);
  CHECK(second.failed.empty());
  missing.clear();
  auto const all = gathered(arms, names, how, missing);
  CHECK(missing.empty());
  CHECK(all.size() == 4);
  CHECK(all.at("x/worse").figures.at("iou") == std::vector<double>{0.25, 0.5});
  CHECK(all.at("base").seconds == std::vector<double>{2, 2});
  CHECK(n == 0);  // nothing was measured in this process

  SECTION("a cut file is told and measured again")
  {
    std::ofstream(work / "seed_1/x/good.json") << "{\"recipe";
    auto const third = run_arms(arms, names, how);
    CHECK(third.measured == 1);
    CHECK(has(shown_on.text(), "good.json: cannot be read"));
  }
  SECTION("a command that says it was good and left nothing has failed")
  {
    fs::remove(work / "seed_1/x/good.json");
    how.command = [](place const&) { return shell("exit 0"); };
    auto const third = run_arms(arms, names, how);
    REQUIRE(third.failed.size() == 1);
    CHECK(has(third.failed[0], "x/good, seed 1: has left no figures"));
  }
}

// --- claims -------------------------------------------------------------------------------------------

// more = [0.912, 0.897, 0.931, 0.905, 0.884]; less = [0.881, 0.885, 0.886, 0.878, 0.888]; d = more - f * less - margin
// scipy.stats.t.interval(0.95, len(d) - 1, loc=numpy.mean(d), scale=scipy.stats.sem(d)); SciPy 1.17
TEST_CASE("study: differences and intervals are SciPy's", "[reference]")
{
  std::vector<double> const more{0.912, 0.897, 0.931, 0.905, 0.884}, less{0.881, 0.885, 0.886, 0.878, 0.888};
  struct expected {
    double factor, margin, mean, low, high;
    verdict holds;
  };
  for (auto const& e : {expected{1, 0, 0.0222, -0.0011188333576178447, 0.04551883335761788, verdict::not_shown},
                        expected{0.97, 0, 0.048708, 0.02545054713160798, 0.07196545286839215, verdict::yes},
                        expected{1, 0.05, -0.0278, -0.05111883335761784, -0.004481166642382118, verdict::no},
                        expected{1, -0.01, 0.0322, 0.008881166642382157, 0.05551883335761788, verdict::yes}}) {
    auto const is = judge({.name = "c", .factor = e.factor, .margin = e.margin}, less, more);
    CHECK(std::abs(is.difference - e.mean) < 1e-12);
    REQUIRE(is.range);
    CHECK(std::abs(is.range->low - e.low) < 1e-9);
    CHECK(std::abs(is.range->high - e.high) < 1e-9);
    CHECK(is.holds == e.holds);
    CHECK(is.differences.size() == 5);
    CHECK(std::abs(is.differences[2] - (0.931 - e.factor * 0.886 - e.margin)) < 1e-12);
  }
  // two seeds: scipy gives [-1.0706204736174694, 1.4706204736174693] of 0.1 and 0.3
  auto const two = interval_of({0.1, 0.3});
  CHECK(std::abs(two.low + 1.0706204736174694) < 1e-9);
  CHECK(std::abs(two.high - 1.4706204736174693) < 1e-9);
  CHECK(std::abs(deviation_of(more) - 0.01751285242329189) < 1e-12);  // numpy.std(more, ddof=1)
  // scipy.stats.t.ppf(0.975, k)
  for (auto const& [k, q] : {std::pair{1, 12.706204736},
                             {2, 4.302652730},
                             {4, 2.776445105},
                             {9, 2.262157163},
                             {29, 2.045229642},
                             {30, 2.042272456}})
    CHECK(std::abs(student_quantile(static_cast<std::size_t>(k)) - q) < 1e-9);
}

TEST_CASE("study: claims without another figure, of one seed, of equal arms", "[property]")
{
  auto const above = judge({.name = "c"}, {}, {0.3, 0.31, 0.32});
  CHECK(above.holds == verdict::yes);
  CHECK(std::abs(above.difference - 0.31) < 1e-12);
  auto const one = judge({.name = "c"}, {0.1}, {0.9});
  CHECK(!one.range);
  CHECK(one.holds == verdict::not_shown);
  auto const equal = judge({.name = "c"}, {0.5, 0.6}, {0.5, 0.6});
  CHECK(equal.range->low == 0);
  CHECK(equal.holds == verdict::not_shown);
}

TEST_CASE("study: claims that cannot be", "[errors]")
{
  auto const refused = [](auto const& call) { return refusal<precondition_error>(call); };
  CHECK(refused([] { (void)judge({.name = "c"}, {1}, {1, 2}); }) == "study: claim \"c\" compares 1 seeds with 2");
  CHECK(refused([] { (void)judge({.name = "c"}, {}, {}); }) == "study: claim \"c\" has no seed");
  CHECK(refused([] { (void)student_quantile(0); }) == "study: 0 degrees of freedom; expected 1..30");
  CHECK(refused([] { (void)interval_of(std::vector<double>(32)); }) == "study: 31 degrees of freedom; expected 1..30");
  CHECK(refused([] { (void)interval_of({1}); }) == "study: an interval needs two values or more");
}

// --- the check and the page ---------------------------------------------------------------------------

namespace {

/// Three seeds of which one claim holds, one does not, and one is not shown.
results three_seeds()
{
  results all{.command = "./run study", .date = "2026-01-02", .machine = "a machine", .seeds = {1, 2, 3}};
  all.chosen_on = {{"S", {11, 12, 13}, "How."}};
  all.arms["s/low"] = {"recipe", {{"iou", {0.50, 0.52, 0.51}}}, {60, 60, 60}, {59, 59, 59}};
  all.arms["s/high"] = {
      "recipe", {{"iou", {0.70, 0.73, 0.72}}, {"count_objects", {10, 12, 14}}}, {60, 60, 60}, {59, 59, 59}};
  all.arms["s/near"] = {"recipe", {{"iou", {0.52, 0.51, 0.515}}}, {60, 60, 60}, {59, 59, 59}};
  auto const left_out =
      judge_into(all, "s",
                 {{.name = "high beats low", .paper = "+9", .less = "s/low:iou", .more = "s/high:iou", .main = true},
                  {.name = "near beats low", .less = "s/low:iou", .more = "s/near:iou"},
                  {.name = "low beats high", .less = "s/high:iou", .more = "s/low:iou"},
                  {.name = "not measured", .less = "s/low:iou", .more = "s/none:iou"}});
  CHECK(left_out == std::vector<std::string>{"not measured"});
  return all;
}

}  // namespace

TEST_CASE("study: a claim of a figure that its arm does not have is refused", "[errors]")
{
  auto all = three_seeds();
  auto const refused = [&](claim const& c) {
    return refusal<precondition_error>([&] { (void)judge_into(all, "s", {c}); });
  };
  CHECK(refused({.name = "c", .less = "s/low:iou", .more = "s/high:iuo"}) ==
        "study: claim \"c\": arm s/high has no figure iuo");
  CHECK(refused({.name = "c", .less = "s/low:ap", .more = "s/none:iou"}) ==
        "study: claim \"c\": arm s/low has no figure ap");
  CHECK(all.claims.size() == 3);
}

TEST_CASE("study: claims are about arms that there are", "[errors]")
{
  int n = 0;
  std::vector<arm> const arms{counting("a", n), counting("b", n)};
  auto const refused = [&](std::vector<claim> const& claims) {
    return refusal<precondition_error>([&] { check_claims(arms, claims); });
  };
  CHECK(refused({{.name = "c", .less = "a:iou", .more = "b:iou"}, {.name = "d", .more = "a:iou"}}).empty());
  CHECK(refused({{.name = "c", .less = "x:iou", .more = "b:iou"}}) == "study: claim \"c\": there is no arm x");
  CHECK(refused({{.name = "c", .more = "b"}}) == "study: claim \"c\": b is not ARM:FIGURE");
  CHECK(refused({{.name = "c", .more = "b:"}}) == "study: claim \"c\": b: is not ARM:FIGURE");
  CHECK(refused({{.name = "c", .less = "b:iou"}}) == "study: claim \"c\" is about no figure");
  CHECK(refused({{.name = "c", .more = "a:x"}, {.name = "c", .more = "b:x"}}) == "study: there are two claims \"c\"");
}

// The parts themselves: what they need and claim is there, and each says on which seeds its settings were chosen.
TEST_CASE("study: the parts fit together", "[property]")
{
  for (bool const rehearsal : {false, true}) {
    auto const parts = all_parts({.rehearsal = rehearsal});
    REQUIRE(parts.size() == 3);
    std::size_t main = 0;
    for (auto const& p : parts)
      for (auto const& c : p.claims) main += c.main;
    CHECK(main == 15);
    // arms that differ in a setting alone have different recipes
    auto const arms = arms_of(parts);
    std::map<std::string, std::string> arm_of_recipe;
    for (auto const& a : arms) {
      INFO(a.name << ": " << a.recipe);
      CHECK(arm_of_recipe.emplace(whole_recipe(arms, a.name), a.name).second);
    }
    for (auto const& p : parts) {
      INFO(p.name);
      CHECK(!p.claims.empty());
      REQUIRE(!p.chosen.empty());
      for (auto const& c : p.chosen) {
        CHECK(!c.seeds.empty());
        for (auto const s : c.seeds) CHECK((s < 21 || s > 25));  // those that are reported
      }
      for (auto const& a : p.arms) CHECK(belongs(a.name, p.name));
    }
  }
}

TEST_CASE("study: the check finds nothing in what the study writes", "[property]")
{
  auto const all = three_seeds();
  REQUIRE(all.claims.size() == 3);
  CHECK(all.claims[0].found.holds == verdict::yes);
  CHECK(all.claims[1].found.holds == verdict::not_shown);
  CHECK(all.claims[2].found.holds == verdict::no);
  CHECK(faults_of(json_of(all).dump(1)).empty());
  results one = all;
  one.seeds = {1}, one.claims.clear();
  for (auto& [name, of] : one.arms)
    for (auto& [figure, values] : of.figures) values.resize(1);
  (void)judge_into(one, "s", {{.name = "high beats low", .less = "s/low:iou", .more = "s/high:iou"}});
  CHECK(json_of(one)["claims"][0]["interval"].is_null());
  CHECK(faults_of(json_of(one).dump()).empty());
}

TEST_CASE("study: the check finds each kind of damage", "[errors]")
{
  auto const whole = json_of(three_seeds());
  auto const faults = [](auto const& damage, nlohmann::ordered_json file) {
    damage(file);
    std::string out;
    for (auto const& line : faults_of(file.dump())) out += line + "\n";
    return out;
  };
  // said to hold with an interval that includes 0
  CHECK(has(faults([](auto& f) { f["claims"][1]["holds"] = "yes"; }, whole),
            "claim \"near beats low\": is said to hold, but"));
  CHECK(has(faults([](auto& f) { f["claims"][1]["holds"] = "yes"; }, whole), "the values say: not shown"));
  CHECK(has(faults(
                [](auto& f) {
                  f["claims"][1]["interval"] = nullptr;
                  f["claims"][1]["holds"] = "yes";
                },
                whole),
            "but its interval null is not above 0"));
  // an interval that was made to fit
  CHECK(has(faults(
                [](auto& f) {
                  f["claims"][1]["holds"] = "yes";
                  f["claims"][1]["interval"] = {0.001, 0.02};
                },
                whole),
            "its interval's lower end is said to be 0.001; the values give"));
  CHECK(has(faults([](auto& f) { f["claims"][0]["interval"][1] = 0.9; }, whole), "interval's upper end"));
  // numbers that the values do not give
  CHECK(has(faults([](auto& f) { f["claims"][0]["difference"] = 0.3; }, whole),
            "claim \"high beats low\": its difference is said to be 0.3; the values give 0.206666666667"));
  CHECK(
      has(faults([](auto& f) { f["claims"][0]["differences"][1] = 0.3; }, whole), "its difference of a seed is said"));
  CHECK(has(faults([](auto& f) { f["arms"]["s/high"]["figures"]["iou"][1] = 0.735; }, whole), "the values give"));
  CHECK(has(faults([](auto& f) { f["claims"][0]["margin"] = 0.05; }, whole), "the values give"));
  CHECK(has(faults([](auto& f) { f["claims"][2]["holds"] = "not shown"; }, whole), "the values say: no"));
  // an arm, a figure, a value that is gone
  CHECK(faults([](auto& f) { f["arms"].erase("s/high"); }, whole) ==
        "claim \"high beats low\": there is no figure s/high:iou\nclaim \"low beats high\": there is no figure "
        "s/high:iou\n");
  CHECK(has(faults([](auto& f) { f["arms"]["s/high"]["figures"].erase("iou"); }, whole),
            "there is no figure s/high:iou"));
  CHECK(has(faults([](auto& f) { f["arms"]["s/near"]["figures"]["iou"].erase(0); }, whole),
            "arm s/near: iou has 2 values for 3 seeds"));
  CHECK(has(faults([](auto& f) { f["seeds"].push_back(3); }, whole), "a seed is there twice"));
  CHECK(has(faults([](auto& f) { f["claims"].push_back(f["claims"][0]); }, whole), "is there twice"));
  // no JSON, another form
  std::string const text = whole.dump();
  REQUIRE(faults_of(text.substr(0, text.size() / 2)).size() == 1);
  CHECK(has(faults_of(text.substr(0, text.size() / 2))[0], "the file has another form"));
  CHECK(has(faults_of("{}").at(0), "the file has another form"));
  CHECK(has(faults([](auto& f) { f["claims"][0].erase("factor"); }, whole), "the file has another form"));
}

TEST_CASE("study: the check compares claims and page with the program's", "[errors]")
{
  auto all = three_seeds();
  part const s{.name = "s", .title = "A system", .text = "What was asked."};
  all.parts = {s};
  part program = s;
  for (auto const& c : all.claims) program.claims.push_back(c.what);
  auto const claims = claims_of({program}).dump(1), page = page_of(all);
  std::string remark;
  auto const faults = [&](auto const& damage, std::string const& on_page) {
    auto file = json_of(all);
    damage(file);
    std::string out;
    for (auto const& line : faults_of_published(file.dump(1), on_page, claims, remark)) out += line + "\n";
    return out;
  };
  CHECK(faults([](auto&) {}, page).empty());
  CHECK(remark.empty());
  CHECK(page_of(results_of(nlohmann::json::parse(json_of(all).dump()))) == page);
  CHECK(has(faults([](auto& f) { f["claims"] = nlohmann::json::array(); }, page), "there is no claim"));
  CHECK(has(faults([](auto& f) { f["claims"].erase(1); }, page),
            "claim \"near beats low\" is one of the program's, and the file does not have it"));
  CHECK(has(faults([](auto& f) { f["claims"][0]["name"] = "what nobody measured"; }, page),
            "claim \"what nobody measured\" is none of the program's"));
  CHECK(has(faults([](auto& f) { f["claims"][1]["main"] = true; }, page),
            "claim \"near beats low\": its main is true; the program's is false"));
  auto edited = page;
  edited.replace(edited.find("1 of 1 main"), 1, "9");
  CHECK(has(faults([](auto&) {}, edited), "the page beside it is not what it gives: line "));
  CHECK(has(faults([](auto&) {}, page + "\n"), "the page beside it"));
  CHECK(has(faults([](auto&) {}, page.substr(0, page.size() / 2)), "the page beside it"));
  // without the texts it is an earlier program's, which must be said, on the page, too
  auto const earlier = [](auto& f) { f.erase("parts"); };
  CHECK(has(faults(earlier, page), "no note says that an earlier program wrote it"));
  auto const noted = [](auto& f) {
    f.erase("parts");
    f["note"] = "Values of an earlier program.";
  };
  CHECK(has(faults(noted, page), "its note does not stand on the page"));
  CHECK(remark.empty());
  CHECK(faults(noted, "Values of an earlier program.").empty());
  CHECK(has(remark, "its claims and its page were not compared"));
}

// The claims that the check knows without LibTorch. After a change: `study DOCS --claims study/claims.json`.
TEST_CASE("study: claims.json has the claims of the program", "[property]")
{
  CHECK(text_of(STUDY_CLAIMS) == claims_of(all_parts({})).dump(1) + "\n");
}

TEST_CASE("study: the page of one seed, of a part of the study, and where figures come from", "[property]")
{
  auto all = three_seeds();
  part const s{.name = "s", .title = "A system", .text = "What was asked."};
  CHECK(!has(page_of(all, {s}, {}), "The figures were measured"));
  all.arms["s/low"].dates = {"2026-01-02", "2026-01-05"}, all.arms["s/high"].dates = {"2026-01-03"};
  all.arms["s/low"].machines = {"one"}, all.arms["s/near"].machines = {"another"};
  all.arms["s/low"].programs = {"12ab"}, all.arms["s/high"].programs = {"34cd"};
  all.left_out = {"that is not here"};
  auto const page = page_of(all, {s}, {});
  CHECK(has(page,
            "measured from 2026-01-02 to 2026-01-05, on another and on one, by **2 builds of the program** (12ab, "
            "34cd)"));
  CHECK(has(page, "**This is a part of the study.**"));
  CHECK(has(page, "- that is not here\n"));
  CHECK(has(page, "2 degrees of freedom"));
  CHECK(!has(page, "differ by more than"));
  results one{.command = "c", .date = "d", .machine = "m", .seeds = {4}};
  one.arms["s"] = {"r", {{"peaks_an_object", {1.0637}}, {"sigma_spearman", {0.6294}}, {"iou", {0.5}}}, {1}, {1}};
  (void)judge_into(one, "s", {{.name = "c", .more = "s:iou"}});
  auto const of_one = page_of(one, {s}, {});
  CHECK(has(of_one, "**One seed has no interval, so that no claim can hold.**"));
  CHECK(!has(of_one, "of freedom"));
  CHECK(has(of_one, "No main claim was judged."));
  CHECK(has(of_one, "| s | peaks_an_object | 1.06 | 1.06 |"));
  CHECK(has(of_one, "| s | sigma_spearman | 0.629 | 0.629 |"));
  CHECK(has(of_one, "| s | iou | 50.0 | 50.0 |"));
}

TEST_CASE("study: the page says what holds and what does not", "[property]")
{
  auto const all = three_seeds();
  part const s{.name = "s", .title = "A system", .text = "What was asked."};
  auto const page = page_of(all, {s}, {});
  CHECK(has(page, "1 of 1 main claims hold (s: 1 of 1). "));
  part const not_asked_for{.name = "t", .title = "Another", .text = "It has no arms here."};
  CHECK(page_of(all, {s, not_asked_for}, {}) == page);
  CHECK(has(page, "Of them 0 of 2 hold."));
  CHECK(has(page, "chance alone would let 0.025 main claims and 0.05 further observations hold"));  // 1 / 40, 2 / 40
  CHECK(!has(page, "these do not hold"));
  auto const further = page.find("Further observations, which nobody had asked for before");
  CHECK(page.find("| high beats low |") < further);
  CHECK(further < page.find("| near beats low |"));
  {
    auto asked = all;
    for (auto& c : asked.claims) c.what.main = true;
    CHECK(has(page_of(asked, {s}, {}),
              "these do not hold, or are not shown:\n\n- s: near beats low (not shown)\n- s: low beats high (it does "
              "not hold)\n\n"));
  }
  CHECK(has(page, "## A system\n\nWhat was asked."));
  CHECK(has(page, "| high beats low | +9 | 51.0 | 71.7 | more − less | +20.7 [+19.2, +22.1] | yes |"));
  CHECK(has(page, "| **not shown** |"));
  CHECK(has(page, "| s/high | count_objects | 12 ± 2 | 10 12 14 |"));
  CHECK(has(page, "| s/high | iou | 71.7 ± 1.5 | 70.0 73.0 72.0 |"));
  CHECK(has(page, "- S: seeds 11, 12 and 13. How.\n\nNone of them is on this page."));
  CHECK(has(page, "took 9 minutes of one core"));
  CHECK(has(page, "| s | 3 | 3.0 |"));
  CHECK(!has(page, "rehearsal"));
  CHECK(has(page_of(all, {s}, {.rehearsal = true}), "This was a rehearsal"));
  CHECK(!has(page, "of another program"));
  results other = all;
  other.note = "These values are of another program.";
  CHECK(has(page_of(other, {s}, {}), "\n\nThese values are of another program.\n\n"));
  other.chosen_on = {{"S", {3, 11}, "How."}, {"T", {11}, "So."}};
  CHECK(has(page_of(other, {s}, {}),
            "- S: seeds 3 and 11. How. **Of these, seed 3 is on this page, so that these claims "
            "are too good.**\n- T: seed 11. So.\n\n#"));
}
