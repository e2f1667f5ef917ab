// Saved state that is damaged: what is restored from it works, or a StateError says that it cannot
// be. Never a crash, and no memory beyond what the bytes can be the reason for.
//
// An input is a part of the state (the first byte) and edits of it, six bytes each: which record,
// where (two bytes), what, with which number (two bytes). The state itself is made here by the real
// parts, so that inputs stay of use when its form changes.
#include <memory>

#include "ingest/encode/batcher.h"
#include "ingest/encode/sampling.h"
#include "ingest/event/decode.h"
#include "ingest/join/joiner.h"
#include "ingest/sink/dead_letter_watch.h"
#include "ingest/source/file_source.h"
#include "ingest/source/kafka_losses.h"
#include "ingest/source/kafka_positions.h"
#include "learner/base/check.h"
#include "learner/synthetic/funnel.h"
#include "learner/train/trainer.h"
#include "tests/fuzz/target.h"
#include "tests/learner/train/stream.h"
#include "tests/support/shop.h"

namespace millrace {
namespace {

struct Record {
  enum class Kind { kValue, kBlock, kCold } kind;
  std::string name;  // of the value or set
  std::uint64_t number = 0;
  std::string bytes;
  std::string directory = {}, left = {};
};

using Records = std::vector<Record>;

// What a part saved, as a store that gives back the records given.
class Saved final : public ColdReader {
 public:
  Records records;

  void commit(Participant& part) {
    const StateChanges changes = part.save(++sequence_, {});
    for (const auto& value : changes.values) {
      std::erase_if(records, [&](const Record& record) {
        return record.kind == Record::Kind::kValue && record.name == value.name;
      });
      records.push_back({Record::Kind::kValue, value.name, 0, value.bytes});
    }
    for (const auto& block : changes.blocks) {
      records.push_back({Record::Kind::kBlock, block.set, sequence_, block.bytes});
    }
    for (const auto& block : changes.cold_blocks) {
      records.push_back(
          {Record::Kind::kCold, block.set, block.number, *block.bytes, block.directory});
    }
    for (const auto& left : changes.cold_left) cold(left.set, left.number).left = left.bitmap;
    for (const auto& erased : changes.cold_erased) {
      std::erase_if(records, [&](const Record& record) {
        return record.kind == Record::Kind::kCold && record.number == erased.number;
      });
    }
  }

  void restore(Participant& part) {
    part.use_cold(*this);
    for (const Record& record : records) {
      if (record.kind == Record::Kind::kValue) part.restore_value(record.name, record.bytes);
    }
    for (const Record& record : records) {
      if (record.kind == Record::Kind::kBlock) {
        part.restore_block(record.name, record.number, record.bytes);
      }
    }
    for (const Record& record : records) {
      if (record.kind == Record::Kind::kCold) {
        part.restore_cold(record.name, record.number, record.directory, record.left);
      }
    }
    part.restored();
  }

  std::vector<std::string> read(std::string_view set,
                                std::span<const std::uint64_t> numbers) override {
    std::vector<std::string> bytes;
    for (const std::uint64_t number : numbers) bytes.push_back(cold(set, number).bytes);
    return bytes;
  }

 private:
  Record& cold(std::string_view set, std::uint64_t number) {
    for (Record& record : records) {
      if (record.kind == Record::Kind::kCold && record.name == set && record.number == number) {
        return record;
      }
    }
    throw StateError("there is no such cold block");
  }
  std::uint64_t sequence_ = 0;
};

// One part of the state: how it comes to be, and how it goes on once it is restored.
class Part {
 public:
  virtual ~Part() = default;
  virtual Records save() = 0;
  virtual void restore(Saved& saved) = 0;
};

std::vector<LabelSource> shop_labels() {
  std::vector<LabelSource> labels(4);
  for (int k = 0; k < 4; ++k) labels[static_cast<std::size_t>(k)].outcome = k;
  return labels;
}

class JoinPart final : public Part {
 public:
  explicit JoinPart(ByteSize memory) { options_.memory = memory; }

  Records save() override {
    Saved saved;
    Joiner joiner(schema_, types_, shop_labels(), options_);
    joiner.use_cold(saved);
    Funnel funnel({.seed = 3, .impressions_per_second = 2});
    for (int commit = 0; commit < 4; ++commit) {
      take(joiner, funnel, 120);
      saved.commit(joiner);
    }
    return saved.records;
  }

