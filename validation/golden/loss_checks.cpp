// SPDX-License-Identifier: Apache-2.0
// Golden files of the kind loss of DINOv2 and DINOv3.
#include <algorithm>
#include <array>
#include <map>

#include "data/masking.hpp"
#include "golden/loss_arrays.hpp"
#include "golden/model_arrays.hpp"
#include "objective/dino_v2_loss.hpp"
#include "objective/ibot_loss.hpp"
#include "objective/koleo_loss.hpp"
#include "objective/sinkhorn_knopp.hpp"
#include "objective/softmax_centering.hpp"

namespace dino::golden {
namespace {

constexpr std::int64_t arena_bytes = std::int64_t{1} << 28;
Space const space{Host{}};

/// Slice i of the first axis, its last axis as rows.
Matrix step_slice(GoldenFile const& file, std::string const& path, std::int64_t i) {
  auto all = matrix(file, path);
  auto const n = static_cast<std::ptrdiff_t>(all.values.size()) /
                 static_cast<std::ptrdiff_t>(file.at(path).shape.at(0));
  return {{all.values.begin() + i * n, all.values.begin() + (i + 1) * n}, all.width};
}

void append(std::vector<float>& to, std::vector<float> const& from) {
  to.insert(to.end(), from.begin(), from.end());
}

void compare(Report& report, std::string const& name, double value) {
  report.compare(name, std::span<double const>(&value, 1), loss_tolerance);
}

/// Rows of crop 0 and of crop 1 exchanged.
Matrix swapped_halves(Matrix m) {
  std::rotate(m.values.begin(), m.values.begin() + static_cast<std::ptrdiff_t>(m.values.size() / 2),
              m.values.end());
  return m;
}

/// Settings under which the gradient is that of `factor` times the sum over pairs.
DinoV2Settings pair_settings(GoldenFile const& file, std::int64_t images, CropPairs const& pairs,
                             double factor) {
  return {.pairs = pairs,
          .images = images,
          .global_batch = images,
          .student_temperature = file.real("student_temp"),
          .loss_weight = factor * static_cast<double>(pairs.total())};
}

/// Both terms of one step of the v2 file, with their gradients.
struct V2Terms {
  DinoTerms terms;
  Matrix local_gradient, global_gradient;
};

// Of the global crops the file compares row i with row i; the trainer exchanges the teacher's
// halves before that, which is undone here, because add_global leaves out pairs of the same crop.
V2Terms v2_terms(GoldenFile const& file, std::int64_t step, Matrix& targets) {
  auto const images = file.integer("batch");
  auto const pairs = CropPairs::v2(file.integer("n_local_crops"));
  auto local = step_slice(file, "inputs/student_local", step);
  auto global = step_slice(file, "inputs/student_global", step);
  auto swapped = swapped_halves(targets);
  V2Terms out{
      .terms = {}, .local_gradient = zeros_like(local), .global_gradient = zeros_like(global)};
  DinoV2Loss loss(space);
  loss.begin_step();
  loss.add_local(local.view(), targets.view(), pair_settings(file, images, pairs, 1.0),
                 out.local_gradient.view());
  loss.add_global(global.view(), swapped.view(), pair_settings(file, images, pairs, 0.5),
                  out.global_gradient.view());
  out.terms = loss.local_terms();
  return out;
}

/// Probabilities of all steps, and the centres with which they were computed.
struct Centred {
  SoftmaxCentering centering;
  std::vector<float> used, probabilities;

