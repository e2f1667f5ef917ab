#pragma once

#include <string>
#include <string_view>

#include "learner/base/json_text.h"

namespace millrace {

/// Writes JSON into a string, and knows where commas belong. What is written must balance.
class JsonWriter {
 public:
  /// Borrows `out`, to which it appends.
  explicit JsonWriter(std::string& out) : out_(out) {}

  void begin_object() { open('{'); }
  void end_object() { out_ += '}'; }
  void begin_list() { open('['); }
  void end_list() { out_ += ']'; }
  void key(std::string_view name) {
    separate();
    append_json_string(out_, name);
    out_ += ':';
  }
  void text(std::string_view value) {
    separate();
    append_json_string(out_, value);
  }
  /// double, float or std::uint64_t.
  template <class Number>
  void number(Number value) {
    separate();
    append_json_number(out_, value);
  }
  /// A value, or a key with its colon, that is JSON already.
  void raw(std::string_view json) {
    separate();
    out_ += json;
  }

 private:
  void open(char bracket) {
    separate();
    out_ += bracket;
  }
  void separate() {
    if (out_.empty()) return;
    const char last = out_.back();
    if (last != '{' && last != '[' && last != ':') out_ += ',';
  }

  std::string& out_;
};

/// At most `most` bytes of `text`, cut between two characters of UTF-8 and marked by "…" where
/// something was left out: for values in messages.
std::string shortened(std::string_view text, std::size_t most = 64);

}  // namespace millrace
