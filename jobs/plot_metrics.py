#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows the metrics of runs, finished or going on: a table, or curves as PNG (needs h5py; for PNG matplotlib).

    plot_metrics.py RUN...                        the last rows of each run's metrics.h5
    plot_metrics.py RUN... -o curves.png          a panel per quantity, a line per run
    plot_metrics.py RUN... --columns loss lr      only these
    plot_metrics.py RUN... --chain                stages that follow each other: steps go on counting
"""
import argparse
import math
import pathlib
import sys

import h5py


def read(path):
    """{group: {column: values}} of metrics.h5; the layout is in io/FORMATS.md."""
    path = pathlib.Path(path)
    if path.is_dir():
        path = path / "metrics.h5"
    tables = {}
    # swmr: the file may be written to meanwhile
    with h5py.File(path, "r", libver="latest", swmr=True) as file:
        if file.attrs.get("format") not in ("dino-hpc metrics", b"dino-hpc metrics"):
            sys.exit(f"{path} is not a metrics file of dino")
        for group in ("steps", "evaluations"):
            columns = {name: file[group][name][...] for name in file.get(group, ())}
            rows = min(map(len, columns.values()), default=0)  # a row may be half written
            tables[group] = {name: values[:rows] for name, values in columns.items()}
    return tables


def chain(runs):
    """Moves a run that counts its steps anew behind the one before it. Returns where each begins."""
    begins, end = {}, 0
    for run, tables in runs.items():
        steps = [table["step"] for table in tables.values() if len(table.get("step", ()))]
        if not steps:
            continue
        first, last = min(s[0] for s in steps), max(s[-1] for s in steps)
        offset = end if first < end - 1 else 0
        for table in tables.values():
            if "step" in table:
                table["step"] = table["step"] + offset
        begins[run], end = first + offset, last + offset
    return begins


def chosen(table, wanted):
    return [name for name in table if name != "step" and (not wanted or name in wanted)]


def print_table(run, tables, wanted, rows):
    for group, table in tables.items():
        names = chosen(table, wanted)
        if not names or len(table["step"]) == 0:
            continue
        print(f"{run}: {group}, {len(table['step'])} rows")
        widths = [max(10, len(name)) for name in names]
        print("  ".join(["step".rjust(8)] + [name.rjust(width) for name, width in zip(names, widths)]))
        for i in range(max(0, len(table["step"]) - rows), len(table["step"])):
            cells = [str(table["step"][i]).rjust(8)]
            for name, width in zip(names, widths):
                value = table[name][i]
                cells.append(("-" if math.isnan(value) else f"{value:.5g}").rjust(width))
            print("  ".join(cells))


def plot(runs, wanted, out, begins=()):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = []
    for tables in runs.values():
        for group, table in tables.items():
            panels += [(group, name) for name in chosen(table, wanted) if (group, name) not in panels]
    if not panels:
        sys.exit("nothing to plot: no such columns, or no rows yet")
    across = min(3, len(panels))
    down = -(-len(panels) // across)
    figure, axes = pyplot.subplots(down, across, figsize=(4.2 * across, 2.8 * down), squeeze=False)
    for axis, (group, name) in zip(axes.flat, panels):
        for run, tables in runs.items():
            table = tables[group]
            if name in table:
                axis.plot(table["step"], table[name], marker="." if group == "evaluations" else "", label=run)
        for run in list(begins)[1:]:
            axis.axvline(begins[run], color="grey", linewidth=0.5, linestyle="--")
        axis.set_title(name)
        axis.set_xlabel("step")
    for axis in axes.flat[len(panels):]:
        axis.axis("off")
    if len(runs) > 1:
        axes.flat[0].legend()
    figure.tight_layout()
    figure.savefig(out, dpi=120)
    print(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run directory or metrics.h5")
    parser.add_argument("-o", "--output", help="PNG (or PDF, SVG) to write")
    parser.add_argument("--columns", nargs="+", default=[], help="only these quantities")
    parser.add_argument("--chain", action="store_true", help="the runs are stages of one training, in this order")
    parser.add_argument("--rows", type=int, default=10, help="rows of the table (10)")
    options = parser.parse_args()
    try:
        runs = {run: read(run) for run in options.runs}
    except OSError as error:
        sys.exit(f"{error}\nA run writes metrics.h5 after its first steps. A file that a killed run left open: h5clear -s FILE")
    begins = chain(runs) if options.chain else {}
    if options.output:
        plot(runs, options.columns, options.output, begins)
        return
    for run, tables in runs.items():
        print_table(run, tables, options.columns, options.rows)


if __name__ == "__main__":
    main()
