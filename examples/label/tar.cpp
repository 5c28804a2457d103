#include "tar.hpp"

#include "record.hpp"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
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

constexpr std::size_t block = 512;  // of tar
using reader_ptr = std::unique_ptr<archive, int (*)(archive*)>;
using entry_ptr = std::unique_ptr<archive_entry, void (*)(archive_entry*)>;

std::string words_of(archive* a)
{
  char const* const text = ::archive_error_string(a);
  return text == nullptr ? "cannot be read" : text;
}

}  // namespace

struct tar_reader::state {
  std::string path, reason;
  int file = -1;
  std::uint64_t size = 0, read = 0;
  hasher sum;
  unsigned char part[64 * 1024] = {}, last[block] = {};
  bool failed = false, began = false;
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
    auto const got = static_cast<std::size_t>(n);
    sum.add(part, got);
    read += got;
    if (got >= block)
      std::memcpy(last, part + got - block, block);
    else
      std::memmove(last, last + got, block - got), std::memcpy(last + block - got, part, got);
    return n;
  }

  static la_ssize_t give(archive*, void* data, void const** to)
  {
    auto* const s = static_cast<state*>(data);
    *to = s->part;
    return s->more();
  }

  std::uint64_t at() const { return static_cast<std::uint64_t>(::archive_read_header_position(handle.get())); }
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
  archive* const a = s.handle.get();
  ::archive_read_support_format_tar(a);
  ::archive_read_set_options(a, "read_concatenated_archives");  // cat a.tar b.tar
  if (::archive_read_open(a, &s, nullptr, &state::give, nullptr) != ARCHIVE_OK) {
    unsigned char const* const p = s.part;
    bool const zipped = s.read >= 4 && ((p[0] == 0x1f && p[1] == 0x8b) || (p[0] == 'B' && p[1] == 'Z') ||
                                        (p[0] == 0x28 && p[1] == 0xb5) || (p[0] == 0xfd && p[1] == '7'));
    throw io_error(path + ": " +
                   (s.failed ? s.reason
                    : zipped ? "is compressed; shards are plain tar archives, since photographs are compressed already"
                             : "is no tar archive"));
  }
}

tar_reader::~tar_reader() = default;

std::string const& tar_reader::reason() const { return state_->reason; }

tar_step tar_reader::next(tar_member& to)
{
  state& s = *state_;
  utf8_names const names;
  int const status = ::archive_read_next_header(s.handle.get(), &s.entry);
  if (s.failed) throw io_error(s.path + ": " + s.reason);
  bool const first = !std::exchange(s.began, true);
  if (status == ARCHIVE_EOF) {
    while (s.more() > 0) {
    }
    if (s.failed) throw io_error(s.path + ": " + s.reason);
    // an archive ends with blocks of zeros
    if (std::all_of(std::begin(s.last), std::end(s.last), [](unsigned char c) { return c == 0; })) return tar_step::end;
    s.reason = "the archive has no end: it is cut off at byte " + std::to_string(s.size);
    return tar_step::cut;
  }
  if (status == ARCHIVE_FATAL && first && s.read < block) throw io_error(s.path + ": is no tar archive");
  if (status == ARCHIVE_FATAL) {
    s.reason = "is cut off at byte " + std::to_string(s.size) + " (" + words_of(s.handle.get()) + ")";
    return tar_step::cut;
  }
  if (status != ARCHIVE_OK && status != ARCHIVE_WARN) {
    s.reason = "is damaged near byte " + std::to_string(s.at()) + " (" + words_of(s.handle.get()) + ")";
    return tar_step::damage;
  }
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
  while (state_->more() > 0) {
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
