#!/usr/bin/env python3
"""The machine's own matrix peak: the fastest square product of f32 and of bf16 that any kernel or library here reaches.

    bench_peak.py --program build/bench/bench_peak [--python VENV/bin/python] [--size 4096] --out peak.json

Our kernels and, where it was found at configure time, oneDNN through bench_peak; PyTorch through peer_torch.py where
--python is given. The best repetition counts, not the median: a peak is what the machine can do when nothing disturbs it.
"""
import argparse, json, os, pathlib
import common

HERE = pathlib.Path(__file__).resolve().parent


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--program", required=True, help="the built bench_peak")
    p.add_argument("--python", help="of an environment with torch")
    p.add_argument("--size", type=int, default=4096)
    p.add_argument("--repeats", type=int, default=5)
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--out", required=True)
    args = p.parse_args()
    how = ["--size", args.size, "--repeats", args.repeats, "--threads", args.threads]
    results = common.Results(args.out, dict(size=args.size, repeats=args.repeats, threads=args.threads))
    commands = dict(program=[args.program, "--json", *how])
    if args.python: commands["torch"] = [args.python, HERE / "peer_torch.py", "--peak", *how]
    for name, command in commands.items():
        if results.find(name=name): continue
        r = common.need(common.run(command))
        results.add(name=name, others=r.others, rates=[json.loads(line) for line in r.out.splitlines() if line.startswith("{")])
    rates = [rate for r in results.data["runs"] for rate in r["rates"]]
    # A library that is too slow at the whole size says what a small one gives.
    size = lambda r: "" if r.get("size", args.size) == args.size else f" (at {r['size']})"
    print(common.describe(results.data["machine"]))
    print(common.table(["", "type", "median GFLOP/s", "best GFLOP/s"],
                       [[r["who"] + size(r), r["type"], f"{r['median'] / 1e9:.1f}" if "median" in r else "-",
                         f"{r.get('best', r.get('limit')) / 1e9:.1f}"] for r in rates]))
    best = {}
    for kind in ("f32", "bf16"):
        there = [r for r in rates if r["type"] == kind and r.get("size") == args.size]
        if not there: continue
        best[kind] = max(there, key=lambda r: r["best"])
        print(f"the {kind} peak: {best[kind]['best'] / 1e9:.1f} GFLOP/s, {best[kind]['who']}, "
              f"{args.size} x {args.size} x {args.size}, {args.threads} threads")
    results.data["summary"] = dict(best=best)
    results.save()


if __name__ == "__main__": main()
