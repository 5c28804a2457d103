#include "tar.hpp"

#include "record.hpp"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <clocale>
#include <cstring>
#include <optional>
#include <utility>

#include <fcntl.h>
#include <locale.h>
#include <sys/stat.h>
#include <unistd.h>

namespace labelling {

using cambium::io_error;

namespace {

/// While it lives, this thread's characters are UTF-8: libarchive converts names to them. Other threads keep theirs.
class utf8_names {
 public:
  utf8_names() : before_(::uselocale(utf8())) {}
  ~utf8_names() { ::uselocale(before_); }
  utf8_names(utf8_names const&) = delete;
  utf8_names& operator=(utf8_names const&) = delete;

 private:
  static locale_t utf8()
  {
    static locale_t const made = [] {
      for (char const* const name : {"C.UTF-8", "C.utf8", "en_US.UTF-8"})
        if (locale_t const one = ::newlocale(LC_CTYPE_MASK, name, nullptr)) return one;
      return ::duplocale(LC_GLOBAL_LOCALE);
    }();
    return made;
  }
  locale_t before_;
};

constexpr std::uint64_t block = 512;  // of tar
using reader_ptr = std::unique_ptr<archive, int (*)(archive*)>;
using entry_ptr = std::unique_ptr<archive_entry, void (*)(archive_entry*)>;

std::string words_of(archive* a)
{
  char const* const text = ::archive_error_string(a);
  return text == nullptr ? "cannot be read" : text;
}

using tar_block = std::array<unsigned char, block>;

bool is_zero(tar_block const& b)
{
  return std::all_of(b.begin(), b.end(), [](unsigned char c) { return c == 0; });
}

/// Whether a block is the header of a member: it has the mark of ustar, PAX and GNU, and its sum.
bool is_header(tar_block const& b)
{
  if (std::memcmp(b.data() + 257, "ustar", 5) != 0) return false;
  std::uint64_t sum = 0, told = 0;
  for (std::size_t i = 0; i < block; ++i) sum += i >= 148 && i < 156 ? ' ' : b[i];
  for (std::size_t i = 148; i < 156; ++i)
    if (b[i] >= '0' && b[i] <= '7') told = 8 * told + (b[i] - '0');
  return sum == told;
}

}  // namespace

struct tar_reader::state {
  std::string path, reason;
  int file = -1;
  std::uint64_t size = 0, read = 0, hashed = 0;  // bytes of the file; the next one to be read and to be hashed
  std::uint64_t begin = 0;                       // where the handle began to read
  std::uint64_t behind = 0;                      // where the header after the last member should be
  hasher sum;
  unsigned char part[64 * 1024] = {};
  bool failed = false, began = false;
  tar_step step = tar_step::entry;  // the last one
  reader_ptr handle{::archive_read_new(), &::archive_read_free};
  archive_entry* entry = nullptr;

  ~state()
  {
    if (file >= 0) ::close(file);
  }

  /// The next bytes of the file; 0 at its end, -1 where the disk fails.
  ssize_t more()
  {
    ssize_t n = 0;
    do n = ::read(file, part, sizeof part);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
      failed = true;
      reason = std::strerror(errno);
    }
    if (n <= 0) return n;
    auto const got = static_cast<std::uint64_t>(n);
    if (read + got > hashed) {  // after a damage some bytes are read again
      sum.add(part + (hashed - read), read + got - hashed);
      hashed = read + got;
    }
    read += got;
    return n;
  }

  static la_ssize_t give(archive*, void* data, void const** to)
  {
    auto* const s = static_cast<state*>(data);
    *to = s->part;
    return s->more();
  }

  /// Where the last header begins, with those that PAX and GNU put before it.
  std::uint64_t at() const { return begin + static_cast<std::uint64_t>(::archive_read_header_position(handle.get())); }

  /// @return ARCHIVE_OK if it can be an archive
  int open_here()
  {
    begin = read;
    handle.reset(::archive_read_new());
    archive* const a = handle.get();
    ::archive_read_support_format_tar(a);
    ::archive_read_set_options(a, "read_concatenated_archives");  // cat a.tar b.tar
    return ::archive_read_open(a, this, nullptr, &state::give, nullptr);
  }

