#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The program is installed to a fresh prefix, its module is loaded, and runs; unloaded, it is gone.
set -euo pipefail
build=$1
init=/usr/share/modules/init/bash
[ -e $init ] || init=/usr/share/lmod/lmod/init/bash
[ -e $init ] || { echo "Skipped: neither Environment Modules nor Lmod is installed"; exit 77; }

rm -rf "$PWD/prefix"
cmake --install "$build" --prefix "$PWD/prefix" >install.log
set +eu # not for the modules' own code
. $init
module use "$PWD/prefix/share/modulefiles"
module load dino-hpc || exit 1
set -eu
[ "$(command -v dino)" = "$PWD/prefix/bin/dino" ]
dino --version
[ -e "$DINO_HOME/inputs/dinov1_vits16.toml" ]
[ -x "$DINO_HOME/jobs/train.sbatch" ]
module whatis dino-hpc 2>&1 | grep -q DINO-HPC
module help dino-hpc 2>&1 | grep -q train.sbatch
module unload dino-hpc
[ "$(command -v dino || echo none)" != "$PWD/prefix/bin/dino" ]
