#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

/// The most bytes and fields of a request's head: its first line and its fields.
inline constexpr std::size_t kMostHeadBytes = std::size_t{16} * 1024;
inline constexpr int kMostHeadFields = 100;

/// Looks for the end of a request's head in bytes as they arrive, and refuses at once what cannot
/// be one: a line that ends in a bare LF, a CR by itself, another control character, too many
/// bytes. Strict where lenient parsers disagree with each other (RFC 9112, 2.2 and 11.2), because
/// the disagreement is what request smuggling lives on.
class HeadScanner {
 public:
  enum class State { kMore, kComplete, kRefused };

  /// `bytes` is everything since the request's first byte, also what was seen before.
  /// Cost: looks at each byte once.
  State scan(std::string_view bytes);

  std::size_t head_bytes() const { return at_; }  ///< kComplete: with the empty line.
  int status() const { return status_; }          ///< kRefused.
  std::string_view message() const { return message_; }

 private:
  State refuse(int status, std::string_view message);

  std::size_t at_ = 0;
  std::size_t line_ = 0;  // where the current line begins
  int status_ = 0;
  std::string_view message_;
};

/// A head, taken apart. Views point into its bytes.
struct Head {
  std::string_view method, target;
  int minor_version = 1;  ///< Of HTTP/1.
  struct Field {
    std::string_view name, value;
  };
  std::vector<Field> fields;

  /// The value of the first field of that name (any case), or empty.
  std::string_view get(std::string_view name) const;
  int count(std::string_view name) const;
  /// Whether `word` (any case) is among the comma-separated words of the fields of that name.
  bool lists(std::string_view name, std::string_view word) const;
};

/// Why a head is refused; `status` is 0 where it is not.
struct HeadVerdict {
  int status = 0;
  std::string message;
};

/// Takes a complete head apart and judges it: the first line's form, names of fields, at most
/// kMostHeadFields, exactly one Host (HTTP/1.1), one Content-Length of digits or one
/// Transfer-Encoding "chunked" but not both, no Content-Encoding, no expectation but 100-continue.
HeadVerdict read_head(std::string_view bytes, Head& head);

/// The declared length of the body; what does not fit is the largest number. 0 if absent.
std::size_t content_length(const Head& head);
bool has_body(const Head& head);

/// The path of a target without its query: of "/a?b" and of "http://host/a".
std::string_view path_of(std::string_view target);
/// What follows the first question mark, up to a fragment; empty where there is none.
std::string_view query_of(std::string_view target);
/// The value of the first `name=` in a query, with %XX and + decoded; nothing where there is none.
std::optional<std::string> query_value(std::string_view query, std::string_view name);

/// Whether two texts are the same but for the case of ASCII letters.
bool same_word(std::string_view a, std::string_view b);

}  // namespace millrace
