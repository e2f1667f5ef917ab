#include "serve/http/head.h"

#include <algorithm>
#include <charconv>
#include <limits>

namespace millrace {
namespace {

// RFC 9110, 5.6.2: the characters of a method and of a field's name.
bool is_token_char(char c) {
  constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";
  return ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z') || ('0' <= c && c <= '9') ||
         kOthers.find(c) != std::string_view::npos;
}
bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_token_char);
}
bool is_digits(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return '0' <= c && c <= '9'; });
}
std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// The next line of `rest` without its end, which is taken off.
std::string_view take_line(std::string_view& rest) {
  const std::size_t end = rest.find("\r\n");
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 2);
  return line;
}

HeadVerdict read_first_line(std::string_view line, Head& head) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) {
    return {400, "the first line is not METHOD TARGET VERSION"};
  }
  head.method = line.substr(0, first);
  head.target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  const bool visible = std::all_of(head.target.begin(), head.target.end(),
                                   [](char c) { return '!' <= c && c <= '~'; });
  if (!is_token(head.method) || head.target.empty() || !visible) {
    return {400, "the first line is not METHOD TARGET VERSION"};
  }
  if (version != "HTTP/1.1" && version != "HTTP/1.0") {
    return {400, "the version is not HTTP/1.1 or HTTP/1.0"};
  }
  head.minor_version = version.back() - '0';
  return {};
}

HeadVerdict judge_framing(const Head& head) {
  const int lengths = head.count("Content-Length");
  const int encodings = head.count("Transfer-Encoding");
  if (lengths > 1) return {400, "more than one Content-Length"};
  if (lengths == 1 && encodings > 0) {
    return {400, "Content-Length together with Transfer-Encoding"};
  }
  if (lengths == 1 && !is_digits(head.get("Content-Length"))) {
    return {400, "the Content-Length is not a number"};
  }
  if (encodings > 0 && head.minor_version == 0) {
    return {400, "Transfer-Encoding in a request of HTTP/1.0"};
  }
  if (encodings > 1 || (encodings == 1 && !same_word(head.get("Transfer-Encoding"), "chunked"))) {
    return {501, "of transfer encodings only chunked is understood"};
  }
  return {};
}

HeadVerdict judge(const Head& head) {
  const int hosts = head.count("Host");
  if (hosts > 1) return {400, "more than one Host"};
  if (hosts == 0 && head.minor_version == 1) return {400, "the Host is missing"};
  if (HeadVerdict framing = judge_framing(head); framing.status != 0) return framing;
  if (const auto encoding = head.get("Content-Encoding");
      !encoding.empty() && !same_word(encoding, "identity")) {
    return {415, "a body with a Content-Encoding is not read"};
  }
  if (const auto expectation = head.get("Expect");
      !expectation.empty() && !same_word(expectation, "100-continue")) {
    return {417, "of expectations only 100-continue is understood"};
  }
  return {};
}

}  // namespace

HeadScanner::State HeadScanner::refuse(int status, std::string_view message) {
  status_ = status;
  message_ = message;
  return State::kRefused;
}

HeadScanner::State HeadScanner::scan(std::string_view bytes) {
  if (status_ != 0) return State::kRefused;
  while (at_ < bytes.size()) {
    if (at_ >= kMostHeadBytes) {
      return refuse(431, "the head of the request is larger than 16 KiB");
    }
    const auto c = static_cast<unsigned char>(bytes[at_]);
    if (c == '\r') {
      if (at_ + 1 == bytes.size()) return State::kMore;
      if (bytes[at_ + 1] != '\n') return refuse(400, "a carriage return inside the head");
      const bool empty = at_ == line_;
      at_ += 2;
      line_ = at_;
      if (empty) return State::kComplete;
      continue;
    }
    if (c == '\n') return refuse(400, "a line of the head ends in a line feed alone");
    if ((c < 0x20 && c != '\t') || c == 0x7F) {
      return refuse(400, "a control character in the head");
    }
    ++at_;
  }
  return State::kMore;
}

std::string_view Head::get(std::string_view name) const {
  for (const Field& field : fields) {
    if (same_word(field.name, name)) return field.value;
  }
  return {};
}

int Head::count(std::string_view name) const {
  return static_cast<int>(std::count_if(fields.begin(), fields.end(), [&](const Field& field) {
    return same_word(field.name, name);
  }));
}

bool Head::lists(std::string_view name, std::string_view word) const {
  for (const Field& field : fields) {
    if (!same_word(field.name, name)) continue;
    for (std::string_view rest = field.value; !rest.empty();) {
      const std::size_t comma = rest.find(',');
      if (same_word(trimmed(rest.substr(0, comma)), word)) return true;
      rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
    }
  }
  return false;
}

HeadVerdict read_head(std::string_view bytes, Head& head) {
  head = Head{};
  if (HeadVerdict verdict = read_first_line(take_line(bytes), head); verdict.status != 0) {
    return verdict;
  }
  while (!bytes.empty()) {
    const std::string_view line = take_line(bytes);
    if (line.empty()) break;
    if (static_cast<int>(head.fields.size()) == kMostHeadFields) {
      return {431, "the head of the request has more than 100 fields"};
    }
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) {
      return {400, "a field of the head is not NAME: VALUE"};
    }
    head.fields.push_back({line.substr(0, colon), trimmed(line.substr(colon + 1))});
  }
  return judge(head);
}

std::size_t content_length(const Head& head) {
  const std::string_view text = head.get("Content-Length");
  std::size_t length = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
  return error == std::errc::result_out_of_range ? std::numeric_limits<std::size_t>::max() : length;
}

bool has_body(const Head& head) {
  return content_length(head) > 0 || head.count("Transfer-Encoding") > 0;
}

std::string_view path_of(std::string_view target) {
  constexpr std::string_view kScheme = "http://";
  if (target.size() > kScheme.size() && same_word(target.substr(0, kScheme.size()), kScheme)) {
    target.remove_prefix(kScheme.size());
    const std::size_t slash = target.find_first_of("/?");
    if (slash == std::string_view::npos || target[slash] == '?') return "/";
    target.remove_prefix(slash);
  }
  return target.substr(0, target.find_first_of("?#"));
}

std::string_view query_of(std::string_view target) {
  target = target.substr(0, target.find('#'));
  const std::size_t mark = target.find('?');
  return mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1);
}

std::optional<std::string> query_value(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(query.size(), end + 1));
    const std::size_t equals = std::min(pair.find('='), pair.size());
    if (pair.substr(0, equals) != name) continue;
    std::string_view written = pair.substr(std::min(pair.size(), equals + 1));
    std::string value;
    while (!written.empty()) {
      unsigned byte = 0;
      const bool is_escape =
          written.size() >= 3 && written.front() == '%' &&
          std::from_chars(written.data() + 1, written.data() + 3, byte, 16).ptr ==
              written.data() + 3;
      value += is_escape ? static_cast<char>(byte) : written.front() == '+' ? ' ' : written.front();
      written.remove_prefix(is_escape ? 3 : 1);
    }
    return value;
  }
  return std::nullopt;
}

bool same_word(std::string_view a, std::string_view b) {
  auto lower = [](char c) { return 'A' <= c && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

}  // namespace millrace