  void restore(Saved& saved) override {
    Joiner joiner(schema_, types_, shop_labels(), options_);
    saved.restore(joiner);
    joiner.explain("f3-1");
    Funnel funnel({.seed = 3, .impressions_per_second = 2});
    take(joiner, funnel, 40);
    saved.commit(joiner);
    joiner.flush();
    for (bool more = true; more;) {
      more = joiner.advance(100, rows_);
      use_rows();
    }
    saved.commit(joiner);
  }

 private:
  void take(Joiner& joiner, Funnel& funnel, int events) {
    for (int i = 0; i < events; ++i) {
      auto event = decoder_.decode_line(funnel.next().json, 1 << 16);
      MILLRACE_CHECK(event);
      joiner.add(std::move(event).value(), rows_);
      for (bool more = true; more;) {
        more = joiner.advance(100, rows_);
        use_rows();
      }
    }
  }
  void use_rows() {
    Batch batch = empty_batch(schema_, Stream::kMatured);
    for (const JoinedRow& row : rows_) append_features(schema_, row.features, batch);
    rows_.clear();
  }

  const Schema schema_ = shop_schema();
  const EventTypes types_ = shop_events();
  Decoder decoder_{schema_, types_};
  JoinOptions options_;
  std::vector<JoinedRow> rows_;
};

class BatchesPart final : public Part {
 public:
  Records save() override {
    Batcher batcher(schema_, 64, Duration{60'000});
    std::vector<Batch> closed;
    Joiner joiner(schema_, types_, shop_labels(), {});
    Decoder decoder(schema_, types_);
    Funnel funnel({.seed = 4, .impressions_per_second = 2});
    std::vector<JoinedRow> rows;
    for (int i = 0; i < 400; ++i) {
      auto event = decoder.decode_line(funnel.next().json, 1 << 16);
      joiner.add(std::move(event).value(), rows);
      while (joiner.advance(100, rows)) {
      }
    }
    joiner.flush();
    while (joiner.advance(100, rows)) {
    }
    for (std::size_t i = 0; i < 10 && i < rows.size(); ++i) {
      rows[i].due = rows[0].due;
      batcher.add(rows[i], joiner.newest(), closed);
    }
    Saved saved;
    saved.commit(batcher);
    return saved.records;
  }

  void restore(Saved& saved) override {
    Batcher batcher(schema_, 64, Duration{60'000});
    saved.restore(batcher);
    std::vector<Batch> closed;
    batcher.close_passed(EventTime{2'000'000'000'000}, EventTime{2'000'000'000'000}, closed);
    for (const Stream stream : {Stream::kAtOnce, Stream::kMatured}) batcher.flush(stream, closed);
    saved.commit(batcher);
  }

 private:
  const Schema schema_ = shop_schema();
  const EventTypes types_ = shop_events();
};

class TrainerPart final : public Part {
 public:
  Records save() override {
    Saved saved;
    Trainer trainer("m", schema_, options_);
    stream::Source source(schema_, 5);
    for (int i = 0; i < 6; ++i) {
      Batch batch = source.next(32, i % 2 == 0 ? Stream::kAtOnce : Stream::kMatured);
      for (std::size_t row = 0; row < batch.keys.size(); ++row) batch.keys[row] = row + 1;
      trainer.train(batch);
      if (i % 3 == 2) saved.commit(trainer);
    }
    return saved.records;
  }

  void restore(Saved& saved) override {
    Trainer trainer("m", schema_, options_);
    saved.restore(trainer);
    trainer.report();
    trainer.publish();
    stream::Source source(schema_, 6);
    trainer.train(source.next(32));
    trainer.report();
    saved.commit(trainer);
  }

 private:
  const Schema schema_{stream::features(), stream::tasks(FeedbackPolicy::kEsDfm)};
  const LearnerOptions options_ = stream::options(32);
};

// The small ones, together.
class SmallParts final : public Part {
 public:
  Records save() override {
    Records records;
    for (const auto& part : parts()) {
      Saved saved;
      saved.commit(*part);
      records.insert(records.end(), saved.records.begin(), saved.records.end());
    }
    KafkaPositions positions;
    positions.set({"clicks", 1}, 17);
    positions.set({"impressions", 0}, 5'000'000'000);
    records.push_back({Record::Kind::kValue, "positions", 0, positions.save()});
    records.push_back({Record::Kind::kValue, "losses", 0, KafkaLosses{}.save()});
    return records;
  }

  void restore(Saved& saved) override {
    std::size_t at = 0;
    for (const auto& part : parts()) {
      if (at == saved.records.size()) return;
      const Record& record = saved.records[at++];
      part->restore_value(record.name, record.bytes);
      part->restored();
      part->save(9, {});
    }
    for (; at < saved.records.size(); ++at) {
      const Record& record = saved.records[at];
      if (record.name == "positions") KafkaPositions{}.restore(record.bytes);
      if (record.name == "losses") KafkaLosses{}.restore(record.bytes);
    }
  }

 private:
  std::vector<std::unique_ptr<Participant>> parts() const {
    std::vector<std::unique_ptr<Participant>> parts;
    parts.push_back(std::make_unique<Sampling>(schema_, TrainOptions{}));
    auto watch = std::make_unique<DeadLetterWatch>(DeadLetterGuardOptions{});
    for (int i = 0; i < 20; ++i) watch->take(i % 3 == 0);
    parts.push_back(std::move(watch));
    parts.push_back(std::make_unique<FileSource>(std::vector<std::string>{"a", "b"}));
    return parts;
  }
  const Schema schema_ = shop_schema();
};

template <class Number>
void put(std::string& bytes, std::size_t at, Number number) {
  if (at + sizeof number <= bytes.size()) std::memcpy(bytes.data() + at, &number, sizeof number);
}

void edit(Records& records, std::string_view six) {
  if (records.empty()) return;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(six[i]); };
  const std::size_t which = byte(0) % records.size();
  Record& record = records[which];
  std::string& bytes = record.kind == Record::Kind::kCold && byte(0) >= 128
                           ? (byte(0) >= 192 ? record.left : record.directory)
                           : record.bytes;
  const std::size_t at = bytes.empty() ? 0 : (byte(1) * 256U + byte(2)) % bytes.size();
  const unsigned number = byte(4) * 256U + byte(5);
  switch (byte(3) % 10) {
    case 0:
      put(bytes, at, byte(5));
      break;
    case 1:
      put(bytes, at, std::uint32_t{number});
      break;
    case 2:
      put(bytes, at, ~std::uint32_t{0} - number);
      break;
    case 3:
      put(bytes, at, std::uint64_t{number} << byte(4) % 64);
      break;
    case 4:
      put(bytes, at, ~std::uint64_t{0} - number);
      break;
    case 5:
      bytes.resize(at);
      break;
    case 6:
      bytes.erase(at, number % 64);
      break;
    case 7:
      bytes.insert(at, number % 64, static_cast<char>(byte(4)));
      break;
    case 8:
      bytes = bytes.substr(0, at) + records[number % records.size()].bytes;
      break;
    default:
      if (byte(5) % 2 == 0) {
        records.erase(records.begin() + static_cast<std::ptrdiff_t>(which));
      } else {
        records.push_back(Record(record));
      }
  }
}

struct Known {
  std::unique_ptr<Part> part;
  Records records;
};

std::vector<Known> make_parts() {
  std::vector<Known> all(5);
  all[0].part = std::make_unique<JoinPart>(ByteSize{64 << 20});
  all[1].part = std::make_unique<JoinPart>(ByteSize{16 << 10});
  all[2].part = std::make_unique<BatchesPart>();
  all[3].part = std::make_unique<TrainerPart>();
  all[4].part = std::make_unique<SmallParts>();
  for (Known& known : all) {
    known.records = known.part->save();
    Saved saved;
    saved.records = known.records;
    known.part->restore(saved);  // as it was saved it works
  }
  return all;
}

}  // namespace
}  // namespace millrace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace millrace;
  static const std::vector<Known> parts = make_parts();
  if (size == 0) return 0;
  const Known& known = parts[data[0] % parts.size()];
  Saved saved;
  saved.records = known.records;
  std::string_view edits = fuzz_text(data, size).substr(1);
  for (; edits.size() >= 6; edits.remove_prefix(6)) edit(saved.records, edits);
  bool works = true;
  try {
    known.part->restore(saved);
  } catch (const StateError&) {
    works = false;
  }
  fuzz_counts.add(works);
  return 0;
}