  /// A block of the file; nothing where the file ends before it does.
  std::optional<tar_block> block_at(std::uint64_t where)
  {
    tar_block out;
    std::size_t got = 0;
    while (got < block) {
      ssize_t const n = ::pread(file, out.data() + got, block - got, static_cast<off_t>(where + got));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) throw io_error(path + ": " + std::strerror(errno));
      if (n == 0) return std::nullopt;
      got += static_cast<std::size_t>(n);
    }
    return out;
  }

  /// Whether blocks of zeros follow, as at the end of an archive. Zeros at the end of the file alone say nothing: they
  /// may be the last member's.
  bool has_end()
  {
    auto const where = step == tar_step::damage ? size - std::min(size, block) : behind;
    auto const found = block_at(where);
    return found && is_zero(*found);
  }

  /// Goes on at the first header behind a place.
  /// @return false if there is none; then the old handle stays
  bool go_on_behind(std::uint64_t where)
  {
    for (where += block;; where += block) {
      auto const found = block_at(where);
      if (!found) return false;
      if (!is_header(*found)) continue;
      while (read < where && more() > 0) {  // for the hash
      }
      if (failed) throw io_error(path + ": " + reason);
      if (::lseek(file, static_cast<off_t>(where), SEEK_SET) < 0) throw io_error(path + ": " + std::strerror(errno));
      read = where;
      return open_here() == ARCHIVE_OK;
    }
  }

  tar_step stop(tar_step what, std::string why)
  {
    reason = std::move(why);
    return step = what;
  }
};

tar_reader::tar_reader(std::string const& path) : state_(std::make_unique<state>())
{
  state& s = *state_;
  s.path = path;
  s.file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat about{};
  if (s.file < 0 || ::fstat(s.file, &about) != 0) throw io_error(path + ": " + std::strerror(errno));
  if (S_ISDIR(about.st_mode)) throw io_error(path + ": is a folder");
  s.size = static_cast<std::uint64_t>(about.st_size);
  utf8_names const names;
  if (s.open_here() != ARCHIVE_OK) {
    unsigned char const* const p = s.part;
    bool const zipped = s.read >= 4 && ((p[0] == 0x1f && p[1] == 0x8b) || (p[0] == 'B' && p[1] == 'Z') ||
                                        (p[0] == 0x28 && p[1] == 0xb5) || (p[0] == 0xfd && p[1] == '7'));
    if (s.failed) throw io_error(path + ": " + s.reason);
    throw content_error(path + ": " +
                        (zipped
                             ? "is compressed; shards are plain tar archives, since photographs are compressed already"
                             : "is no tar archive"));
  }
}

tar_reader::~tar_reader() = default;

std::string const& tar_reader::reason() const { return state_->reason; }

tar_step tar_reader::next(tar_member& to)
{
  state& s = *state_;
  utf8_names const names;
  bool const first = !std::exchange(s.began, true);
  bool const within = !first && s.step == tar_step::entry && ::archive_read_data_skip(s.handle.get()) < ARCHIVE_WARN;
  if (s.failed) throw io_error(s.path + ": " + s.reason);
  if (within)
    return s.stop(tar_step::cut,
                  "is cut off at byte " + std::to_string(s.size) + " (" + words_of(s.handle.get()) + ")");
  s.behind = s.begin + static_cast<std::uint64_t>(::archive_filter_bytes(s.handle.get(), 0));
  int const status = ::archive_read_next_header(s.handle.get(), &s.entry);
  if (s.failed) throw io_error(s.path + ": " + s.reason);
  if (status == ARCHIVE_EOF) {
    if (s.has_end()) return s.step = tar_step::end;
    return s.stop(tar_step::cut, "is cut off at byte " + std::to_string(s.size) + ": the archive has no end");
  }
  if (status == ARCHIVE_FATAL && first && s.size < block) throw content_error(s.path + ": is no tar archive");
  if (status != ARCHIVE_OK && status != ARCHIVE_WARN) {
    auto const why = words_of(s.handle.get());
    auto const place = status == ARCHIVE_FATAL ? s.behind : s.at();
    // a header that is damaged behind one of PAX or GNU ends libarchive's reading
    if (status != ARCHIVE_FATAL || s.go_on_behind(place))
      return s.stop(tar_step::damage, "is damaged near byte " + std::to_string(place) + " (" + why + ")");
    if (why.find("Damaged") == std::string::npos)  // of a header that ends with the file
      return s.stop(tar_step::cut, "is cut off at byte " + std::to_string(s.size) + " (" + why + ")");
    return s.stop(tar_step::cut, "is damaged near byte " + std::to_string(place) + " (" + why +
                                     "), and no member can be read behind it");
  }
  s.step = tar_step::entry;
  char const* name = ::archive_entry_pathname(s.entry);
  if (name == nullptr) name = ::archive_entry_pathname_utf8(s.entry);
  to = {};
  if (name != nullptr) to.name = name;
  to.size = static_cast<std::uint64_t>(std::max<la_int64_t>(0, ::archive_entry_size(s.entry)));
  auto const kind = ::archive_entry_filetype(s.entry);
  to.folder = kind == AE_IFDIR;
  if (kind == AE_IFLNK || ::archive_entry_hardlink(s.entry) != nullptr)
    to.odd = "is a link";
  else if (kind != AE_IFREG)
    to.odd = "is no plain file";
  else if (::archive_entry_sparse_count(s.entry) > 0)
    to.odd = "is sparse";
  else if (to.size > s.size)
    to.odd = "says that it has " + std::to_string(to.size) + " bytes, more than the archive";
  return tar_step::entry;
}

