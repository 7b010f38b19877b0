# SPDX-License-Identifier: Apache-2.0
# Every library that the program uses, each as one imported target. Debian packages: jobs/dependencies.sh.

find_package(Threads REQUIRED)
set(MPI_CXX_SKIP_MPICXX ON)  # the C++ bindings are gone in Open MPI 5
find_package(MPI REQUIRED COMPONENTS CXX)
set(HDF5_PREFER_PARALLEL ON)
find_package(HDF5 REQUIRED COMPONENTS C)
if(NOT HDF5_IS_PARALLEL)
  message(FATAL_ERROR "HDF5 was built without MPI. Install the parallel one (Debian: libhdf5-openmpi-dev) "
                      "or point HDF5_ROOT at it.")
endif()
find_package(ZLIB REQUIRED)

find_package(Kokkos REQUIRED)
add_library(dino_kokkos INTERFACE)
target_link_libraries(dino_kokkos INTERFACE Kokkos::kokkos)
if(Kokkos_VERSION VERSION_LESS 3.5)  # Debian 12 states an include path that does not exist
  set_target_properties(Kokkos::kokkos PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "")
  target_include_directories(dino_kokkos SYSTEM INTERFACE ${Kokkos_INCLUDE_DIRS})
endif()

find_package(dnnl CONFIG QUIET)
if(NOT TARGET DNNL::dnnl)  # its package file also asks for OpenCL
  find_path(DNNL_INCLUDE_DIR oneapi/dnnl/dnnl.hpp REQUIRED)
  find_library(DNNL_LIBRARY dnnl REQUIRED)
  add_library(DNNL::dnnl SHARED IMPORTED)
  set_target_properties(DNNL::dnnl PROPERTIES IMPORTED_LOCATION ${DNNL_LIBRARY}
                                              INTERFACE_INCLUDE_DIRECTORIES ${DNNL_INCLUDE_DIR})
endif()

find_package(JPEG REQUIRED)
find_package(PNG REQUIRED)
find_package(LibArchive REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(CLI11 REQUIRED)
find_package(nlohmann_json REQUIRED)
find_path(TOMLPLUSPLUS_INCLUDE_DIR toml++/toml.h REQUIRED)
add_library(dino_toml INTERFACE)
target_include_directories(dino_toml SYSTEM INTERFACE ${TOMLPLUSPLUS_INCLUDE_DIR})

if(DINO_TESTS)
  find_package(GTest REQUIRED)
endif()
if(DINO_BENCHMARKS)
  find_package(benchmark REQUIRED)
endif()

find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

include(cuda)
