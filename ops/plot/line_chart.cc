#include "ops/plot/line_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <limits>

namespace millrace {
namespace {

constexpr double kWidth = 860, kHeight = 360;
constexpr double kLeft = 76, kRight = 210, kTop = 40, kBottom = 54;
constexpr double kPlotWidth = kWidth - kLeft - kRight, kPlotHeight = kHeight - kTop - kBottom;

// Colours that people without full colour vision tell apart (Okabe and Ito 2008).
constexpr std::array kColours{"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                              "#56B4E9", "#E69F00", "#000000"};
constexpr std::array kDashes{"", "7 4", "2 3", "9 3 2 3"};

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        // XML has no place for control characters.
        out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

// An axis from a round number to a round number, in round steps.
struct Axis {
  double least = 0, most = 1, step = 0.2;

  static Axis over(double least, double most) {
    if (!(least <= most)) return {};
    double span = most - least;
    if (!(span > 1e-12 * std::max(std::fabs(least), std::fabs(most)))) {
      span = std::max(1e-9, std::fabs(least) / 10);
      least -= span / 2;
      most += span / 2;
    }
    const double rough = (most - least) / 5, power = std::pow(10, std::floor(std::log10(rough)));
    double step = 10 * power;
    for (const double factor : {5.0, 2.0, 1.0}) {
      if (factor * power >= rough) step = factor * power;
    }
    return {std::floor(least / step + 1e-9) * step, std::ceil(most / step - 1e-9) * step, step};
  }
  double share(double value) const { return (value - least) / (most - least); }
  std::vector<double> ticks() const {
    std::vector<double> all;
    const int count = static_cast<int>(std::lround((most - least) / step));
    for (int i = 0; i <= count; ++i) {
      const double tick = least + i * step;
      all.push_back(std::fabs(tick) < step / 1e6 ? 0 : tick);
    }
    return all;
  }
};

// "12,000", "0.75": as many digits as the steps need.
std::string number(double value, double step) {
  if (std::fabs(value) >= 1e6 || (value != 0 && std::fabs(value) < 1e-4)) {
    return fmt::format("{:g}", value);
  }
  const int digits = std::max(0, static_cast<int>(-std::floor(std::log10(step) + 1e-9)));
  return fmt::format("{:.{}f}", value, digits);
}

class Drawing {
 public:
  Drawing(const LineChart& chart, double top, std::string& out)
      : chart_(chart), top_(top + kTop), out_(out) {
    double x_least = std::numeric_limits<double>::infinity(), x_most = -x_least;
    double y_least = x_least, y_most = x_most;
    for (const Series& series : chart.series) {
      for (const auto& [x, y] : series.points) {
        if (!std::isfinite(y)) continue;
        x_least = std::min(x_least, x), x_most = std::max(x_most, x);
        y_least = std::min(y_least, y), y_most = std::max(y_most, y);
      }
    }
    x_ = Axis::over(x_least, x_most);
    y_ = Axis::over(y_least, y_most);
  }

  void draw() {
    text(kLeft + kPlotWidth / 2, top_ - 16, "middle", 15, chart_.title);
    axes();
    for (std::size_t s = 0; s < chart_.series.size(); ++s) line(s);
  }

 private:
  double place_x(double x) const { return kLeft + x_.share(x) * kPlotWidth; }
  double place_y(double y) const { return top_ + (1 - y_.share(y)) * kPlotHeight; }

  void text(double x, double y, const char* anchor, int size, const std::string& what,
            const std::string& more = "") {
    fmt::format_to(std::back_inserter(out_),
                   "<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" font-size=\"{}\"{}>{}"
                   "</text>\n",
                   x, y, anchor, size, more, escaped(what));
  }
  void stroke(double x1, double y1, double x2, double y2, const char* colour) {
    fmt::format_to(std::back_inserter(out_),
                   "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" "
                   "stroke=\"{}\"/>\n",
                   x1, y1, x2, y2, colour);
  }

  void axes() {
    const double bottom = top_ + kPlotHeight;
    for (const double tick : x_.ticks()) {
      stroke(place_x(tick), bottom, place_x(tick), bottom + 5, "#444");
      text(place_x(tick), bottom + 19, "middle", 12, number(tick, x_.step));
    }
    for (const double tick : y_.ticks()) {
      stroke(kLeft, place_y(tick), kLeft + kPlotWidth, place_y(tick), "#ddd");
      text(kLeft - 8, place_y(tick) + 4, "end", 12, number(tick, y_.step));
    }
    stroke(kLeft, bottom, kLeft + kPlotWidth, bottom, "#444");
    stroke(kLeft, top_, kLeft, bottom, "#444");
    text(kLeft + kPlotWidth / 2, bottom + 41, "middle", 13, chart_.x_label);
    const double middle = top_ + kPlotHeight / 2;
    text(18, middle, "middle", 13, chart_.y_label,
         fmt::format(" transform=\"rotate(-90 18 {:.1f})\"", middle));
  }

  void line(std::size_t index) {
    const Series& series = chart_.series[index];
    const char* colour = kColours[index % kColours.size()];
    const char* dash = kDashes[index / kColours.size() % kDashes.size()];
    const std::string style = fmt::format(
        "fill=\"none\" stroke=\"{}\" stroke-width=\"1.8\" stroke-dasharray=\"{}\"", colour, dash);
    std::string path;
    bool joined = false;
    for (const auto& [x, y] : series.points) {
      if (!std::isfinite(y)) {
        joined = false;
        continue;
      }
      fmt::format_to(std::back_inserter(path), "{}{:.1f} {:.1f} ", joined ? "L" : "M", place_x(x),
                     place_y(y));
      joined = true;
    }
    if (!path.empty()) {
      fmt::format_to(std::back_inserter(out_), "<path d=\"{}\" {}/>\n", path, style);
    }
    const double y = top_ + 10 + 18 * static_cast<double>(index);
    const double x = kLeft + kPlotWidth + 14;
    fmt::format_to(std::back_inserter(out_), "<path d=\"M{:.1f} {:.1f} L{:.1f} {:.1f}\" {}/>\n", x,
                   y, x + 26, y, style);
    text(x + 32, y + 4, "start", 12, series.name);
  }

  const LineChart& chart_;
  const double top_;
  std::string& out_;
  Axis x_, y_;
};

// A chart is as high as its legend needs.
double height_of(const LineChart& chart) {
  return std::max(kHeight, kTop + 18.0 * static_cast<double>(chart.series.size()) + kBottom);
}

}  // namespace

std::string svg_document(const std::vector<LineChart>& charts) {
  double height = 0;
  for (const LineChart& chart : charts) height += height_of(chart);
  std::string out = fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
      "viewBox=\"0 0 {0:.0f} {1:.0f}\" font-family=\"sans-serif\">\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
      kWidth, height);
  double top = 0;
  for (const LineChart& chart : charts) {
    Drawing(chart, top, out).draw();
    top += height_of(chart);
  }
  return out + "</svg>\n";
}

}  // namespace millrace
