// SPDX-License-Identifier: Apache-2.0
#include "io/source.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.hpp"
#include "io/archive.hpp"
#include "io/posix.hpp"
#include "io/source_table.hpp"
#include "unit/io/pictures.hpp"
#include "unit/io/tar_writer.hpp"

namespace dino::io {
namespace {

namespace fs = std::filesystem;
using test::bytes_of;
using test::Files;
using test::write_tar;
using test::write_tree;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> keys(SourceList const& list) {
  std::vector<std::string> texts;
  for (auto const& image : list.images) texts.push_back(image.key);
  return texts;
}

/// "class" of each image, "-" where it has none.
std::vector<std::string> classes(SourceList const& list) {
  std::vector<std::string> texts;
  for (auto const& image : list.images) {
    texts.push_back(image.label ? list.class_names.at(static_cast<std::size_t>(*image.label))
                                : "-");
  }
  return texts;
}

SourceList list_of(Files const& files, SourceOptions options = {}) {
  write_tree("source", files);
  options.inputs = {"source"};
  return list_source(options);
}

std::string refusal(SourceOptions const& options) {
  try {
    static_cast<void>(list_source(options));
  } catch (Error const& error) {
    return error.what();
  }
  return "not refused";
}

}  // namespace

TEST(ListSource, TakesFoldersAtAnyDepthForClasses) {
  auto const list = list_of({{"cat/deep/er/b.JPG", "x"},
                             {"ape/a.png", "x"},
                             {"cat/a.jpeg", "x"},
                             {"notes.txt", "x"},
                             {"cat/.hidden.png", "x"}});

  EXPECT_THAT(keys(list), ElementsAre("ape/a.png", "cat/a.jpeg", "cat/deep/er/b.JPG"));
  EXPECT_THAT(classes(list), ElementsAre("ape", "cat", "cat"));
}

TEST(ListSource, LeavesImagesWithoutFoldersUnlabelled) {
  EXPECT_THAT(classes(list_of({{"a.png", "x"}, {"b.png", "x"}})), ElementsAre("-", "-"));
  EXPECT_THAT(classes(list_of({{"a.png", "x"}, {"c/b.png", "x"}})), ElementsAre("-", "-"));
  EXPECT_THAT(classes(list_of({{"c/a.png", "x"}, {"c/b.png", "x"}})), ElementsAre("-", "-"));
  EXPECT_THAT(classes(list_of({{"c/a.png", "x"}, {"d/b.png", "x"}},
                              {.inputs = {}, .subset = "", .labels = LabelMode::none})),
              ElementsAre("-", "-"));
  EXPECT_THAT(classes(list_of({{"c/a.png", "x"}, {"b.png", "x"}},
                              {.inputs = {}, .subset = "", .labels = LabelMode::folder})),
              ElementsAre("source", "c"));
}

TEST(ListSource, LooksForClassesBelowSplits) {
  Files const files{{"train/cat/a.png", "x"},
                    {"val/ape/a.png", "x"},
                    {"train/cow/a.png", "x"},
                    {"test/1.png", "x"}};

  auto const all = list_of(files);
  auto const part = list_of(files, {.inputs = {}, .subset = "train/"});

  EXPECT_THAT(classes(all), ElementsAre("-", "cat", "cow", "ape"));
  EXPECT_THAT(keys(part), ElementsAre("train/cat/a.png", "train/cow/a.png"));
  EXPECT_THAT(part.class_names, ElementsAre("ape", "cat", "cow"));
  EXPECT_THAT(refusal({.inputs = {"source"}, .subset = "nix/"}), HasSubstr("test/1.png"));
}

TEST(ListSource, FollowsLabelsCsv) {
  auto const list = list_of(
      {{"labels.csv",
        "\xEF\xBB\xBFpath,class_name,class_index,mask,depth,units_per_metre,duplicate,note\r\n"
        "i/b.png,bee,1,m/b.png,d/b.png,5000,3,\"a \"\"b\"\", c\"\r\n"
        "i/a.png,ape,0,,,,,\r\n"
        "i/gone.png,ape,0,,,,,\r\n"},
       {"i/a.png", "x"},
       {"i/b.png", "x"},
       {"i/unlisted.png", "x"},
       {"m/b.png", "x"},
       {"d/b.png", "x"}});

  EXPECT_THAT(keys(list), ElementsAre("i/a.png", "i/b.png", "i/unlisted.png"));
  EXPECT_THAT(classes(list), ElementsAre("ape", "bee", "-"));
  auto const& bee = list.images[1];
  EXPECT_EQ(bee.mask.value().path, "m/b.png");
  EXPECT_EQ(bee.depth.value().path, "d/b.png");
  EXPECT_EQ(bee.depth_units_per_metre, 5000);
  EXPECT_EQ(bee.duplicate, 3);
  EXPECT_FALSE(list.images[0].mask.has_value());
  ASSERT_EQ(list.skipped.size(), 1U);
  EXPECT_EQ(list.skipped[0].key, "i/gone.png");
}

TEST(ListSource, RefusesWrongLabelsCsv) {
  write_tree("source", {{"labels.csv", "path,class_index\na.png,1,2\n"}, {"a.png", "x"}});
  EXPECT_THAT(refusal({.inputs = {"source"}}), HasSubstr("row 1 has 3 fields"));
  write_tree("source", {{"labels.csv", "file\na.png\n"}, {"a.png", "x"}});
  EXPECT_THAT(refusal({.inputs = {"source"}}), HasSubstr("no column 'path'"));
  write_tree("source", {{"labels.csv", "path,class_index\na.png,-4\n"}, {"a.png", "x"}});
  EXPECT_THAT(refusal({.inputs = {"source"}}), HasSubstr("class index -4"));
  write_tree("source", {{"labels.csv", "path,mask\na.png,m.png\n"}, {"a.png", "x"}});
  EXPECT_THAT(refusal({.inputs = {"source"}}), HasSubstr("'m.png' as mask of 'a.png'"));
}

TEST(ListSource, ReadsWebDatasetSidecarsAndCompanions) {
  auto const list = list_of({{"0/a.jpg", "x"},
                             {"0/a.cls", "2\n"},
                             {"0/b.tar.jpg", "x"},
                             {"0/b.json", R"({"label": 0, "class_name": "zebra"})"},
                             {"0/b.seg.png", "x"},
                             {"0/b.depth.png", "x"},
                             {"0/c.jpg", "x"}});

  EXPECT_THAT(keys(list), ElementsAre("0/a.jpg", "0/b.tar.jpg", "0/c.jpg"));
  EXPECT_THAT(classes(list), ElementsAre("2", "zebra", "-"));
  EXPECT_EQ(list.images[1].mask.value().path, "0/b.seg.png");
  EXPECT_EQ(list.images[1].depth.value().path, "0/b.depth.png");
}

TEST(ListSource, PairsImagesWithMasksAndDepthMaps) {
  auto const list =
      list_of({{"images/t/a.jpg", "x"}, {"masks/t/a.png", "x"}, {"depth/t/a.pgm", "x"}});

  ASSERT_EQ(list.images.size(), 1U);
  EXPECT_EQ(list.images[0].mask.value().path, "masks/t/a.png");
  EXPECT_EQ(list.images[0].depth.value().path, "depth/t/a.pgm");
  EXPECT_TRUE(list.class_names.empty());
}

TEST(ListSource, ReadsTarsAsFolders) {
  std::string const long_name(180, 'n');
  Files const files{{"train/ape/" + long_name + ".png", "picture"}, {"train/żubr/b.png", "other"}};
  write_tar("source.tar", files);
  write_tree("source", files);

  auto const tar = list_source({.inputs = {"source.tar"}});
  auto const folder = list_source({.inputs = {"source"}});

  EXPECT_EQ(keys(tar), keys(folder));
  EXPECT_EQ(tar.class_names, folder.class_names);
  SourceReader reader(tar.inputs);
  EXPECT_EQ(reader.read(tar.images[1].file), bytes_of("other"));
  EXPECT_EQ(reader.read(tar.images[0].file), bytes_of("picture"));
}

TEST(ListSource, NamesSeveralInputsInTheKeys) {
  write_tar("a.tar", {{"1.png", "x"}, {"1.cls", "5"}});
  write_tree("b", {{"1.png", "x"}});

  auto const list = list_source({.inputs = {"b/", "a.tar"}});

  EXPECT_THAT(keys(list), ElementsAre("a/1.png", "b/1.png"));
  EXPECT_THAT(classes(list), ElementsAre("5", "-"));
  EXPECT_THAT(refusal({.inputs = {"b", "b"}}), HasSubstr("'b/1.png'"));
}

TEST(ListSource, SurvivesLinksInCircles) {
  write_tree("circle", {{"x/a.png", "x"}});
  fs::create_directory_symlink(fs::absolute("circle"), "circle/x/up");

  EXPECT_THAT(keys(list_source({.inputs = {"circle"}})), ElementsAre("x/a.png"));
}

TEST(ListSource, TravelsToOtherRanks) {
  auto const list =
      list_of({{"labels.csv", "path,class_name,mask\na.png,ape,m.png\nb.png,,\nc.png,,\n"},
               {"a.png", "x"},
               {"b.png", "x"},
               {"m.png", "xyz"}});

  auto const copy = SourceList::deserialize(list.serialize());

  EXPECT_EQ(keys(copy), keys(list));
  EXPECT_EQ(classes(copy), classes(list));
  EXPECT_EQ(copy.images[0].mask.value().bytes, 3);
  EXPECT_EQ(copy.skipped.at(0).key, "c.png");
  EXPECT_EQ(copy.inputs, list.inputs);
}

TEST(ListSource, RefusesWhatIsNoSource) {
  EXPECT_THAT(refusal({}), HasSubstr("nothing to pack"));
  EXPECT_THAT(refusal({.inputs = {"no/such"}}), HasSubstr("no/such"));
  write_tree("source", {{"readme.txt", "x"}});
  EXPECT_THAT(refusal({.inputs = {"source"}}), HasSubstr("holds no images"));
  test::write_contents("no.tar", bytes_of("this is no tar"));
  EXPECT_THAT(refusal({.inputs = {"no.tar"}}), HasSubstr("neither a folder nor a tar"));
}

TEST(SourceReader, NoticesThatAFileChanged) {
  auto const list = list_of({{"a.png", "picture"}, {"b.png", "picture"}});
  test::write_contents("source/a.png", bytes_of("longer than before"));
  fs::remove("source/b.png");
  SourceReader reader(list.inputs);

  EXPECT_THROW(static_cast<void>(reader.read(list.images[0].file)), Error);
  EXPECT_THROW(static_cast<void>(reader.read(list.images[1].file)), Error);
}

TEST(SourceReader, NoticesThatATarChanged) {
  write_tar("changed.tar", {{"a.png", "picture"}, {"b.png", "picture"}});
  auto const list = list_source({.inputs = {"changed.tar"}});
  write_tar("changed.tar", {{"longer/name.png", "picture"}, {"c.png", "picture"}});
  SourceReader reader(list.inputs);

  EXPECT_THROW(static_cast<void>(reader.read(list.images[0].file)), Error);
  EXPECT_THROW(static_cast<void>(reader.read(list.images[1].file)), Error);
}

TEST(ListTar, SurvivesDamage) {
  write_tar("damage.tar", {{"a.png", std::string(700, 'a')},
                           {"b/" + std::string(150, 'b') + ".png", std::string(300, 'b')},
                           {"c.cls", "1"}});
  auto const tar = test::file_contents("damage.tar");
  int refused = 0;
  for (std::uint64_t number = 0; number < 400; ++number) {
    test::write_contents("damage.tar", test::damaged(tar, number));
    try {
      Fd const fd = open_to_read("damage.tar");
      for (auto const& member : list_tar("damage.tar"))
        static_cast<void>(read_tar_member(fd.get(), "damage.tar", member));
    } catch (Error const& error) {
      ASSERT_EQ(error.code(), ExitCode::input);
      ++refused;
    }
  }
  EXPECT_GE(refused, 50);
}

}  // namespace dino::io
