// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string_view>

#include "base/error.hpp"
#include "data/augment.hpp"
#include "golden/report.hpp"

namespace dino::golden {
namespace {

constexpr double largest_share_off_by_one = 0.01;  // README: "at most 1 grey level on at most 1 %"
constexpr double normalized_tolerance = 1e-6;      // README, absolute
constexpr double float_resize_tolerance = 1e-6;
constexpr std::array<double, 3> imagenet_mean{0.485, 0.456, 0.406};
constexpr std::array<double, 3> imagenet_std{0.229, 0.224, 0.225};

/// One operation of a file: its parameters, its image and where its results go.
class Case {
 public:
  Case(GoldenFile const& file, Report& report, std::string name)
      : file_(file), report_(report), name_(std::move(name)), image_(image_of(text("image"))) {}

  Planes picture() const { return Planes(image()); }
  RgbView image() const { return {image_.pixels.data(), image_.width, image_.height}; }
  std::vector<double> numbers(std::string const& parameter) const {
    return file_.at(path(parameter)).numbers();
  }
  double real(std::string const& parameter) const { return numbers(parameter).at(0); }
  int integer(std::string const& parameter) const {
    return static_cast<int>(std::lround(real(parameter)));
  }
  std::string text(std::string const& parameter) const {
    return file_.at(path(parameter)).texts().at(0);
  }
  CropBox box() const {
    return {integer("top"), integer("left"), integer("height"), integer("width")};
  }
  Interpolation interpolation() const {
    auto const name = text("interpolation");
    require(name == "bicubic" || name == "bilinear", ExitCode::input,
            "{} has an unknown interpolation {}", name_, name);
    return name == "bicubic" ? Interpolation::bicubic : Interpolation::bilinear;
  }

  /// The share of bytes that are off by one; infinite where one is off by more.
  void bytes(std::string const& output, std::vector<std::uint8_t> const& actual) const {
    auto const& expected = expected_at(output).integers();
    double off = actual.size() == expected.size() ? 0 : infinite;
    for (std::size_t i = 0; i < std::min(actual.size(), expected.size()); ++i) {
      auto const difference = std::abs(std::int64_t{actual[i]} - expected[i]);
      off += difference > 1 ? infinite
                            : static_cast<double>(difference) / static_cast<double>(actual.size());
    }
    report_.add(name_ + output, off, largest_share_off_by_one);
  }
  void bytes(std::string const& output, Planes const& actual) const {
    bytes(output, actual.interleaved());
  }
  /// The largest absolute error.
  void floats(std::string const& output, std::vector<float> const& actual, double bound) const {
    auto const expected = expected_at(output).numbers();
    double error = actual.size() == expected.size() ? 0 : infinite;
    for (std::size_t i = 0; i < std::min(actual.size(), expected.size()); ++i) {
      double const difference = std::abs(static_cast<double>(actual[i]) - expected[i]);
      error = difference <= error ? error : difference;  // NaN stays
    }
    report_.add(name_ + output, error, bound);
  }
  bool expects(std::string const& output) const { return file_.has("expected/" + name_ + output); }
  void skip(std::string const& why) const { report_.skip(name_, why); }

 private:
  static constexpr double infinite = std::numeric_limits<double>::infinity();
  struct Pixels {
    std::vector<std::uint8_t> pixels;
    int width, height;
  };
  Pixels image_of(std::string const& image) const {
    auto const& array = file_.at("inputs/images/" + image);
    require(array.shape.size() == 3 && array.shape[2] == 3, ExitCode::input,
            "inputs/images/{} is not [H, W, 3]", image);
    auto const& values = array.integers();
    return {{values.begin(), values.end()},
            static_cast<int>(array.shape[1]),
            static_cast<int>(array.shape[0])};
  }
  std::string path(std::string const& parameter) const {
    return "inputs/" + name_ + "/" + parameter;
  }
  Array const& expected_at(std::string const& output) const {
    return file_.at("expected/" + name_ + output);
  }

