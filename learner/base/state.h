#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace millrace {

/// Saved state that cannot be read: it is cut off, or not what its name says. The surroundings'
/// doing, so it is thrown, and the start stops.
struct StateError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Writes plain values one after another, little-endian, floats by their bits.
class ByteWriter {
 public:
  template <class T>
  requires std::is_arithmetic_v<T> || std::is_enum_v<T>
  void put(T value) { bytes_.append(reinterpret_cast<const char*>(&value), sizeof value); }
  /// The length (32 bits), then the bytes.
  void put_text(std::string_view text) {
    put(static_cast<std::uint32_t>(text.size()));
    bytes_.append(text);
  }
  /// The count (64 bits), then the values.
  template <class T>
  requires std::is_arithmetic_v<T>
  void put_all(std::span<const T> values) {
    put(static_cast<std::uint64_t>(values.size()));
    bytes_.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
  }
  template <class T>
  void put_all(const std::vector<T>& values) {
    put_all(std::span<const T>(values));
  }

  const std::string& bytes() const { return bytes_; }
  std::string take() { return std::exchange(bytes_, {}); }
  void clear() { bytes_.clear(); }  ///< Keeps the memory, for what is written next.
  std::size_t size() const { return bytes_.size(); }
  void reserve(std::size_t bytes) { bytes_.reserve(bytes); }

 private:
  std::string bytes_;
};

/// Reads what a ByteWriter wrote. Throws StateError where the bytes end too early.
class ByteReader {
 public:
  /// Borrows `bytes`.
  explicit ByteReader(std::string_view bytes) : left_(bytes) {}

  template <class T>
  requires std::is_arithmetic_v<T> || std::is_enum_v<T> T get() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  /// Points into the reader's bytes.
  std::string_view get_text() { return take(get<std::uint32_t>()); }
  template <class T>
  requires std::is_arithmetic_v<T> std::vector<T> get_all() {
    const auto count = get<std::uint64_t>();
    if (count > left_.size() / sizeof(T)) throw StateError("saved state ends too early");
    std::vector<T> values(count);
    const std::string_view bytes = take(count * sizeof(T));
    if (count > 0) std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
  bool at_end() const { return left_.empty(); }

 private:
  std::string_view take(std::size_t count) {
    if (count > left_.size()) throw StateError("saved state ends too early");
    const std::string_view bytes = left_.substr(0, count);
    left_.remove_prefix(count);
    return bytes;
  }

  std::string_view left_;
};

/// A batch of changes to a set of (key, value) entries, as it is kept in the store: puts and
/// erasures in the order in which they were written.
class EntryWriter {
 public:
  void put(std::string_view key, std::string_view value) {
    writer_.put(std::uint8_t{1});
    writer_.put_text(key);
    writer_.put_text(value);
    ++count_;
  }
  void erase(std::string_view key) {
    writer_.put(std::uint8_t{0});
    writer_.put_text(key);
    ++count_;
  }
  std::size_t count() const { return count_; }
  std::size_t size() const { return writer_.size(); }
  void reserve(std::size_t bytes) { writer_.reserve(bytes); }
  std::string take() {
    count_ = 0;
    return writer_.take();
  }

 private:
  ByteWriter writer_;
  std::size_t count_ = 0;
};

/// Reads what an EntryWriter wrote. Throws StateError on damage.
class EntryReader {
 public:
  struct Entry {
    std::string_view key;    ///< Points into the bytes given.
    std::string_view value;  ///< Empty where `erased`.
    bool erased;
  };
  /// Borrows `bytes`.
  explicit EntryReader(std::string_view bytes) : reader_(bytes) {}
  /// False at the end.
  bool next(Entry& entry) {
    if (reader_.at_end()) return false;
    entry.erased = reader_.get<std::uint8_t>() == 0;
    entry.key = reader_.get_text();
    entry.value = entry.erased ? std::string_view{} : reader_.get_text();
    return true;
  }

