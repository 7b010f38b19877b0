// SPDX-License-Identifier: Apache-2.0
// What the regression scripts cannot do by themselves: makes pictures, reads HDF5 files.
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "io/checkpoint.hpp"
#include "io/image.hpp"
#include "io/metrics.hpp"
#include "io/shards.hpp"

namespace {

namespace fs = std::filesystem;
using namespace dino;

constexpr int classes = 4;

/// Stripes whose direction and colour tell the class, under noise.
io::Image striped_picture(int label, int side, std::uint32_t& state) {
  io::Image image{.width = side, .height = side, .pixels = {}};
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) {
      int const along = label == 0 ? x : label == 1 ? y : label == 2 ? x + y : x - y + side;
      for (int channel = 0; channel < 3; ++channel) {
        state = state * 1664525U + 1013904223U;
        int const stripe = along / 5 % 2 == 0 ? 60 : 140;
        int const tint = channel == label % 3 ? 40 : 0;
        image.pixels.push_back(static_cast<std::uint8_t>(stripe + tint + (state >> 26)));
      }
    }
  }
  return image;
}

std::string picture_name(int label, int number) {
  return fmt::format("class{}/{:04}.jpg", label, number);
}

/// tool shards FOLDER COUNT SEED: two shards of labelled JPEGs. Every seventh has a wrong label, so
/// that no classifier is always right.
void make_shards(std::string const& folder, int count, std::uint32_t seed) {
  constexpr int side = 40;
  fs::create_directories(folder);
  io::ShardMetadata metadata{.class_names = {}, .source = "regression test"};
  for (int label = 0; label < classes; ++label)
    metadata.class_names.push_back(fmt::format("class{}", label));
  int const split = (count + 1) / 2;
  for (int begin = 0; begin < count; begin += split) {
    io::ShardWriter writer(fmt::format("{}/shard_{:05}.h5", folder, begin / split), metadata);
    for (int i = begin; i < std::min(begin + split, count); ++i) {
      io::ShardImage image{.key = picture_name(i % classes, i), .width = side, .height = side};
      image.bytes = io::encode_jpeg(striped_picture(i % classes, side, seed), 90);
      image.label = (i + (i % 7 == 0 ? 1 : 0)) % classes;
      writer.add(image);
    }
    writer.finish();
  }
}

/// tool pictures FOLDER COUNT SEED SIDE: such pictures as files, a folder per class.
void make_pictures(std::string const& folder, int count, std::uint32_t seed, int side) {
  for (int i = 0; i < count; ++i) {
    auto const path = fs::path(folder) / picture_name(i % classes, i);
    fs::create_directories(path.parent_path());
    auto const bytes = io::encode_jpeg(striped_picture(i % classes, side, seed), 90);
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<char const*>(bytes.data()), std::ssize(bytes));
  }
}

/// tool losses METRICS: step and loss of every row, with all bits.
void print_losses(std::string const& path) {
  auto const table = io::read_metrics(path, "steps");
  auto const& steps = table.at("step");
  for (std::size_t i = 0; i < steps.size(); ++i)
    std::printf("%.0f %a\n", steps[i], table.at("loss").at(i));
}

/// tool compare_losses METRICS METRICS [WINDOW]: the worst relative difference, of means over
/// WINDOW steps one after the other. \throws Error unless the files have the same steps and all
/// losses are finite
double worst_loss_difference(std::string const& left, std::string const& right,
                             std::size_t window) {
  auto const a = io::read_metrics(left, "steps");
  auto const b = io::read_metrics(right, "steps");
  require(a.at("step") == b.at("step") && !a.at("step").empty(), ExitCode::input,
          "'{}' has {} steps, '{}' has {}, or not the same", left, a.at("step").size(), right,
          b.at("step").size());
  double worst = 0, x = 0, y = 0;
  auto const count = a.at("loss").size();
  require(window >= 1 && count >= window, ExitCode::usage, "{} steps are no window of {}", count,
          window);
  for (std::size_t i = 0; i < count; ++i) {
    x += a.at("loss")[i];
    y += b.at("loss")[i];
    require(std::isfinite(x) && std::isfinite(y), ExitCode::input, "loss {} is not finite", i);
    if ((i + 1) % window != 0) continue;
    worst = std::max(worst, std::abs(x - y) / std::abs(x));
    x = y = 0;
  }
  return worst;
}

/// tool compare_arrays FILE FILE: the worst difference of any value of two files of arrays
/// (features, checkpoints). \throws Error unless they have the same arrays, all finite
double worst_array_difference(std::string const& left, std::string const& right) {
  auto const a = io::read_checkpoint_summary(left);
  auto const b = io::read_checkpoint_summary(right);
  require(a.arrays.size() == b.arrays.size(), ExitCode::input, "different numbers of arrays");
  double worst = 0;
  for (std::size_t i = 0; i < a.arrays.size(); ++i) {
    auto const& name = a.arrays[i].name;
    require(name == b.arrays[i].name && a.arrays[i].shape == b.arrays[i].shape, ExitCode::input,
            "array '{}' is not in both", name);
    auto const x = io::read_checkpoint_array(left, name);
    auto const y = io::read_checkpoint_array(right, name);
    for (std::size_t k = 0; k < x.size(); ++k) {
      double const difference = std::abs(static_cast<double>(x[k]) - static_cast<double>(y[k]));
      require(std::isfinite(difference), ExitCode::input, "'{}' is not finite", name);
      worst = std::max(worst, difference);
    }
  }
  return worst;
}

