#include "learner/publish/serving_model.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <thread>

#include "learner/base/check.h"
#include "learner/model/stem.h"
#include "learner/publish/row_table.h"

namespace millrace {

std::string print_version(VersionNumber version) {
  return std::to_string(version.commit) + "." + std::to_string(version.publication);
}

/// One of the two copies. `readers` has a cache line of its own: every pin writes it.
struct ServingModel::Pin::Side {
  alignas(64) mutable std::atomic<std::int64_t> readers{0};
  alignas(64) VersionNumber version;
  EventTime seen = EventTime::before_all();
  std::shared_ptr<const DenseWeights> dense;
  std::shared_ptr<const ServedShape> shape;
  std::vector<RowTable> tables;

  void make_tables(const Schema& schema) {
    tables.clear();
    tables.reserve(schema.tables().size());
    for (const Table& table : schema.tables()) tables.emplace_back(table.dimension);
  }
  // Whose tables these are; they are made anew where that changes.
  void take_shape(const std::shared_ptr<const ServedShape>& now) {
    if (now == nullptr || now == shape) return;
    shape = now;
    make_tables(input_schema(now->projection.schema(), now->options));
  }
};

struct ServingModel::Sides {
  using Side = Pin::Side;
  Side side[2];
  alignas(64) std::atomic<int> visible{0};
  std::atomic<bool> has_version{false};
  std::atomic<std::uint64_t> rows{0}, bytes{0};

  // Requires: no reader holds `to`.
  static void change(Side& to, const Publication& publication, VersionNumber version);
  static void copy(Side& to, const Side& from);
  static void wait_until_left(const Side& side);
  void count(const Side& shown);
};

void ServingModel::Sides::change(Side& to, const Publication& publication, VersionNumber version) {
  MILLRACE_CHECK(publication.complete || publication.shape == nullptr);
  to.take_shape(publication.shape);
  MILLRACE_CHECK(publication.tables.size() == to.tables.size());
  for (std::size_t t = 0; t < to.tables.size(); ++t) {
    RowTable& table = to.tables[t];
    const TableUpdate& update = publication.tables[t];
    const auto width = static_cast<std::size_t>(table.dimension());
    MILLRACE_CHECK(update.rows.size() == update.keys.size() * width);
    if (publication.complete) {
      table.clear();
      table.reserve(update.keys.size());
    }
    for (const std::uint64_t key : update.erased) table.erase(key);
    table.put(update.keys, update.rows.data());
  }
  if (publication.dense != nullptr) to.dense = publication.dense;
  to.seen = publication.seen;
  to.version = version;
}

void ServingModel::Sides::copy(Side& to, const Side& from) {
  to.take_shape(from.shape);
  for (std::size_t t = 0; t < to.tables.size(); ++t) to.tables[t].copy(from.tables[t]);
  to.dense = from.dense;
  to.seen = from.seen;
  to.version = from.version;
}

void ServingModel::Sides::wait_until_left(const Side& side) {
  // A reader holds a side for tens of microseconds; only one that lost its processor takes longer.
  for (int turn = 0; side.readers.load(std::memory_order_seq_cst) != 0; ++turn) {
    if (turn < 16) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }
}

void ServingModel::Sides::count(const Side& shown) {
  std::uint64_t all_rows = 0, all_bytes = 0;
  for (const RowTable& table : shown.tables) {
    all_rows += table.rows();
    all_bytes += table.bytes();
  }
  rows.store(all_rows, std::memory_order_relaxed);
  bytes.store(all_bytes, std::memory_order_relaxed);
}

ServingModel::ServingModel() : sides_(std::make_unique<Sides>()) {}

ServingModel::ServingModel(const Schema& schema) : sides_(std::make_unique<Sides>()) {
  for (Pin::Side& side : sides_->side) side.make_tables(schema);
}

ServingModel::~ServingModel() = default;

void ServingModel::apply(const Publication& publication, VersionNumber version) {
  MILLRACE_CHECK(has_version() || (publication.complete && publication.dense != nullptr));
  const int shown = sides_->visible.load(std::memory_order_relaxed);
  Pin::Side& hidden = sides_->side[1 - shown];
  // A late reader may have counted itself in here and not yet seen that it is too late; it reads
  // nothing, but waiting for it too keeps the argument in `pin` short.
  Sides::wait_until_left(hidden);
  Sides::change(hidden, publication, version);
  sides_->visible.store(1 - shown, std::memory_order_seq_cst);
  sides_->has_version.store(true, std::memory_order_release);
  Sides::wait_until_left(sides_->side[shown]);
  if (publication.complete) {
    Sides::copy(sides_->side[shown], hidden);
  } else {
    Sides::change(sides_->side[shown], publication, version);
  }
  sides_->count(sides_->side[shown]);
}

std::shared_ptr<ServingModel> ServingModel::copy() const {
  MILLRACE_CHECK(has_version());
  const Pin::Side& from = sides_->side[sides_->visible.load(std::memory_order_relaxed)];
  const std::shared_ptr<ServingModel> copied(new ServingModel());
  for (Pin::Side& side : copied->sides_->side) {
    for (const RowTable& table : from.tables) side.tables.emplace_back(table.dimension());
    side.shape = from.shape;  // its tables are there
    Sides::copy(side, from);
  }
  copied->sides_->has_version.store(true, std::memory_order_release);
  copied->sides_->count(copied->sides_->side[0]);
  return copied;
}

bool ServingModel::has_version() const {
  return sides_->has_version.load(std::memory_order_acquire);
}

// A reader counts itself in and then looks again whether the side is still shown. The publisher
// first shows the other side and then looks whether readers are counted in. All four are
// sequentially consistent, so at least one of the two sees the other: either the publisher waits,
// or the reader takes the other side. No one waits for the publisher: a second turn is needed only
// when a publication came in between.
ServingModel::Pin ServingModel::pin() const {
  MILLRACE_CHECK(has_version());
  while (true) {
    const int shown = sides_->visible.load(std::memory_order_seq_cst);
    const Pin::Side& side = sides_->side[shown];
    side.readers.fetch_add(1, std::memory_order_seq_cst);
    if (sides_->visible.load(std::memory_order_seq_cst) == shown) return Pin(&side);
    side.readers.fetch_sub(1, std::memory_order_release);
  }
}

std::uint64_t ServingModel::rows() const { return sides_->rows.load(std::memory_order_relaxed); }
std::uint64_t ServingModel::bytes() const { return sides_->bytes.load(std::memory_order_relaxed); }

ServingModel::Pin::Pin(Pin&& other) noexcept : side_(other.side_) { other.side_ = nullptr; }
ServingModel::Pin::~Pin() {
  if (side_ != nullptr) side_->readers.fetch_sub(1, std::memory_order_release);
}
VersionNumber ServingModel::Pin::version() const { return side_->version; }
EventTime ServingModel::Pin::seen() const { return side_->seen; }
std::shared_ptr<const DenseWeights> ServingModel::Pin::dense() const { return side_->dense; }
const std::shared_ptr<const ServedShape>& ServingModel::Pin::shape() const { return side_->shape; }
const float* ServingModel::Pin::find(int table, std::uint64_t key) const {
  return side_->tables[static_cast<std::size_t>(table)].find(key);
}

}  // namespace millrace