cambium::bytes tar_reader::content(tar_member const& one)
{
  state& s = *state_;
  cambium::bytes out(static_cast<std::size_t>(one.size));  // not more than the file has
  std::size_t got = 0;
  while (got < out.size()) {
    la_ssize_t const n = ::archive_read_data(s.handle.get(), out.data() + got, out.size() - got);
    if (n <= 0) throw io_error(s.path + ": " + one.name + ": " + (s.failed ? s.reason : "the archive ends within it"));
    got += static_cast<std::size_t>(n);
  }
  return out;
}

std::string tar_reader::hash()
{
  while (state_->more() > 0) {  // to the end
  }
  if (state_->failed) throw io_error(state_->path + ": " + state_->reason);
  return state_->sum.text();
}

struct tar_writer::state {
  cambium::file_replacement file;
  hasher sum;
  std::optional<io_error> failure;  // of the disk: it must not pass through libarchive
  entry_ptr entry{::archive_entry_new(), &::archive_entry_free};
  reader_ptr handle{::archive_write_new(), &::archive_write_free};

  explicit state(std::string const& path) : file(path) {}

  static la_ssize_t take(archive* a, void* data, void const* from, std::size_t size)
  {
    auto* const s = static_cast<state*>(data);
    if (s->failure) return -1;
    try {
      s->file.write(from, size);
      s->sum.add(from, size);
      return static_cast<la_ssize_t>(size);
    } catch (io_error const& e) {
      s->failure = e;
      ::archive_set_error(a, EIO, "%s", e.what());
      return -1;
    }
  }

  void demand(la_ssize_t status)
  {
    if (failure) throw *failure;
    if (status < ARCHIVE_WARN) throw io_error(file.path().string() + ": " + words_of(handle.get()));
  }
};

tar_writer::tar_writer(std::string const& path) : state_(std::make_unique<state>(path))
{
  utf8_names const names;
  archive* const a = state_->handle.get();
  ::archive_write_set_format_pax_restricted(a);  // ustar, and PAX only for what ustar cannot say
  state_->demand(::archive_write_open(a, state_.get(), nullptr, &state::take, nullptr));
}

tar_writer::~tar_writer()
{
  if (state_ && state_->handle && !state_->failure) state_->failure = io_error("given up");  // freeing writes the end
}

void tar_writer::add(std::string const& name, void const* data, std::size_t size)
{
  state& s = *state_;
  utf8_names const names;
  archive_entry* const e = ::archive_entry_clear(s.entry.get());
  ::archive_entry_set_pathname(e, name.c_str());
  ::archive_entry_set_size(e, static_cast<la_int64_t>(size));
  ::archive_entry_set_filetype(e, AE_IFREG);
  ::archive_entry_set_perm(e, 0644);
  ::archive_entry_set_mtime(e, 0, 0);
  s.demand(::archive_write_header(s.handle.get(), e));
  auto const* from = static_cast<unsigned char const*>(data);
  while (size > 0) {
    la_ssize_t const n = ::archive_write_data(s.handle.get(), from, size);
    s.demand(n);
    if (n <= 0) throw io_error(s.file.path().string() + ": " + name + ": cannot be written");
    from += n;
    size -= static_cast<std::size_t>(n);
  }
}

std::string tar_writer::close()
{
  utf8_names const names;
  state_->demand(::archive_write_close(state_->handle.get()));
  state_->handle.reset();
  return state_->sum.text();
}

void tar_writer::finish() { state_->file.finish(); }

}  // namespace labelling
