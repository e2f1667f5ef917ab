#include "ingest/source/merge.h"

#include <algorithm>
#include <utility>

namespace millrace {
namespace {

std::string future_message(EventTime time, std::string_view limit_name, EventTime limit,
                           Duration max_skew) {
  return "field \"time\": " + print_rfc3339(time) + " is more than " + print_duration(max_skew) +
         " after " + std::string(limit_name) + ", " + print_rfc3339(limit);
}

// A view of nothing stands for what is absent.
std::optional<std::string> copy_of(std::string_view bytes) {
  return bytes.data() == nullptr ? std::nullopt : std::optional<std::string>(bytes);
}

}  // namespace

struct Merge::Parts {
  // What is known of an input's head.
  struct Lane {
    std::optional<Event> event;  // the decoded head, while it stands in the heap
    std::int64_t offset = 0;
    std::optional<EventTime> timestamp;
    std::size_t rank = 0;  // place in the order (topic, partition)
    std::optional<EventTime> behind_since;
    bool left_out = false;
  };
  struct Entry {
    EventTime time;
    std::size_t rank;
    std::size_t input;
  };
  // The heap's top is the smallest.
  static bool later(const Entry& a, const Entry& b) {
    return a.time != b.time ? a.time > b.time : a.rank > b.rank;
  }

  Source& source;
  Decoder& decoder;
  MergeOptions options;
  std::vector<Lane> lanes;
  std::vector<Entry> heap;
  std::vector<std::size_t> headless;  // inputs without a decoded head
  EventTime clock_seen = EventTime::before_all();
  bool all_at_end = false;
  std::uint64_t left_out = 0;

  void welcome_new_inputs();
  std::optional<Taken> look(bool& waits, bool& somewhere_behind);
  bool is_waited_for(Lane& lane);
  std::optional<Rejection> judge_time(EventTime time, std::optional<EventTime> timestamp);
  Result<Event, Rejection> read(std::size_t input, const Record& record);
  Taken refuse(std::size_t input, const Record& record, Rejection rejection);
  Taken take_first();
};

// New inputs are inserted into the order of all; the heads that are known already keep theirs.
void Merge::Parts::welcome_new_inputs() {
  const std::vector<Input>& inputs = source.inputs();
  for (std::size_t input = lanes.size(); input < inputs.size(); ++input) headless.push_back(input);
  lanes.resize(inputs.size());
  std::vector<std::size_t> order(inputs.size());
  for (std::size_t input = 0; input < order.size(); ++input) order[input] = input;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::pair(std::string_view(inputs[a].topic), inputs[a].partition) <
           std::pair(std::string_view(inputs[b].topic), inputs[b].partition);
  });
  for (std::size_t rank = 0; rank < order.size(); ++rank) lanes[order[rank]].rank = rank;
  for (Entry& entry : heap) entry.rank = lanes[entry.input].rank;
  std::make_heap(heap.begin(), heap.end(), later);
}

std::optional<Rejection> Merge::Parts::judge_time(EventTime time,
                                                  std::optional<EventTime> timestamp) {
  const Duration skew = options.max_skew;
  if (timestamp && time > *timestamp + skew) {
    return Rejection{Reason::kTimeInFuture,
                     future_message(time, "the record's timestamp", *timestamp, skew)};
  }
  if (time <= clock_seen + skew) return std::nullopt;
  clock_seen = options.clock();
  if (time > clock_seen + skew) {
    return Rejection{Reason::kTimeInFuture, future_message(time, "the clock", clock_seen, skew)};
  }
  return std::nullopt;
}

Result<Event, Rejection> Merge::Parts::read(std::size_t input, const Record& record) {
  if (options.stages != nullptr) options.stages->go_on(Stage::kDecode);
  Result<Event, Rejection> event =
      options.lines
          ? decoder.decode_line(record.payload, options.max_record)
          : decoder.decode(source.inputs()[input].topic, record.payload, options.max_record);
  if (options.stages != nullptr) options.stages->go_on(Stage::kFetch);
  const std::optional<EventTime> time = event ? event_time(*event) : event.error().time;
  if (time) {
    if (auto rejection = judge_time(*time, record.timestamp)) return std::move(*rejection);
  }
  return event;
}

Taken Merge::Parts::refuse(std::size_t input, const Record& record, Rejection rejection) {
  Taken taken{.input = input,
              .offset = record.offset,
              .timestamp = record.timestamp,
              .event = std::move(rejection),
              .payload = copy_of(record.payload),
              .key = copy_of(record.key),
              .headers = source.headers(input)};
  source.take(input);
  return taken;
}

// Whether the merge must wait for an input that is behind its end and has delivered nothing.
bool Merge::Parts::is_waited_for(Lane& lane) {
  if (lane.left_out) return false;
  if (!options.idle_after) return true;
  const EventTime now = options.clock();
  if (!lane.behind_since) lane.behind_since = now;
  if (now - *lane.behind_since < *options.idle_after) return true;
  lane.left_out = true;
  ++left_out;
  return false;
}

// Looks for the heads that are missing. A record that is no event is taken at once.
std::optional<Taken> Merge::Parts::look(bool& waits, bool& somewhere_behind) {
  std::size_t kept = 0;
  std::optional<Taken> refused;
  for (std::size_t i = 0; i < headless.size(); ++i) {
    const std::size_t input = headless[i];
    if (refused) {
      headless[kept++] = input;
      continue;
    }
    Lane& lane = lanes[input];
    Record record;
    const Head head = source.peek(input, record);
    if (head != Head::kBehind) {
      lane.behind_since.reset();
      lane.left_out = false;
    }
    if (head == Head::kRecord) {
      Result<Event, Rejection> event = read(input, record);
      if (event) {
        heap.push_back({event_time(*event), lane.rank, input});
        std::push_heap(heap.begin(), heap.end(), later);
        lane.event = std::move(event).value();
        lane.offset = record.offset;
        lane.timestamp = record.timestamp;
        continue;
      }
      refused = refuse(input, record, event.error());
    } else if (head == Head::kBehind) {
      somewhere_behind = true;
      if (is_waited_for(lane)) waits = true;
    }
    headless[kept++] = input;
  }
  headless.resize(kept);
  return refused;
}

Taken Merge::Parts::take_first() {
  std::pop_heap(heap.begin(), heap.end(), later);
  const std::size_t input = heap.back().input;
  heap.pop_back();
  Lane& lane = lanes[input];
  Taken taken{.input = input,
              .offset = lane.offset,
              .timestamp = lane.timestamp,
              .event = std::move(*lane.event),
              .payload = {},
              .key = {},
              .headers = {}};
  lane.event.reset();
  headless.push_back(input);
  source.take(input);
  return taken;
}

Merge::Merge(Source& source, Decoder& decoder, MergeOptions options)
    : parts_(new Parts{source, decoder, std::move(options), {}, {}, {}}) {}

Merge::~Merge() = default;

std::optional<Taken> Merge::next() {
  Parts& parts = *parts_;
  if (parts.lanes.size() < parts.source.inputs().size()) parts.welcome_new_inputs();
  bool waits = false;
  bool somewhere_behind = false;
  std::optional<Taken> refused = parts.look(waits, somewhere_behind);
  parts.all_at_end = !refused && parts.heap.empty() && !somewhere_behind;
  if (refused) return refused;
  if (waits || parts.heap.empty()) return std::nullopt;
  return parts.take_first();
}

bool Merge::all_at_end() const { return parts_->all_at_end; }
std::uint64_t Merge::left_out() const { return parts_->left_out; }

}  // namespace millrace
