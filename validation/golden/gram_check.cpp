// SPDX-License-Identifier: Apache-2.0
// Golden files of the kind loss: the Gram loss, and the resizing of its teacher's patches.
#include <cmath>
#include <vector>

#include "base/error.hpp"
#include "golden/loss_arrays.hpp"
#include "golden/model_arrays.hpp"
#include "objective/gram_loss.hpp"
#include "objective/patch_resize.hpp"

namespace dino::golden {
namespace {

constexpr std::int64_t arena_bytes = std::int64_t{1} << 28;
Space const space{Host{}};

GramNegatives negatives_of(bool removed, bool removed_of_teacher) {
  if (removed) return GramNegatives::removed;
  return removed_of_teacher ? GramNegatives::removed_of_teacher : GramNegatives::kept;
}

/// One set of options: `loss_<name>` and `grad_<name>`.
void check_options(GoldenFile const& file, Report& report, std::string const& name) {
  auto const flags = numbers_in(name);  // norm, img, neg, tneg
  require(flags.size() == 4, ExitCode::input, "the options of expected/loss_{} are not known",
          name);
  auto student = matrix(file, "inputs/student");
  auto teacher = matrix(file, "inputs/teacher");
  auto const& shape = file.at("inputs/student").shape;
  require(shape.size() == 3, ExitCode::input, "inputs/student is not [images, patches, dim]");
  auto gradient = zeros_like(student);
  Arena arena(space, arena_bytes);
  GramLoss loss(space, {.normalized = flags[0] != 0,
                        .negatives = negatives_of(flags[2] != 0, flags[3] != 0)});
  loss.begin_step();
  if (flags[1] != 0) {
    loss.add_crops(arena, student.view(), teacher.view(), shape[1], shape[0], 1, gradient.view());
  } else {
    loss.add_batch(arena, Communicator::self(), student.view(), teacher.view(), 1, gradient.view());
  }
  report.compare("loss_" + name, std::vector{loss.local_loss()}, loss_tolerance);
  report.compare("grad_" + name, gradient.values, loss_gradient_tolerance);
}

/// A square grid of this many patches along either side.
PatchGrid square(std::int64_t side) {
  return {side, side};
}

}  // namespace

void check_gram(GoldenFile const& file, Report& report) {
  for (auto const& name : file.children("expected"))
    if (name.rfind("loss_", 0) == 0) check_options(file, report, name.substr(5));
}

void check_gram_resize(GoldenFile const& file, Report& report) {
  auto patches = matrix(file, "inputs/teacher_patches");
  auto const images = file.at("inputs/teacher_patches").shape.at(0);
  auto const from = square(file.integer("n_teacher")), to = square(file.integer("n_student"));
  for (auto const& name : file.children("expected")) {
    bool const cubic = name.rfind("bicubic_", 0) == 0;
    if (!cubic && name.rfind("bilinear_", 0) != 0) continue;
    PatchResize resize(space, {.filter = cubic ? ResampleFilter::bicubic : ResampleFilter::bilinear,
                               .antialias = name.ends_with("antialias1")});
    Matrix out{std::vector<float>(static_cast<std::size_t>(images * to.patches() * patches.width)),
               patches.width};
    resize(View<float const, 2>(patches.view()), from, to, out.view());
    report.compare(name, out.values, loss_tolerance);
  }
}

}  // namespace dino::golden