/// tool compare_group FILE FILE PREFIX: the same for the arrays whose names begin so.
double worst_group_difference(std::string const& left, std::string const& right,
                              std::string const& prefix) {
  double worst = -1;
  for (auto const& array : io::read_checkpoint_summary(left).arrays) {
    if (!array.name.starts_with(prefix)) continue;
    auto const x = io::read_checkpoint_array(left, array.name);
    auto const y = io::read_checkpoint_array(right, array.name);
    require(x.size() == y.size(), ExitCode::input, "'{}' has another size", array.name);
    worst = std::max(worst, 0.0);
    for (std::size_t k = 0; k < x.size(); ++k)
      worst = std::max(worst, std::abs(static_cast<double>(x[k]) - static_cast<double>(y[k])));
  }
  require(worst >= 0, ExitCode::input, "no array of '{}' begins with '{}'", left, prefix);
  return worst;
}

using Rows = std::vector<std::vector<double>>;

/// Rows of the evaluations with the columns whose names begin so, without those that know none.
Rows evaluation_rows(std::string const& path, std::string const& prefix,
                     std::vector<std::string>* names = nullptr) {
  auto const table = io::read_metrics(path, "evaluations");
  Rows rows;
  for (std::size_t i = 0; i < table.at("step").size(); ++i) {
    std::vector<double> row{table.at("step")[i]};
    for (auto const& [name, column] : table)
      if (name.starts_with(prefix)) row.push_back(column[i]);
    if (!std::all_of(row.begin() + 1, row.end(), [](double v) { return std::isnan(v); }))
      rows.push_back(std::move(row));
  }
  for (auto const& [name, column] : table)
    if (names != nullptr && name.starts_with(prefix)) names->push_back(name);
  return rows;
}

/// tool evaluations METRICS PREFIX: names, then values of every row.
void print_evaluations(std::string const& path, std::string const& prefix) {
  std::vector<std::string> names{"step"};
  auto const rows = evaluation_rows(path, prefix, &names);
  std::printf("%s\n", fmt::format("{}", fmt::join(names, " ")).c_str());
  for (auto const& row : rows) std::printf("%s\n", fmt::format("{}", fmt::join(row, " ")).c_str());
}

/// tool compare_evaluations METRICS METRICS PREFIX: the worst difference. \throws Error unless both
/// have the same rows
double worst_evaluation_difference(std::string const& left, std::string const& right,
                                   std::string const& prefix) {
  auto const a = evaluation_rows(left, prefix);
  auto const b = evaluation_rows(right, prefix);
  require(a.size() == b.size() && !a.empty(), ExitCode::input, "'{}' has {} rows, '{}' has {}",
          left, a.size(), right, b.size());
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    require(a[i].size() == b[i].size(), ExitCode::input, "different columns");
    for (std::size_t k = 0; k < a[i].size(); ++k) {
      if (std::isnan(a[i][k]) && std::isnan(b[i][k])) continue;
      auto const difference = std::abs(a[i][k] - b[i][k]);
      require(std::isfinite(difference), ExitCode::input, "row {} is not known in both", i);
      worst = std::max(worst, difference);
    }
  }
  return worst;
}

/// tool flip FILE OFFSET: inverts the byte at an offset; one below 0 counts from the end.
void flip_byte(std::string const& path, long long offset) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  if (offset < 0) offset += static_cast<long long>(fs::file_size(path));
  file.seekg(offset);
  auto const byte = static_cast<char>(~file.get());
  file.seekp(offset);
  file.put(byte);
  require(file.good(), ExitCode::input, "cannot change '{}'", path);
}

int run(std::vector<std::string> const& words) {
  auto const& command = words.at(0);
  auto const number = [&](std::size_t i) { return std::stoi(words.at(i)); };
  if (command == "shards") {
    make_shards(words.at(1), number(2), static_cast<std::uint32_t>(number(3)));
  } else if (command == "pictures") {
    make_pictures(words.at(1), number(2), static_cast<std::uint32_t>(number(3)), number(4));
  } else if (command == "losses") {
    print_losses(words.at(1));
  } else if (command == "compare_losses") {
    auto const window = words.size() > 3 ? static_cast<std::size_t>(number(3)) : 1;
    std::printf("%.3e\n", worst_loss_difference(words.at(1), words.at(2), window));
  } else if (command == "compare_arrays") {
    std::printf("%.3e\n", worst_array_difference(words.at(1), words.at(2)));
  } else if (command == "compare_group") {
    std::printf("%.3e\n", worst_group_difference(words.at(1), words.at(2), words.at(3)));
  } else if (command == "evaluations") {
    print_evaluations(words.at(1), words.at(2));
  } else if (command == "compare_evaluations") {
    std::printf("%.3e\n", worst_evaluation_difference(words.at(1), words.at(2), words.at(3)));
  } else if (command == "flip") {
    flip_byte(words.at(1), std::stoll(words.at(2)));
  } else {
    fail(ExitCode::usage, "unknown command '{}'", command);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  return run({argv + 1, argv + argc});
} catch (std::exception const& error) {
  std::fprintf(stderr, "regression tool: %s\n", error.what());
  return 1;
}
