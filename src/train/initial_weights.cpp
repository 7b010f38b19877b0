// SPDX-License-Identifier: Apache-2.0
#include "train/initial_weights.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "io/checkpoint.hpp"
#include "kernels/host_arrays.hpp"
#include "model/positions.hpp"

namespace dino::train {
namespace {

using Shape = std::vector<std::int64_t>;
using Arrays = std::map<std::string, Shape>;

/// Square grid of [1, 1 + M M, D] resampled to [1, 1 + m m, D].
std::vector<float> resample_positions(std::vector<float> const& from, std::int64_t old_side,
                                      std::int64_t new_side, std::int64_t dim) {
  auto const weights = position_weights(old_side, new_side, {.offset = 0});
  auto const at = [&](std::int64_t i, std::int64_t j) {
    return static_cast<double>(weights[static_cast<std::size_t>(i * old_side + j)]);
  };
  std::vector<float> to(from.begin(), from.begin() + dim);
  for (std::int64_t y = 0; y < new_side; ++y) {
    for (std::int64_t x = 0; x < new_side; ++x) {
      for (std::int64_t d = 0; d < dim; ++d) {
        double sum = 0;
        for (std::int64_t i = 0; i < old_side; ++i) {
          for (std::int64_t j = 0; j < old_side; ++j) {
            auto const cell = static_cast<std::size_t>((1 + i * old_side + j) * dim + d);
            sum += at(y, i) * at(x, j) * static_cast<double>(from[cell]);
          }
        }
        to.push_back(static_cast<float>(sum));
      }
    }
  }
  return to;
}

std::int64_t grid_side(Shape const& positions) {
  return static_cast<std::int64_t>(
      std::lround(std::sqrt(static_cast<double>(positions.at(1) - 1))));
}

/// One model's weights from the arrays of a file.
template <class T>
class Filler {
 public:
  Filler(shard::ParameterStore<T>& store, std::string const& path, std::string group,
         Arrays const& arrays)
      : store_(store),
        path_(path),
        group_(std::move(group)),
        arrays_(arrays),
        host_(store.space()) {}

  InitialWeights fill() {
    InitialWeights out{.heads = heads_fit(), .positions = false};
    for (int unit = 0; unit < store_.units(); ++unit) {
      auto const& spec = store_.layout(unit).spec();
      for (std::size_t p = 0; p < spec.parameters.size(); ++p) {
        auto const name = spec.prefix + spec.parameters[p].name;
        if (!name.starts_with("backbone.") && !out.heads) continue;
        out.positions = take(unit, p, name) || out.positions;
      }
    }
    io::read_checkpoint(path_, requests_);
    host_.send();
    store_.invalidate();
    return out;
  }

 private:
  bool heads_fit() const {
    for (int unit = 0; unit < store_.units(); ++unit) {
      auto const& spec = store_.layout(unit).spec();
      for (auto const& parameter : spec.parameters) {
        auto const it = arrays_.find(group_ + spec.prefix + parameter.name);
        bool const fits = it != arrays_.end() && it->second == parameter.shape;
        if (!spec.prefix.starts_with("backbone.") && !fits) return false;
      }
    }
    return true;
  }

  /// Asks for one parameter; true where it had to be resampled.
  bool take(int unit, std::size_t p, std::string const& name) {
    auto const& layout = store_.layout(unit);
    auto const& shape = layout.spec().parameters[p].shape;
    auto const it = arrays_.find(group_ + name);
    // A first version of the model may lack what a later one adds: mask token and registers.
    if (it == arrays_.end() && name == "backbone.mask_token") return false;
    require(it != arrays_.end(), ExitCode::usage,
            "'{}' has no {}{}: it is no start for this configuration. Check student.arch and "
            "student.patch_size",
            path_, group_, name);
    bool const resampled = name == "backbone.pos_embed" && it->second != shape &&
                           it->second.size() == 3 && it->second[2] == shape[2];
    require(resampled || it->second == shape, ExitCode::usage,
            "'{}' does not fit this configuration: {} is [{}] there and [{}] here", path_, name,
            fmt::join(it->second, ", "), fmt::join(shape, ", "));
    auto const overlap = layout.overlap(p, store_.part());
    auto const own =
        host_.room(store_.master(unit).rows(overlap.in_part, overlap.in_part + overlap.count));
    if (resampled) {
      auto const whole = resample_positions(io::read_checkpoint_array(path_, group_ + name),
                                            grid_side(it->second), grid_side(shape), shape[2]);
      std::copy_n(whole.begin() + overlap.in_parameter, overlap.count, own.begin());
      return true;
    }
    requests_.push_back(
        {.name = group_ + name, .shape = shape, .offset = overlap.in_parameter, .values = own});
    return false;
  }

  shard::ParameterStore<T>& store_;
  std::string path_, group_;
  Arrays const& arrays_;
  HostArrays host_;
  std::vector<io::CheckpointRequest> requests_;
};

bool has_group(Arrays const& arrays, std::string const& group) {
  auto const it = arrays.lower_bound(group + "backbone.");
  return it != arrays.end() && it->first.starts_with(group + "backbone.");
}

/// The arrays of a checkpoint that is known to be good, and the models that it holds a backbone of.
struct Source {
  Arrays arrays;
  std::string student = "student/", teacher = "teacher/";  ///< equal where there is one only
};

template <class T>
Source open_source(TrainingStep<T>& step, std::string const& path) {
  if (auto const fault = io::find_checkpoint_fault(step.world(), path))
    fail(ExitCode::input, "cannot start from the checkpoint: {}", *fault);
  Source source;
  for (auto const& array : io::read_checkpoint_summary(path).arrays)
    source.arrays[array.name] = array.shape;
  if (!has_group(source.arrays, source.student)) source.student = source.teacher;
  if (!has_group(source.arrays, source.teacher)) source.teacher = source.student;
  require(has_group(source.arrays, source.student), ExitCode::usage,
          "'{}' holds no backbone (neither student/ nor teacher/)", path);
  return source;
}

}  // namespace

template <class T>
InitialWeights load_initial_weights(TrainingStep<T>& step, std::string const& path) {
  auto const source = open_source(step, path);
  auto const out = Filler<T>(step.student().store, path, source.student, source.arrays).fill();
  Filler<T>(step.teacher().store, path, source.teacher, source.arrays).fill();
  return out;
}

template <class T>
bool lacks_gram_teacher(TrainingStep<T>& step) {
  auto const states = step.loss_state();
  return step.gram_teacher() != nullptr &&
         std::any_of(states.begin(), states.end(), [](LossState const& state) {
           return state.name == "gram_teacher" && state.values.at(0) == 0;
         });
}

template <class T>
bool load_gram_teacher(TrainingStep<T>& step, std::string const& path) {
  if (!lacks_gram_teacher(step)) return false;
  auto const source = open_source(step, path);
  Filler<T>(*step.gram_teacher(), path, source.teacher, source.arrays).fill();
  step.set_loss_state({"gram_teacher", {1, 0}});
  return true;
}

template InitialWeights load_initial_weights(TrainingStep<float>&, std::string const&);
template InitialWeights load_initial_weights(TrainingStep<bfloat16>&, std::string const&);
template bool lacks_gram_teacher(TrainingStep<float>&);
template bool lacks_gram_teacher(TrainingStep<bfloat16>&);
template bool load_gram_teacher(TrainingStep<float>&, std::string const&);
template bool load_gram_teacher(TrainingStep<bfloat16>&, std::string const&);

}  // namespace dino::train