 private:
  ByteReader reader_;
};

/// What one participant changed since the last commit.
struct StateChanges {
  /// A small piece of state, written whole at each commit in which it changed.
  struct Value {
    std::string name;
    std::string bytes;
    /// Whether it counts in the state's digest: weights, optimiser and learner state and join state
    /// do; positions, commit numbers, watermarks, accounts and times of the clock do not.
    bool in_digest = true;
  };
  /// The changed entries of a large set of (key, value) pairs, as an EntryWriter wrote them.
  struct Block {
    std::string set;
    std::string bytes;
  };
  /// How large a set is after the change: the store keeps its blocks within a multiple of this.
  struct Size {
    std::string set;
    std::uint64_t live_bytes;
  };
  /// Entries that leave their owner's memory and stay in the store alone: a cold block. They count
  /// as entries of `set` as if they stood in one of its blocks; an entry is in one place only.
  struct ColdBlock {
    std::string set;
    std::uint64_t number;  ///< Above all that were put into the set before.
    /// Puts alone, as an EntryWriter wrote them. Shared, so that the owner may read it until it is
    /// in the store.
    std::shared_ptr<const std::string> bytes;
    std::string
        directory;  ///< The owner's, small: comes back at a restore, where the bytes do not.
  };
  /// Which entries of a cold block have left it, as a bitmap (entry i: byte i / 8, bit i % 8);
  /// replaces what was said of the block before.
  struct ColdLeft {
    std::string set;
    std::uint64_t number;
    std::string bitmap;
  };
  /// A cold block that is gone.
  struct ColdErased {
    std::string set;
    std::uint64_t number;
  };
  /// No cold block of the set below this number is there: the store may give up their space.
  struct ColdFloor {
    std::string set;
    std::uint64_t number;
  };
  std::vector<Value> values;
  std::vector<Block> blocks;
  std::vector<Size> sizes;
  std::vector<ColdBlock> cold_blocks = {};
  std::vector<ColdLeft> cold_left = {};
  std::vector<ColdErased> cold_erased = {};
  std::vector<ColdFloor> cold_floors = {};
};

/// Reads cold blocks of one participant that are in the store, while it is open: every one that
/// was handed over in a commit before the last. Not owned by those who read.
/// Errors: what the store throws, also where there is no such block. Threads: as the participant.
class ColdReader {
 public:
  virtual ~ColdReader() = default;
  /// Their bytes, in the same order.
  virtual std::vector<std::string> read(std::string_view set,
                                        std::span<const std::uint64_t> numbers) = 0;
};

/// A block that the store wants to give up: entries whose newest put stands in it are put again.
struct Cleaning {
  std::string participant;
  std::string set;
  std::uint64_t sequence;  ///< The commit that wrote the block.
  std::string bytes;       ///< Its entries, for an EntryReader.
};

/// One part of the service's state that is committed, restored and digested together with the
/// others: the positions of the source, the join, a model.
///
/// State is small values, written whole, and sets of entries, of which only changes are written:
/// each commit adds at most one block a set. The owner remembers for every entry the sequence of
/// the commit that holds its newest put, so that it can say which entries of an old block still
/// count. Later blocks overrule earlier ones, and an erasure removes the key. Entries that do not
/// fit into the owner's memory lie in cold blocks, of which it keeps a directory.
///
/// Threads: all calls on the thread that owns the participant.
class Participant {
 public:
  virtual ~Participant() = default;

  /// Stable for the life of a store, e.g. "join", "model/shop".
  virtual std::string participant_name() const = 0;

  /// Hands over what changed since the last call, as part of commit `sequence`. For each entry of
  /// `cleanings` (its own only) whose newest put stands in that block: puts it again.
  virtual StateChanges save(std::uint64_t sequence, std::span<const Cleaning> cleanings) = 0;

  /// The restore of a committed state into a new object: every value once, then the blocks of all
  /// sets in ascending order of their sequence, then `restored`. Not called for a new store.
  /// Error: throws StateError.
  virtual void restore_value(std::string_view name, std::string_view bytes) = 0;
  virtual void restore_block(std::string_view set, std::uint64_t sequence,
                             std::string_view bytes) = 0;
  virtual void restored() = 0;

  /// For those who hand over cold blocks. Called before a restore, of a new store too: from now on
  /// blocks may be handed over and are read there. Borrowed for as long as the store is open.
  virtual void use_cold(ColdReader&) {}
  /// At a restore, between the blocks and `restored`: each cold block in ascending order of its
  /// number; `left` is empty where nothing has left it.
  virtual void restore_cold(std::string_view set, std::uint64_t number, std::string_view directory,
                            std::string_view left) {
    (void)number, (void)directory, (void)left;
    throw StateError("no cold blocks of a set \"" + std::string(set) + "\" are known");
  }
};

}  // namespace millrace