  Centred(GoldenFile const& file, std::string const& center)
      : centering(space, file.at(center).size(), file.real("center_momentum")) {
    centering.set_center(file.at(center).floats());
  }
  Matrix step(Matrix logits, double temperature) {
    append(used, centering.center());
    centering.begin_step();
    centering.targets(logits.view(), temperature);
    centering.finish_step(Communicator::self());
    append(probabilities, logits.values);
    return logits;
  }
};

void check_centering_v2(GoldenFile const& file, Report& report) {
  Centred cls(file, "inputs/center_init");
  Centred patch(file, "inputs/patch_center_init");
  std::vector<double> local_losses, global_losses;
  std::vector<float> local_gradients, global_gradients;
  auto const temperatures = file.at("inputs/teacher_temp").numbers();
  for (std::int64_t i = 0; i < file.integer("n_steps"); ++i) {
    auto const temperature = temperatures.at(static_cast<std::size_t>(i));
    auto targets = cls.step(step_slice(file, "inputs/teacher_cls", i), temperature);
    auto const name = std::to_string(i);
    auto const patches = patch.step(matrix(file, "inputs/teacher_patch_" + name), temperature);
    report.compare("patch_probs_" + name, patches.values, loss_tolerance);
    auto const step = v2_terms(file, i, targets);
    local_losses.push_back(step.terms.local);
    global_losses.push_back(step.terms.global / 2);
    append(local_gradients, step.local_gradient.values);
    append(global_gradients, step.global_gradient.values);
  }
  report.compare("cls_probs", cls.probabilities, loss_tolerance);
  report.compare("center_used", cls.used, loss_tolerance);
  report.compare("center_final", cls.centering.center(), loss_tolerance);
  report.compare("patch_center_used", patch.used, loss_tolerance);
  report.compare("patch_center_final", patch.centering.center(), loss_tolerance);
  report.compare("loss_local", local_losses, loss_tolerance);
  report.compare("loss_global", global_losses, loss_tolerance);
  report.compare("grad_student_local", local_gradients, loss_gradient_tolerance);
  report.compare("grad_student_global", global_gradients, loss_gradient_tolerance);
}

void check_sinkhorn(GoldenFile const& file, Report& report) {
  Arena arena(space, arena_bytes);
  auto const check = [&](std::string const& input, std::string const& output,
                         std::string const& temperature) {
    auto logits = matrix(file, "inputs/" + input);
    SinkhornKnopp sinkhorn(space, logits.width, static_cast<int>(file.integer("n_iterations")));
    LogitTile tile{logits.view()};
    sinkhorn.solve(
        arena, Communicator::self(), [&](auto const& visit) { visit(tile); },
        file.real(temperature));
    sinkhorn.targets(arena, tile);
    report.compare(output, logits.values, loss_tolerance);
  };
  check("cls_logits", "cls_assign", "teacher_temp");
  check("patch_logits", "patch_assign", "teacher_temp_patch");
  // The number of valid rows cancels; all rows take part.
  check("patch_logits_padded", "patch_assign_padded", "teacher_temp_patch");
}

/// Loss and gradient of the local or the global term alone, as a mean over its own pairs.
void check_dino_v3_term(GoldenFile const& file, Report& report, std::string const& name,
                        CropPairing const* global) {
  auto const images = file.integer("batch");
  auto const crops = file.integer("n_global");
  CropPairs const pairs{.global = global == nullptr || *global == CropPairing::all
                                      ? crops * crops
                                      : crops * (crops - 1),
                        .local = crops * file.integer("n_local"),
                        .global_pairing = global == nullptr ? CropPairing::all : *global};
  auto const own = static_cast<double>(global == nullptr ? pairs.local : pairs.global);
  auto const settings = pair_settings(file, images, pairs, 1.0 / own);
  auto student = matrix(file, global == nullptr ? "inputs/student_local" : "inputs/student_global");
  auto teacher = matrix(file, "inputs/teacher_probs");
  auto gradient = zeros_like(student);
  DinoV2Loss loss(space);
  loss.begin_step();
  if (global == nullptr) {
    loss.add_local(student.view(), teacher.view(), settings, gradient.view());
  } else {
    loss.add_global(student.view(), teacher.view(), settings, gradient.view());
  }
  auto const terms = loss.local_terms();
  compare(report, "loss_" + name, (terms.local + terms.global) / own);
  report.compare("grad_" + name, gradient.values, loss_gradient_tolerance);
}

void check_dino_v3(GoldenFile const& file, Report& report) {
  constexpr auto all = CropPairing::all, different = CropPairing::different;
  check_dino_v3_term(file, report, "global_all", &all);
  check_dino_v3_term(file, report, "global_ignore_diagonal", &different);
  check_dino_v3_term(file, report, "local", nullptr);
}

/// Loss and gradient of masked rows under given weights.
std::pair<double, Matrix> ibot(GoldenFile const& file, Matrix student, Matrix teacher,
                               std::vector<float> const& weights) {
  auto gradient = zeros_like(student);
  IbotLoss loss(space);
  loss.begin_step();
  loss.add(student.view(), teacher.view(), view_of(weights),
           {.global_crops = file.at("inputs/masks").shape.at(0),
            .student_temperature = file.real("student_temp")},
           gradient.view());
  return {loss.local_loss(), std::move(gradient)};
}

Matrix rows_at(Matrix& m, std::vector<std::int64_t> const& indices) {
  Matrix out{{}, m.width};
  for (auto const i : indices)
    out.values.insert(out.values.end(), m.row(i).begin(), m.row(i).end());
  return out;
}

/// The form over all tokens: rows without a mask have no loss and no gradient.
void check_all_tokens(GoldenFile const& file, Report& report, CollatedMasks const& masks) {
  auto student = matrix(file, "inputs/student_all");
  auto teacher = matrix(file, "inputs/teacher_all");
  auto [loss, gradient] =
      ibot(file, rows_at(student, masks.indices), rows_at(teacher, masks.indices), masks.weights);
  auto dense = zeros_like(student);
  for (std::size_t i = 0; i < masks.indices.size(); ++i)
    std::ranges::copy(gradient.row(static_cast<std::int64_t>(i)),
                      dense.row(masks.indices[i]).begin());
  compare(report, "loss_all_tokens_form", loss);
  report.compare("grad_all_tokens_form", dense.values, loss_gradient_tolerance);
}

void check_ibot(GoldenFile const& file, Report& report) {
  auto const& array = file.at("inputs/masks");
  auto const flags = array.integers();
  std::vector<std::uint8_t> const bytes(flags.begin(), flags.end());
  auto const masks = collate(bytes, array.shape.at(1));
  report.add("inputs/mask_indices_list",
             masks.indices == file.at("inputs/mask_indices_list").integers() ? 0 : 1, 0);
  auto const check = [&](std::string const& suffix, std::vector<float> const& weights) {
    auto const [loss, gradient] = ibot(file, matrix(file, "inputs/student_logits"),
                                       matrix(file, "inputs/teacher_probs"), weights);
    compare(report, "loss" + suffix, loss);
    report.compare("grad" + suffix, gradient.values, loss_gradient_tolerance);
  };
  check("", file.at("inputs/masks_weight").floats());
  check("_derived_weight", masks.weights);
  check("_other_weight", file.at("inputs/masks_weight_other").floats());
  check_all_tokens(file, report, masks);
}

/// One process, all rows: `loss_<name>` and `grad_<name>`.
void check_koleo_plain(GoldenFile const& file, Report& report, std::string const& name) {
  auto x = matrix(file, "inputs/x");
  auto gradient = zeros_like(x);
  auto const topk = name.find("topk") == std::string::npos ? 1 : numbers_in(name).at(0);
  Arena arena(space, arena_bytes);
  KoleoLoss loss(space, x.width);
  loss.begin_step();
  loss.add(arena, Communicator::self(), x.view(), 0,
           {.group_size = {}, .topk = topk, .global_batch = x.view().extent(0)}, gradient.view());
  compare(report, "loss_" + name, loss.local_loss());
  report.compare("grad_" + name, gradient.values, loss_gradient_tolerance);
}

/// Each rank's rows of the gathered batch; the file's loss is a mean over one rank's pairs, and its
/// gradient that of the sum over ranks.
void check_koleo_ranks(GoldenFile const& file, Report& report, std::string const& name) {
  auto x = matrix(file, "inputs/x_ranks");
  auto const& shape = file.at("inputs/x_ranks").shape;
  auto const ranks = shape.at(0), batch = shape.at(1);
  auto const numbers = numbers_in(name);
  KoleoSettings settings{.group_size = {},
                         .topk = numbers.at(1),
                         .global_batch = ranks * batch,
                         .loss_weight = static_cast<double>(ranks)};
  if (numbers.at(0) > 0) settings.group_size = numbers.at(0);
  auto gradient = zeros_like(x);
  std::vector<double> losses;
  Arena arena(space, arena_bytes);
  KoleoLoss loss(space, x.width);
  for (std::int64_t r = 0; r < ranks; ++r) {
    loss.begin_step();
    Share const own{r * batch, (r + 1) * batch};
    loss.add_gathered(arena, x.view(), 0, own, settings, gradient.view().rows(own.begin, own.end));
    losses.push_back(loss.local_loss() * static_cast<double>(ranks));
  }
  report.compare(name + "_loss", losses, loss_tolerance);
  report.compare(name + "_grad", gradient.values, loss_gradient_tolerance);
}

void check_koleo(GoldenFile const& file, Report& report) {
  if (file.real("eps", 1e-8) != 1e-8) return report.skip("", "KoLeo has an epsilon of 1e-8");
  for (auto const& name : file.children("expected")) {
    if (name.rfind("loss_", 0) == 0) check_koleo_plain(file, report, name.substr(5));
    if (name.rfind("ranks_", 0) == 0 && name.ends_with("_loss"))
      check_koleo_ranks(file, report, name.substr(0, name.size() - 5));
  }
}

std::map<std::string_view, Check> const losses{
    {"centering_v2", check_centering_v2}, {"dino_v3", check_dino_v3}, {"ibot", check_ibot},
    {"sinkhorn_knopp", check_sinkhorn},   {"koleo", check_koleo},     {"gram", check_gram},
    {"gram_resize", check_gram_resize},
};

}  // namespace

Check loss_check(std::string const& loss) {
  auto const row = losses.find(loss);
  return row == losses.end() ? nullptr : row->second;
}

}  // namespace dino::golden