  GoldenFile const& file_;
  Report& report_;
  std::string name_;
  Pixels image_;
};

std::vector<float> normalized(Planes const& x, std::array<double, 3> const& mean = imagenet_mean,
                              std::array<double, 3> const& std = imagenet_std) {
  std::vector<float> out(x.values().size());
  Normalization(mean, std).apply(x, out.data());
  return out;
}

Planes resized(Case const& c, CropBox box, Extents extents, Interpolation interpolation,
               Flip flip = Flip::no) {
  Columns columns;
  columns.assign(c.image());
  Planes out;
  Resizer().resize(columns, box, extents, interpolation, flip, out);
  return out;
}

CropBox whole(Case const& c) {
  return {0, 0, c.image().height, c.image().width};
}

void check_resized_crop(Case const& c) {
  c.bytes("", resized(c, c.box(), {c.integer("out_height"), c.integer("out_width")},
                      c.interpolation()));
}

void check_resize(Case const& c) {
  c.bytes("", resized(c, whole(c), {c.integer("out_height"), c.integer("out_width")},
                      c.interpolation()));
}

void check_flip(Case const& c) {
  c.bytes("", resized(c, whole(c), {c.image().height, c.image().width}, Interpolation::bicubic,
                      Flip::yes));
}

void check_evaluation_transform(Case const& c) {
  auto const extents = resized_extents(c.image().height, c.image().width, c.integer("resize_size"));
  int const side = c.integer("crop_size");
  c.bytes("/resized", resized(c, whole(c), extents, c.interpolation()));
  Columns columns;
  columns.assign(c.image());
  Planes crop;
  Resizer().resize(columns, whole(c), extents, center_box(extents, side), c.interpolation(),
                   Flip::no, crop);
  c.bytes("/image", crop);
  c.floats("/normalized", normalized(crop), normalized_tolerance);
}

void check_float_resize(Case const& c) {
  int const size = c.integer("crop_size");
  auto const crop = normalized(resized(c, c.box(), {size, size}, c.interpolation()));
  c.floats("/input", crop, normalized_tolerance);
  c.floats("/output", resize_float(crop, 3, size, c.integer("out_size"), c.interpolation()),
           float_resize_tolerance);
}

template <void (*operation)(Planes&, double)>
void check_factor(Case const& c) {
  Planes x = c.picture();
  operation(x, c.real("factor"));
  c.bytes("", x);
}

ColorJitter jitter_of(Case const& c) {
  ColorJitter jitter;
  auto const order = c.numbers("order");
  require(order.size() == 4, ExitCode::input, "an order of colour jitter has {} entries",
          order.size());
  for (std::size_t i = 0; i < 4; ++i) {
    require(order[i] >= 0 && order[i] < 4, ExitCode::input, "an order of colour jitter names {}",
            order[i]);
    jitter.order[i] = static_cast<JitterStep>(std::lround(order[i]));
  }
  jitter.brightness = c.real("brightness");
  jitter.contrast = c.real("contrast");
  jitter.saturation = c.real("saturation");
  jitter.hue = c.real("hue");
  return jitter;
}

void check_color_jitter(Case const& c) {
  auto const jitter = jitter_of(c);
  Planes x = c.picture();
  std::vector<std::uint8_t> stages;
  for (JitterStep const step : jitter.order) {
    color_jitter(x, step, jitter.factor(step));
    auto const stage = x.interleaved();
    stages.insert(stages.end(), stage.begin(), stage.end());
  }
  c.bytes("/stages", stages);
  c.bytes("/image", x);
}

void check_grayscale(Case const& c) {
  Planes x = c.picture();
  grayscale(x);
  c.bytes("", x);
}

void check_solarize(Case const& c) {
  Planes x = c.picture();
  solarize(x, c.integer("threshold"));
  c.bytes("", x);
}

void check_blur_pil(Case const& c) {
  Planes x = c.picture();
  Blur().pil(x, c.real("radius"));
  c.bytes("", x);
}

void check_blur_torchvision(Case const& c) {
  Planes x = c.picture();
  Blur().torchvision(x, c.real("sigma"), c.integer("kernel_size"));
  c.bytes("", x);
}

void check_normalize(Case const& c) {
  auto const three = [&](std::string const& name) {
    auto const values = c.numbers(name);
    require(values.size() == 3, ExitCode::input, "{} has {} entries, not 3", name, values.size());
    return std::array<double, 3>{values[0], values[1], values[2]};
  };
  c.floats("", normalized(c.picture(), three("mean"), three("std")), normalized_tolerance);
}

/// The stages one by one, and the normalised view by the object that training uses.
void check_pipeline(Case const& c) {
  int const size = c.integer("size");
  std::string const blur = c.text("blur");
  DrawnView view;
  view.box = c.box();
  if (c.integer("flip") != 0) view.flip = Flip::yes;
  if (c.integer("jitter") != 0) view.jitter = jitter_of(c);
  view.gray = c.integer("grayscale") != 0;
  view.solarize = c.integer("solarize") != 0;
  if (blur == "pil") view.blur_radius = c.real("blur_parameter");

  c.bytes("/stages/0_resized_crop", resized(c, view.box, {size, size}, Interpolation::bicubic));
  Planes x = resized(c, view.box, {size, size}, Interpolation::bicubic, view.flip);
  if (view.flip == Flip::yes) c.bytes("/stages/1_flip", x);
  if (view.jitter) color_jitter(x, *view.jitter);
  if (view.jitter) c.bytes("/stages/2_jitter", x);
  if (view.gray) grayscale(x);
  if (view.gray) c.bytes("/stages/3_grayscale", x);
  if (blur == "pil") Blur().pil(x, c.real("blur_parameter"));
  if (blur == "tv") Blur().torchvision(x, c.real("blur_parameter"), 9);
  if (blur != "none") c.bytes("/stages/4_blur", x);
  if (view.solarize) solarize(x, 128);
  if (view.solarize) c.bytes("/stages/5_solarize", x);
  if (blur == "tv") return c.floats("/normalized", normalized(x), normalized_tolerance);

  Augmenter augmenter(imagenet_mean, imagenet_std);
  augmenter.set_image(c.image());
  std::vector<float> out(x.values().size());
  augmenter.make_view(view, size, out.data());
  c.floats("/normalized", out, normalized_tolerance);
}

std::map<std::string_view, void (*)(Case const&)> const operations{
    {"resized_crop", check_resized_crop},
    {"resize", check_resize},
    {"hflip", check_flip},
    {"eval_transform", check_evaluation_transform},
    {"float_resize_antialias", check_float_resize},
    {"brightness", check_factor<brightness>},
    {"contrast", check_factor<contrast>},
    {"saturation", check_factor<saturation>},
    {"hue", check_factor<hue>},
    {"color_jitter", check_color_jitter},
    {"grayscale", check_grayscale},
    {"solarize", check_solarize},
    {"blur_pil", check_blur_pil},
    {"blur_tv", check_blur_torchvision},
    {"to_tensor_normalize", check_normalize},
    {"pipeline", check_pipeline},
};

}  // namespace

void check_augment(GoldenFile const& file, Report& report) {
  for (auto const& name : file.children("inputs")) {
    if (name == "images") continue;
    Case const c(file, report, name);
    auto const operation = operations.find(c.text("op"));
    if (operation == operations.end()) {
      c.skip("operation " + c.text("op") + " is not implemented");
    } else {
      operation->second(c);
    }
  }
}

}  // namespace dino::golden
