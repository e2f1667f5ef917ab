#include "ops/parity/batch_file.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <utility>

#include "ingest/encode/batcher.h"
#include "ingest/event/decode.h"
#include "ingest/join/labels.h"
#include "ingest/join/windows.h"
#include "learner/data/feature_key.h"
#include "ops/json_inner.h"
#include "ops/parity/row_names.h"

namespace millrace {
namespace {

namespace json = boost::json;

// What a categorical value is hashed as; nothing for what has no key.
std::optional<std::string> text_of(const json::value& value) {
  if (value.is_string()) return std::string(value.get_string());
  if (value.is_int64() || value.is_uint64() || value.is_bool()) return json::serialize(value);
  return std::nullopt;
}

// Lines to batches, as the pipeline makes them of samples, but for the places where they close.
class BatchReader {
 public:
  explicit BatchReader(const Config& config)
      : schema_(config.schema()),
        windows_(schema_, config.events, config.labels, config.join.allowed_lateness),
        labels_(schema_, windows_, config.labels),
        decoder_(schema_, config.events),
        batcher_(schema_, config.learner.train.batch, std::nullopt),
        most_record_(static_cast<std::size_t>(config.kafka.max_record.value)) {
    given_.texts.resize(schema_.tables().size());
  }

  // An error's message; empty where all is well.
  std::string add(const std::string& line) {
    auto event = decoder_.decode_line(line, most_record_);
    if (!event) return event.error().message;
    auto* sample = std::get_if<Sample>(&*event);
    if (sample == nullptr) return "is no sample";
    const json::value record = json::parse(line);
    if (const std::string fault = begin_row(record.as_object()); !fault.empty()) return fault;
    if (const json::value* features = record.as_object().if_contains("features")) {
      if (features->is_object()) remember_texts(features->get_object());
    }
    if (!unclear_.empty()) return unclear_ + " is the name of a row of a cross in this table";
    JoinedRow row{.impression_id = {},
                  .time = sample->time,
                  .due = sample->time,
                  .watermark = sample->time,
                  .stream = Stream::kAtOnce,
                  .features = std::move(sample->features),
                  .weight = 1 / sample->sampling_rate,
                  .user = sample->user};
    labels_.joined(std::move(sample->labels), row);
    if (const json::value* delays = record.as_object().if_contains("delays")) {
      if (std::string fault = read_delays(*delays, row); !fault.empty()) return fault;
    }
    if (!row.is_trained()) return "has no label; training passes over such rows";
    batcher_.add(row, row.due, given_.batches);
    return "";
  }

  GivenBatches finish() {
    batcher_.flush(Stream::kAtOnce, given_.batches);
    return std::move(given_);
  }

 private:
  // Closes the batch before where the row begins another.
  std::string begin_row(const json::object& record) {
    const json::value* batch = record.if_contains("batch");
    if (batch == nullptr) return "";
    boost::system::error_code fault;
    const auto number = batch->to_number<std::int64_t>(fault);
    if (fault) return "batch " + json::serialize(*batch) + " is no number";
    if (number_ != number) {
      batcher_.flush(Stream::kAtOnce, given_.batches);
      closed_ = given_.batches.size();
    } else if (given_.batches.size() != closed_) {
      return "batch " + std::to_string(number) + " has more rows than train.batch";
    }
    number_ = number;
    return "";
  }

