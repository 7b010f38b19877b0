# SPDX-License-Identifier: Apache-2.0

# Flags of all of the program's own code: warnings are errors, on every compiler.
add_library(dino_flags INTERFACE)
target_compile_features(dino_flags INTERFACE cxx_std_20)
set(cxx $<COMPILE_LANGUAGE:CXX>)
target_compile_options(dino_flags INTERFACE "$<${cxx}:-Wall;-Wextra;-Wshadow;-Werror;-Wno-missing-field-initializers;-march=${DINO_ARCH}>"
                                            "$<${cxx}:-fno-math-errno;-fno-trapping-math>")
target_compile_options(dino_flags INTERFACE
  "$<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr;-Werror=all-warnings;-Xcompiler=-Wall,-Wextra,-Werror>")
target_include_directories(dino_flags INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/src)
if(DINO_SANITIZE)
  # the checks that sanitizers insert mislead GCC's warning of uninitialized values
  target_compile_options(dino_flags INTERFACE "$<${cxx}:-fsanitize=address,undefined;-fno-sanitize-recover=undefined>"
                                              "$<${cxx}:-Wno-maybe-uninitialized;-fno-omit-frame-pointer>")
  target_link_options(dino_flags INTERFACE -fsanitize=address,undefined)
endif()

# dino_room(NAME HEADERS public.hpp ... SOURCES a.cpp ... [LINK public targets] [LINK_PRIVATE targets])
# Makes the target dino::NAME. Its public headers are those under HEADERS; the target
# all_verify_interface_header_sets compiles each of them alone.
function(dino_room name)
  cmake_parse_arguments(ROOM "" "" "HEADERS;SOURCES;LINK;LINK_PRIVATE" ${ARGN})
  if(ROOM_SOURCES)
    set(visibility PUBLIC)
    add_library(dino_${name} STATIC ${ROOM_SOURCES})
    target_link_libraries(dino_${name} PRIVATE ${ROOM_LINK_PRIVATE})
  else()
    set(visibility INTERFACE)
    add_library(dino_${name} INTERFACE)
  endif()
  add_library(dino::${name} ALIAS dino_${name})
  target_sources(dino_${name} ${visibility} FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR} FILES ${ROOM_HEADERS})
  target_link_libraries(dino_${name} ${visibility} dino_flags ${ROOM_LINK})
  set_target_properties(dino_${name} PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON)
endfunction()