  // What a label under dfm says of its delay.
  std::string read_delays(const json::value& delays, JoinedRow& row) const {
    if (!delays.is_object()) {
      return "delays " + json::serialize(delays) +
             " is no object; expected {\"TASK\": {\"since\": MS, \"until\": MS or \"never\"}}";
    }
    for (const auto& [name, delay] : delays.get_object()) {
      const std::string place = "delays." + std::string(name);
      const int task = schema_.find_task(std::string_view(name.data(), name.size()));
      const auto k = static_cast<std::size_t>(task);
      if (task < 0 || schema_.tasks()[k].policy != FeedbackPolicy::kDfm) {
        return place + ": expected a task whose train.delayed_feedback policy is dfm";
      }
      const json::object* entry = delay.if_object();
      const json::value* until = entry != nullptr ? entry->if_contains("until") : nullptr;
      if (until == nullptr)
        return place + " " + json::serialize(delay) +
               " has no until; expected milliseconds or \"never\"";
      const json::value* since = entry->if_contains("since");
      const auto ms = [](const json::value& value) -> std::optional<double> {
        if (!value.is_number() || !(value.to_number<double>() >= 0)) return std::nullopt;
        return value.to_number<double>();
      };
      const bool never = until->is_string() && until->get_string() == "never";
      const auto end = never ? std::numeric_limits<double>::infinity() : ms(*until);
      const auto begin = since != nullptr ? ms(*since) : 0;
      if (!end || (never && row.labels[k] == 1)) {
        return place + ".until " + json::serialize(*until) +
               " is not when it came; expected milliseconds, or of a 0 \"never\"";
      }
      if (!begin || *begin > *end) {
        return place + ".since " + json::serialize(*since) +
               " is no time before until; expected milliseconds from 0 on";
      }
      row.since[k] = *begin;
      row.until[k] = *end;
      row.origin[k] = *begin > 0 ? Origin::kAgain : Origin::kFirst;
    }
    return "";
  }

  // The number of the bucket that a number is in, which names the bucket's row.
  std::optional<std::string> bucket_of(int feature, const json::value& number) const {
    if (!number.is_number()) return std::nullopt;
    const std::vector<double>& boundaries = schema_.buckets_of(feature).boundaries();
    const auto at =
        std::upper_bound(boundaries.begin(), boundaries.end(), number.to_number<double>());
    return std::to_string(at - boundaries.begin());
  }

  void remember_texts(const json::object& features) {
    std::map<int, std::string> single;  // of features with one value
    for (const int feature : schema_.key_features()) {
      const Feature& f = schema_.features()[static_cast<std::size_t>(feature)];
      const json::value* value = features.if_contains(f.name);
      if (value == nullptr) continue;
      if (const json::array* bag = value->if_array()) {
        for (const json::value& one : *bag) {
          if (const auto text = text_of(one)) remember_plain(feature, *text);
        }
      } else if (const auto text =
                     is_bucketised(f) ? bucket_of(feature, *value) : text_of(*value)) {
        remember_plain(feature, *text);
        single.emplace(feature, *text);
      }
    }
    for (const Cross& cross : schema_.crosses()) {
      if (const auto name = cross_name(schema_, cross, single)) {
        remember(cross.feature, cross_key(schema_, cross, single), *name);
      }
    }
  }

  void remember_plain(int feature, const std::string& text) {
    const int table = schema_.table_of(feature);
    const auto seed = schema_.tables()[static_cast<std::size_t>(table)].seed;
    const std::uint64_t key = feature_key(text, seed);
    if (key_of_name(schema_, table, text) != key) unclear_ = text;
    remember(feature, key, text);
  }

  void remember(int feature, std::uint64_t key, const std::string& text) {
    given_.texts[static_cast<std::size_t>(schema_.table_of(feature))].emplace(key, text);
  }

  const Schema schema_;
  const Windows windows_;
  const Labels labels_;
  Decoder decoder_;
  Batcher batcher_;
  const std::size_t most_record_;
  GivenBatches given_;
  std::string unclear_;  // a value whose row would have another row's name
  std::optional<std::int64_t> number_;
  std::size_t closed_ = 0;  // batches that are there when the present one begins
};

}  // namespace

Result<GivenBatches> read_batches(const std::string& path, const Config& config) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error{path + ": cannot be read"};
  BatchReader reader(config);
  std::string line;
  for (long number = 1; std::getline(file, line); ++number) {
    const std::string fault = reader.add(line);
    if (!fault.empty()) return Error{path + ":" + std::to_string(number) + ": " + fault};
  }
  if (!file.eof()) return Error{path + ": cannot be read"};
  GivenBatches given = reader.finish();
  if (given.batches.empty()) return Error{path + ": has no sample"};
  return given;
}

}  // namespace millrace
